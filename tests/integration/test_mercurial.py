"""Mercurial repositories as sources: real ones, given out by hg's own server, and servers that mean no good."""

from __future__ import annotations

import base64
import os
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from deposits import Said
from git_repositories import Repository, command_lines, served
from hg_repositories import HgRepository, served_hg
from source_tools import source_tools

from reprolake_builder.documents.source import MercurialSource
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.fetch import fetch
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.providers.mercurial import provider
from reprolake_builder.providers.mercurial.provider import MercurialProvider, parse_hg_link
from reprolake_builder.resolve import resolve, resolve_link
from reprolake_builder.store import Store

pytestmark = pytest.mark.engine("hg")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HEPTAPOD = "https://foss.heptapod.net/lab/crab"


@pytest.fixture
def said():
    return Said()


@pytest.fixture
def tools(tmp_path, said):
    store = Store(tmp_path / "store")
    yield source_tools(store, said)
    store.close()


@pytest.fixture
def repository(tmp_path):
    made = HgRepository(tmp_path / "crab")
    made.commit(fit__ipynb="{}", sub___a__txt="a")
    return made


def pinned(tools, address, ref="", subdir=""):
    source = resolve(LinkRequest(f"hg+{address}", NOW, ref, subdir), tools)
    assert isinstance(source, MercurialSource)
    return source


def test_a_changeset_has_the_tree_that_git_gives_the_same_files(tools, repository, tmp_path):
    """Files, modes and links are pinned by the hash that git computes for them, and come back as they were."""
    twin = Repository(tmp_path / "twin")
    for folder in (repository.folder, twin.folder):
        (folder / "run.sh").write_text("#!/bin/sh\n")
        (folder / "run.sh").chmod(0o755)
        (folder / "link").symlink_to("sub/a.txt")
    node = repository.commit()
    twin.commit(fit__ipynb="{}", sub___a__txt="a")
    with served_hg(repository.folder) as address:
        source = pinned(tools, address, subdir="sub")
        tree = fetch(source, tools)
    assert (source.url, source.node, source.tree) == (address, node, twin.git("rev-parse", "HEAD^{tree}"))
    assert (source.date.timestamp(), source.ref, source.subdir) == (repository.clock, "", "sub")
    assert tree.paths == (b"fit.ipynb", b"run.sh", b"sub/a.txt")
    assert (tree.folder / "link").readlink().name == "a.txt"
    assert (tree.folder / "run.sh").stat().st_mode & 0o100


def test_a_ref_is_a_tag_branch_bookmark_or_id(tools, said, repository):
    """Each kind of name leads to its changeset; without one the branch default is taken, which is told."""
    first = repository.node()
    repository.tag("v1")
    repository.hg("branch", "--quiet", "side")
    side = repository.commit(new__txt="n")
    repository.hg("bookmark", "mark", "--rev", first)
    with served_hg(repository.folder) as address:
        found = {ref: pinned(tools, address, ref).node for ref in ("v1", "side", "mark", first[:12])}
        tip = pinned(tools, address).node
        with pytest.raises(ResolveError, match="has no branch, tag, bookmark or changeset 'none'"):
            pinned(tools, address, "none")
        with pytest.raises(ResolveError, match="has no folder 'away'") as caught:
            pinned(tools, address, first, subdir="away")
    assert found == {"v1": first, "side": side, "mark": first, first[:12]: first}
    assert said.notes == [f"No ref was given: the branch default is at {tip}"]
    assert tip not in {first, side}
    assert caught.value.hint == "its folders: sub"


def test_a_lock_cannot_claim_other_files_for_a_changeset(tools, repository):
    """Another tree, date or changeset than the repository has is refused; so is an address that is no plain one."""
    with served_hg(repository.folder) as address:
        source = pinned(tools, address)
        fetch(source, tools)
        for changed, words in (
            ({"tree": "7" * 40}, "has the tree"),
            ({"date": NOW}, "has the date"),
            ({"node": "7" * 40}, "has no changeset|cannot be read"),
            ({"url": f"{address}@v1"}, "no plain|is not the plain form"),
        ):
            with pytest.raises(FetchError, match=words):
                fetch(msgspec.structs.replace(source, **changed), tools)


