"""Git LFS: files come by the SHA-256 of their pointers, from the server that the repository has, without git-lfs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from git_repositories import Repository, served
from lfs_store import LfsStore
from source_tools import source_tools

from reprolake_builder.detect import detect
from reprolake_builder.documents.source import LfsContent
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.fetch import fetch
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.resolve import resolve
from reprolake_builder.store import Store

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EVENTS = b"events " * 5000
IMAGE = bytes(range(256)) * 40


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    yield made
    made.close()


@pytest.fixture
def lfs():
    return LfsStore()


@pytest.fixture
def repository(tmp_path, lfs):
    """A repository with two files in LFS, and a third one that only looks like it."""
    made = Repository(tmp_path / "lab" / "crab.git")
    made.git("config", "filter.lfs.process", "")
    made.git("config", "filter.lfs.required", "false")
    attributes = "# *.txt filter=lfs\n*.fits filter=lfs diff=lfs merge=lfs -text\n"
    made.commit(data___events__fits=lfs.add(EVENTS), data___image__fits=lfs.add(IMAGE), a="1", data_____gitattributes=attributes,
                other___events__fits=lfs.add(EVENTS))  # fmt: skip
    return made


def brought(store, link, **options):
    tools = source_tools(store)
    return fetch(resolve(LinkRequest(link=link, now=NOW, **options), tools), tools)


def content(tree, path):
    return (tree.folder / path).read_bytes()


def test_files_in_lfs_are_there(repository, lfs, store, tmp_path):
    """The files are in place of their pointers, the source tells how many and how large, and the tree is the commit's."""
    with served(tmp_path / "lab", lfs=lfs) as address:
        tree = brought(store, f"{address}/crab.git")
        assert content(tree, "data/events.fits") == EVENTS
        assert content(tree, "data/image.fits") == IMAGE
        assert tree.read_text("other/events.fits").startswith("version https://git-lfs")
        assert tree.source.lfs == LfsContent(files=2, size=len(EVENTS) + len(IMAGE))
        assert tree.source.tree == repository.git("rev-parse", "HEAD^{tree}")
        assert not any(item.matters for item in detect(tree, ()).unheard)
        assert sorted(lfs.given) == sorted(lfs.objects)
        again = Store(tmp_path / "again")
        assert fetch(tree.source, source_tools(again)).tree.key == tree.tree.key


def test_a_folder_on_this_host(repository, lfs, store):
    """From a repository on this host the objects are taken that git-lfs keeps in it."""
    for oid, data in lfs.objects.items():
        place = repository.folder / ".git/lfs/objects" / oid[:2] / oid[2:4] / oid
        place.parent.mkdir(parents=True)
        place.write_bytes(data)
    assert content(brought(store, repository.url), "data/events.fits") == EVENTS
    place.write_bytes(b"other")
    with pytest.raises(FetchError):
        brought(Store(store.root.with_name("other")), repository.url)


def test_another_server(repository, lfs, store, tmp_path):
    """.lfsconfig names the server; what it names on this host's disk is refused."""
    with served(tmp_path / "lab", lfs=lfs) as keeps, served(tmp_path / "lab") as address:
        repository.commit(__lfsconfig=f"[lfs]\n\turl = {keeps}/crab.git/info/lfs\n")
        assert content(brought(store, f"{address}/crab.git"), "data/image.fits") == IMAGE
        empty = Store(tmp_path / "empty")
        for url in (f"file://{tmp_path}", "http://[", "ssh://h.org/x", "ext::sh", "http://"):
            repository.commit(__lfsconfig=f"[lfs]\n\turl = {url}\n")
            with pytest.raises(FetchError, match="which is not followed"):
                brought(empty, f"{address}/crab.git")


