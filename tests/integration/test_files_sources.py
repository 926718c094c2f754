"""Sources made of files behind addresses: pinned by what they hold, laid out as one tree, run like any other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from archive_files import Item, tarred, zipped
from file_server import file_server
from source_tools import source_tools

from reprolake_builder.documents.source import FilesSource
from reprolake_builder.download import Offer
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.fetch import fetch
from reprolake_builder.progress import Progress
from reprolake_builder.providers.files import Offering, pin_files
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.resolve import resolve
from reprolake_builder.store import Store

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SAMPLE = Path(__file__).parent.parent.parent / "sample-repos" / "no-parameters"
DAY = {"Last-Modified": "Tue, 29 Nov 2022 12:00:00 GMT"}


class Notes(Progress):
    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    yield made
    made.close()


@pytest.fixture
def server():
    with file_server(headers=dict(DAY)) as running:
        yield running


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pinned(store, server, *, told="md5", progress=None, **files: bytes) -> FilesSource:
    """Pin files (two underscores stand for a dot), of which a checksum is told."""
    offers = []
    for key, content in files.items():
        name = key.replace("___", "/").replace("__", ".")
        server.files[f"/{name}"] = content
        checksum = {told: hashlib.new(told, content).hexdigest()} if told else {}
        offers.append(Offer(name, f"{server.address}/{name}", len(content), **checksum))
    tools = source_tools(store, progress or Notes())
    return pin_files(Offering(f"{server.address}/record", tuple(offers)), NOW, tools)


def files_of(store, source) -> set[str]:
    return {path.decode() for path in fetch(source, source_tools(store)).paths}


def test_an_archive_alone_is_the_source(store, server):
    """Its content lies at the root; date and hashes are pinned; what is fetched has the pinned tree."""
    source = pinned(store, server, r__zip=zipped("top/a.py", "top/b/c.py"))
    assert (source.date, source.date_is) == (datetime(2022, 11, 29, 12, tzinfo=UTC), "last modified")
    assert [(file.name, file.unpacked) for file in source.files] == [("r.zip", True)]
    assert files_of(store, source) == {"a.py", "b/c.py"}


def test_an_archive_beside_files(store, server):
    """A README lies beside the archive's content; of two files with one path the archive's is taken, and a difference told."""
    notes = Notes()
    archive = zipped("top/a.py", Item("top/codemeta.json", b"{}"), Item("top/LICENSE", b"MIT"))
    source = pinned(
        store, server, progress=notes, r__zip=archive, README__md=b"r", codemeta__json=b"[]", LICENSE=b"MIT"
    )
    assert files_of(store, source) == {"a.py", "codemeta.json", "LICENSE", "README.md"}
    assert notes.notes == ["codemeta.json is not taken: the archive has another file of that name"]


def test_several_archives_have_folders_of_their_names(store, server):
    """Where two have one name the suffix stays."""
    archive = zipped("top/x")
    source = pinned(
        store, server, code__zip=archive, data__tar=tarred("x"), data__zip=archive, d___e__tgz=tarred("y")
    )
    assert files_of(store, source) == {"code/x", "data.tar/x", "data.zip/x", "d/e/y"}


@pytest.mark.parametrize("told", ["md5", "sha256", ""])
def test_a_second_look_fetches_nothing(store, server, told):
    """What a checksum stands for is known by it; without one the file is looked at again."""
    first = pinned(store, server, told=told, r__zip=zipped("a"))
    count = len(server.asked)
    assert pinned(store, server, told=told, r__zip=zipped("a")) == first
    assert len(server.asked) == (count if told else count + 1)


def test_the_lock_is_enough(store, server, tmp_path):
    """Another host fetches the pinned files by their SHA-256, and no others."""
    source = pinned(store, server, r__zip=zipped("a"), b__txt=b"b")
    other = Store(tmp_path / "other")
    assert files_of(other, source) == {"a", "b.txt"}
    other.close()
    server.files["/b.txt"] = b"c"
    third = Store(tmp_path / "third")
    with pytest.raises(FetchError, match=r"b\.txt arrived with SHA-256 .* the lock says"):
        fetch(source, source_tools(third))
    third.close()


@pytest.mark.parametrize(
    ("offer", "reason"),
    [
        ({"md5": "0" * 32}, "arrived with the MD5 "),
        ({"size": 2}, r"a\.txt has 3 bytes, and not the 2"),
        ({"size": 4}, r"a\.txt has 3 bytes, and not the 4"),
        ({"sha256": "0" * 64}, "arrived with SHA-256 "),
    ],
)
def test_what_is_not_as_told_is_not_kept(store, server, offer, reason):
    """Size and checksums are those of the record, or nothing is taken."""
    server.files["/a.txt"] = b"abc"
    with pytest.raises(FetchError, match=reason):
        pin_files(
            Offering(server.address, (Offer("a.txt", f"{server.address}/a.txt", **offer),)),
            NOW,
            source_tools(store),
        )
    assert not list((store.root / "archives").glob("*/*"))


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\nb", "", ".git/config", "a//b"])
def test_names_lead_nowhere(store, server, name):
    """A record's file is never written outside of the source, whatever it is called."""
    server.files["/a"] = b"abc"
    with pytest.raises(ResolveError):
        pin_files(Offering(server.address, (Offer(name, f"{server.address}/a"),)), NOW, source_tools(store))


def test_files_cannot_pass_for_others(store, server):
    """A lock whose files make another tree than it says is refused, although the store has that tree."""
    one, other = (pinned(store, server, **{name: content}) for name, content in (("a", b"1"), ("b", b"2")))
    fetch(other, source_tools(store))
    with pytest.raises(FetchError, match="have the tree"):
        fetch(msgspec.structs.replace(one, tree=other.tree), source_tools(store))