def test_a_changeset_that_was_proven_needs_no_server(tools, repository):
    """What was seen once is remembered, and the files are in the store."""
    with served_hg(repository.folder) as address:
        source = pinned(tools, address)
        fetch(source, tools)
    assert fetch(source, tools).read_text("fit.ipynb") == "{}"


def test_subrepositories_are_left_out_and_told(tools, said, repository, tmp_path):
    """They may be of any kind and anywhere: nothing of them is fetched."""
    inner = HgRepository(repository.folder / "inner")
    inner.commit(a__txt="a")
    repository.commit(__hgsub=f"inner = {tmp_path}/elsewhere\n")
    with served_hg(repository.folder) as address:
        source = pinned(tools, address)
        assert fetch(source, tools).paths == (b".hgsub", b".hgsubstate", b"fit.ipynb", b"sub/a.txt")
    assert said.warnings[0] == f"The subrepositories of {address} are left out"


def test_nobodys_configuration_runs_a_program(repository, tmp_path, said):
    """Hooks and extensions of the user's, of the environment and of the repository in the store are not looked at."""
    marker = tmp_path / "ran"
    evil = (
        f"[hooks]\npre-identify = touch {marker}\npre-pull = touch {marker}\npre-archive = touch {marker}\n"
    )
    evil += f"[extensions]\nevil = {tmp_path}/evil.py\n[alias]\narchive = !touch {marker}\n"
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w')\n")
    home = tmp_path / "home"
    home.mkdir()
    for place in (home / ".hgrc", tmp_path / "evil.rc", repository.folder / ".hg/hgrc"):
        place.write_text(evil if place.name != "hgrc" else "")
    store = Store(tmp_path / "store")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HGRCPATH": str(tmp_path / "evil.rc"),
        "HGPLAIN": "",
    }
    tools = source_tools(store, said, environment)
    with served_hg(repository.folder) as address:
        pinned(tools, address)
        for cache in (store.root / "hg").glob("*/.hg"):
            (cache / "hgrc").write_text(evil)
        repository.commit(b__txt="b")
        source = pinned(tools, address)
        fetch(source, tools)
    store.close()
    assert not marker.exists()


def test_names_that_lead_into_gits_folder_are_refused(tools, repository):
    """A repository of Mercurial's may hold what no tree of git may."""
    repository.commit(x___git___hooks___post="#!/bin/sh")
    (repository.folder / "x" / "git").rename(repository.folder / "x" / ".GIT")
    repository.commit()
    with (
        served_hg(repository.folder) as address,
        pytest.raises(ResolveError, match="which no repository may have"),
    ):
        pinned(tools, address)


@pytest.mark.parametrize(
    "link",
    ["hg+file:///etc", "hg+ssh://h/r", "hg::ssh://h/r", "hg+/etc", "hg+bundle:x", "hg+static-http://h/r"],
)
def test_hg_reads_no_local_repository_and_starts_no_ssh(tools, link):
    """Mercurial would run what a local repository configures, and ssh whatever its host is called."""
    with pytest.raises(ResolveError):
        resolve(LinkRequest(link, NOW), tools)


def test_a_host_without_mercurial_says_what_to_install(tmp_path, said):
    """The missing program is named with the remedy."""
    store = Store(tmp_path / "store")
    with pytest.raises(ResolveError, match="is not installed") as caught:
        pinned(source_tools(store, said, {"PATH": str(tmp_path)}), "http://127.0.0.1:9/r")
    assert caught.value.hint == "install it: apt install mercurial"
    store.close()


def test_a_server_that_is_away_may_be_back(tools):
    """A refused connection is temporary."""
    with pytest.raises(ResolveError, match="cannot be reached") as caught:
        pinned(tools, "http://127.0.0.1:9/r")
    assert caught.value.transient