def test_an_object_that_is_gone(repository, lfs, store, tmp_path):
    """The error names the file and what goes on without it; so does a server without Git LFS."""
    lfs.objects.pop(next(iter(lfs.objects)))
    with served(tmp_path / "lab", lfs=lfs) as address:
        with pytest.raises(
            FetchError, match=r"data/events\.fits is kept in Git LFS.*404 Object does not exist"
        ) as failure:
            brought(store, f"{address}/crab.git")
        assert "--ignore" in failure.value.hint
    with served(tmp_path / "lab") as address:
        with pytest.raises(FetchError, match="and its server does not answer"):
            brought(store, f"{address}/crab.git")
        link = f"{address}/crab.git"
        with pytest.raises(FetchError):
            brought(store, link, ignore=("other/.gitattributes",))
        tree = brought(store, link, ignore=("data/.gitattributes",))
    assert (tree.source.lfs, tree.source.left) == (None, ("data/.gitattributes",))
    assert tree.read_text("data/events.fits").startswith("version https://git-lfs")
    assert [item.path for item in detect(tree, ()).unheard if item.matters] == ["data/.gitattributes"]


def test_damaged_objects_are_refused(repository, lfs, store, tmp_path):
    """An object with other bytes than its pointer says is not taken, however often it is given."""
    lfs.spoiled = set(lfs.objects)
    with served(tmp_path / "lab", lfs=lfs) as address, pytest.raises(FetchError):
        brought(store, f"{address}/crab.git")


@pytest.mark.parametrize(
    ("href", "header"),
    [
        ("file:///etc/passwd", {}),
        ("http://[", {}),
        ("http://h.org:x/", {}),
        ("ftp://h.org/x", {}),
        ("/etc/passwd", {}),
        ("", {"X-Evil": "a\r\nHost: other"}),
    ],
)
def test_what_a_server_says_is_not_believed(repository, lfs, store, tmp_path, href, header):
    """Addresses that are none of the web's, and headers that hold line breaks, are refused by an error of our own."""
    lfs.href, lfs.header = href, header
    with served(tmp_path / "lab", lfs=lfs) as address, pytest.raises(FetchError):
        brought(store, f"{address}/crab.git")
    assert lfs.given == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b'{"x": ' + b"[" * 1_000_000,
        b'{"objects": [{"oid": "\xff"}]}',
        b'{"objects": [{"oid": 1}]}',
        b'{"objects": []}',
        b'{"objects": [], "transfer": "ssh"}',
    ],
)
def test_answers_that_are_none(repository, lfs, store, tmp_path, answer):
    """A server that answers otherwise than the specification says gives an error of our own."""
    lfs.answers = answer
    with served(tmp_path / "lab", lfs=lfs) as address, pytest.raises(FetchError, match="LFS"):
        brought(store, f"{address}/crab.git")


def test_logins_for_lfs(repository, lfs, store, tmp_path):
    """The link's login opens the batch question while resolving and fetching share it; git's helper has it otherwise."""
    helper = tmp_path / "gitconfig"
    helper.write_text(
        '[credential]\n\thelper = "!f() { echo username=jane; echo password=s3cret-word; }; f"\n'
    )
    with served(tmp_path / "lab", "jane:s3cret-word", lfs=lfs) as address:
        tools = source_tools(store)
        source = resolve(
            LinkRequest(link=f"{address}/crab.git".replace("://", "://jane:s3cret-word@"), now=NOW), tools
        )
        with pytest.raises(FetchError, match="answers 401"):
            fetch(source, tools)
        tools = source_tools(store, environment={**tools.git_environment, "GIT_CONFIG_GLOBAL": str(helper)})
        assert content(fetch(source, tools), "data/events.fits") == EVENTS


def test_a_pointer_that_is_none(repository, lfs, store, tmp_path):
    """What begins like a pointer and is not one stays as it is and is told as missing content."""
    repository.commit(
        data___bad__fits=f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 63}\nsize 1\n"
    )
    with served(tmp_path / "lab", lfs=lfs) as address:
        tree = brought(store, f"{address}/crab.git")
    assert [item.path for item in detect(tree, ()).unheard if item.matters] == ["data/.gitattributes"]


def test_more_than_there_is_room_for(repository, lfs, store, tmp_path):
    """Pointers that promise more bytes than a source may hold are refused before anything is fetched."""
    repository.commit(
        data___huge__fits=f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 99999999999999\n"
    )
    with served(tmp_path / "lab", lfs=lfs) as address, pytest.raises(ResolveError, match=r"more than .* GiB"):
        brought(store, f"{address}/crab.git")
    assert lfs.asked == []