def test_an_archive_that_cannot_be_taken_is_named(store, server):
    """The record, the file and the entry are told."""
    with pytest.raises(
        ResolveError, match=r"record make no source: r\.zip cannot be unpacked: a is encrypted|leads out"
    ):
        pinned(store, server, r__zip=zipped("../a"))


def test_a_large_file_is_told_before(store, server, monkeypatch):
    """Its size is told before it is fetched; what the disk has no room for is not begun."""
    monkeypatch.setattr("reprolake_builder.download._LARGE", 10)
    notes = Notes()
    pinned(store, server, progress=notes, a__txt=bytes(2_000_000))
    assert notes.notes == ["Fetching a.txt: 2 MB"]
    huge = [Offer(name, f"{server.address}/a.txt", 1 << 49) for name in ("a.txt", "b.txt")]
    count = len(server.asked)
    with pytest.raises(FetchError, match=r"takes 1125899\.9 GB, and the disk of the store .* has"):
        pin_files(Offering(server.address, tuple(huge)), NOW, source_tools(store))
    assert len(server.asked) == count


def test_an_address_is_taken_by_its_hash(store, server):
    """With --sha256 or in the link; a folder of it may be asked for; another hash is refused."""
    content = zipped("top/a/x.ipynb")
    server.files["/r.zip"] = content
    link = f"{server.address}/r.zip"
    tools = source_tools(store)
    source = resolve(LinkRequest(link=link, now=NOW, sha256=sha256(content), subdir="a"), tools)
    fragment = f"#sha256={sha256(content).upper()}&subdirectory=a"
    assert resolve(LinkRequest(link=link + fragment, now=NOW), tools) == source
    assert (source.url, source.subdir) == (link, "a")
    with pytest.raises(FetchError, match="arrived with SHA-256"):
        resolve(LinkRequest(link=link, now=NOW, sha256="0" * 64), tools)
    with pytest.raises(ResolveError, match="there is no folder b in them; folders: a"):
        resolve(LinkRequest(link=link, now=NOW, sha256=sha256(content), subdir="b"), tools)


def test_an_address_without_hash_is_not_pinned(store, server):
    """The failure tells the hash of what is there now; with --locked nothing is asked."""
    content = zipped("a")
    server.files["/r.zip"] = content
    request = LinkRequest(link=f"{server.address}/r.zip", now=NOW)
    with pytest.raises(ResolveError, match="another file tomorrow") as caught:
        resolve(request, source_tools(store))
    assert f"--sha256 {sha256(content)}" in caught.value.hint
    count = len(server.asked)
    with pytest.raises(ResolveError, match="another file tomorrow"):
        resolve(replace(request, locked=True), source_tools(store))
    assert len(server.asked) == count


@pytest.mark.parametrize(
    ("link", "options", "reason"),
    [
        ("https://jane:s3cret@a.example/r.zip", {}, "carries a login"),
        ("https://a.example/r.zip?token=s3cret", {}, "carries a login"),
        ("https://a.example/r.zip", {"sha256": "abc"}, "is no SHA-256"),
        ("https://a.example/r.zip", {"sha256": "0" * 64, "ref": "main"}, "--ref main has no meaning"),
        ("https://a.example/r.zip#md5=0", {}, "#md5=0 is not understood"),
        ("https://a.example/r.zip#sha256=" + "1" * 64, {"sha256": "0" * 64}, "two answers for the SHA-256"),
        ("https://a.example/r.git", {"sha256": "0" * 64}, "--sha256 is for the address of an archive"),
        ("https://a.example/a b.zip", {}, "neither spaces nor control"),
    ],
)
def test_mistakes_in_addresses(store, link, options, reason):
    """Each is told before anything is fetched, without the login."""
    with pytest.raises(ResolveError, match=reason) as caught:
        resolve(LinkRequest(link=link, now=NOW, **options), source_tools(store))
    assert "s3cret" not in caught.value.message + caught.value.hint


@pytest.mark.engine("bubblewrap")
def test_an_archive_is_run_like_a_repository(reprolake, server, tmp_path):
    """Resolve, lock, build and run of a zip behind an address; the lock alone builds the same image."""
    names = [Item(f"top-1.0/{path.name}", path.read_bytes()) for path in SAMPLE.iterdir()]
    cff = b"title: Sums\nlicense: MIT\nauthors: [{given-names: Ada, family-names: Lovelace}]\n"
    content = zipped(*names, Item("top-1.0/CITATION.cff", cff))
    server.files["/top-1.0.zip"] = content
    link = f"{server.address}/top-1.0.zip"
    digits = ("--sha256", sha256(content))
    told = json.loads(reprolake("resolve", link, *digits, "--json").stdout)
    assert (told["kind"], told["url"]) == ("files", link)
    locked = reprolake("lock", link, *digits, "--as-of", "2024-01-01", "-o", tmp_path / "a.lock")
    assert locked.returncode == 0, locked.stderr
    built = json.loads(reprolake("build", tmp_path / "a.lock", "--json").stdout)
    done = reprolake(
        "run", link, "sum.ipynb", *digits, "--as-of", "2024-01-01", "--stage", tmp_path, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["image"] == built["image"]
    shown = reprolake("inspect", built["image"]).stdout
    for text in (f"source = {link}", "licenses = MIT", "title       Sums", "author      Ada Lovelace"):
        assert text in shown
    crate = next(tmp_path.glob("*/ro-crate-metadata.json")).read_text()
    assert "#person-Ada%20Lovelace" in crate