class _Closed(BaseHTTPRequestHandler):
    seen: list[str]
    watched: set[bytes]

    def do_GET(self):
        self.watched |= command_lines()
        self.seen.append(self.headers.get("Authorization", ""))
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="hg"')
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_login_stands_in_no_command_line_and_no_error(tools):
    """A login in the link goes to hg in a file of its own, and is answered to the server that asks."""
    handler = type("Closed", (_Closed,), {"seen": [], "watched": set()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        with pytest.raises(ResolveError, match="asks who you are") as caught:
            pinned(tools, f"http://ada:s3cret-word@127.0.0.1:{server.server_port}/r")
        server.shutdown()
        thread.join()
    assert "Basic " + base64.b64encode(b"ada:s3cret-word").decode() in handler.seen
    assert not any(b"s3cret-word" in line for line in handler.watched)
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"
    assert not [
        path for path in tools.store.root.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()
    ]


@pytest.mark.parametrize(
    ("link", "url", "ref", "subdir"),
    [
        ("hg+https://a.example/lab/crab@v1#subdirectory=x", "https://a.example/lab/crab", "v1", "x"),
        ("hg::https://a.example/lab/crab", "https://a.example/lab/crab", "", ""),
        ("https://hg.mozilla.org/lab/crab", "https://hg.mozilla.org/lab/crab", "", ""),
        (
            "https://hg.mozilla.org/lab/crab/rev/0123456789ab",
            "https://hg.mozilla.org/lab/crab",
            "0123456789ab",
            "",
        ),
        ("https://hg.mozilla.org/lab/crab/file/tip/a/b", "https://hg.mozilla.org/lab/crab", "", "a/b"),
        ("https://hg.mozilla.org/lab/crab/file/v1/fit.ipynb#l1", "https://hg.mozilla.org/lab/crab", "v1", ""),
        ("https://hg.mozilla.org/lab/crab/archive/v1.tar.gz", "https://hg.mozilla.org/lab/crab", "v1", ""),
        (f"{HEPTAPOD}/-/blob/branch/stable/a/fit.ipynb?ref_type=heads", HEPTAPOD, "stable", ""),
        (f"{HEPTAPOD}/-/blob/branch/default/setup.py", HEPTAPOD, "", ""),
        (f"{HEPTAPOD}/-/tree/topic/default/new-fit/docs", HEPTAPOD, "new-fit", "docs"),
        (f"{HEPTAPOD}/-/tree/v1", HEPTAPOD, "v1", ""),
        (f"{HEPTAPOD}/-/commit/{'a' * 40}", HEPTAPOD, "a" * 40, ""),
        (f"hg+{HEPTAPOD}/-/tags/v1", HEPTAPOD, "v1", ""),
        ("hg+https://a.example/lab/file/v1/x", "https://a.example/lab/file/v1/x", "", ""),
    ],
)
def test_links_to_mercurial(link, url, ref, subdir):
    """The scheme says that hg is meant, or the host does, whose pages are understood, as are Heptapod's."""
    assert MercurialProvider().recognises(link)
    found = parse_hg_link(link)
    assert (found.url, found.ref, found.subdir) == (url, ref, subdir)


@pytest.mark.parametrize(
    ("link", "notebook"),
    [
        ("https://hg.mozilla.org/lab/crab/file/tip/a/fit.ipynb", "a/fit.ipynb"),
        ("https://hg.mozilla.org/lab/crab/file/tip/a", ""),
        (f"{HEPTAPOD}/-/blob/branch/default/a/fit%20it.ipynb", "a/fit it.ipynb"),
        (HEPTAPOD, ""),
    ],
)
def test_notebooks_in_links_to_mercurial(link, notebook):
    """The page of a notebook names it."""
    assert MercurialProvider().notebook_in(link) == notebook


def test_a_page_of_heptapod_is_mercurials_or_gits(repository, tools, tmp_path, monkeypatch):
    """A host that has both kinds is asked as hg first; what is no repository of hg's is one of git's."""
    monkeypatch.setattr(provider, "_HOSTS", {"127.0.0.1", "localhost"})
    with served_hg(repository.folder) as address:
        found = resolve_link(LinkRequest(f"{address}/-/blob/branch/default/fit.ipynb", NOW), tools)
    assert (found.source.url, found.source.node, found.notebook) == (address, repository.node(), "fit.ipynb")
    git = Repository(tmp_path / "git" / "lab" / "crab.git")
    commit = git.commit(fit__ipynb="{}")
    with served(tmp_path / "git") as forge:
        found = resolve_link(LinkRequest(f"{forge}/lab/crab/-/blob/main/fit.ipynb", NOW), tools)
    assert (found.source.commit, found.notebook) == (commit, "fit.ipynb")
