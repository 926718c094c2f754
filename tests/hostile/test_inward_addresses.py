"""What archives and servers of Git LFS name, when they are public and it is not."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import pytest
from file_server import file_server
from git_repositories import Repository
from source_tools import source_tools

from reprolake_builder.download import Offer
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.providers.deposits.deposit import Deposit, pin_deposit
from reprolake_builder.providers.git import lfs
from reprolake_builder.providers.git.cache import CommitFacts, GitCache
from reprolake_builder.providers.git.command import git_in
from reprolake_builder.providers.git.lfs import bring_objects
from reprolake_builder.providers.git.parts import Part
from reprolake_builder.providers.git.pointers import Pointer
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.providers.links.git import GitLink
from reprolake_builder.store import Store

NOW = datetime(2026, 1, 2, tzinfo=UTC)
INSIDE = "http://169.254.169.254/latest/meta-data"
ENDPOINT = "http://git.example.org/a/b.git/info/lfs"
OID = "a" * 64


@pytest.fixture
def tools(tmp_path):
    store = Store(tmp_path / "store")
    yield source_tools(store)
    store.close()


def test_a_record_offers_no_files_of_this_network(tools):
    """A data set of a public portal whose file lies at an internal address is refused before it is asked for."""
    deposit = Deposit(
        "data.example.org", "x", "https://data.example.org/x", (Offer("x", INSIDE),), NOW, "published"
    )
    with pytest.raises(ResolveError, match="of this host or its network"):
        pin_deposit(deposit, LinkRequest(link="", now=NOW), tools)


def test_a_record_offers_no_files_at_no_address(tools):
    """A file whose address cannot be taken apart is refused like any other that no source may hold."""
    deposit = Deposit(
        "data.example.org", "x", "https://data.example.org/x", (Offer("x", "https://[x"),), NOW, "published"
    )
    with pytest.raises(ResolveError, match="cannot be pinned"):
        pin_deposit(deposit, LinkRequest(link="", now=NOW), tools)


@pytest.fixture
def alias(monkeypatch):
    """A public name, which leads to this host as all of its domain do."""
    real = socket.getaddrinfo

    def look_up(host, *others, **more):
        return real("127.0.0.1" if str(host).endswith(".example.org") else host, *others, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return "alias.example.org"


def test_a_record_names_no_file_of_this_host(tools, alias):
    """A file of a public portal at a public name that stands for this host is refused before it is asked for."""
    page = "https://data.example.org/x"
    with file_server(files={"/x": b"secret"}) as inner:
        offer = Offer("x", inner.address.replace("127.0.0.1", alias) + "/x")
        deposit = Deposit("data.example.org", "x", page, (offer,), NOW, "published")
        with pytest.raises(ResolveError, match="of this host or its network"):
            pin_deposit(deposit, LinkRequest(link="", now=NOW), tools)
        assert inner.asked == []


def test_a_redirect_names_no_file_of_this_host(tools, alias):
    """A public server does not lead on to a public name that stands for this host."""
    with file_server(files={"/x": b"secret"}) as inner, file_server() as outer:
        outer.redirects["/a"] = inner.address.replace("127.0.0.1", alias) + "/x"
        with pytest.raises(FetchError, match="of this host or its network"):
            tools.downloader.get(outer.address.replace("127.0.0.1", "data.example.org") + "/a")
        assert len(outer.asked) == 1
        assert inner.asked == []


@pytest.fixture
def server(tools, tmp_path):
    git = git_in(Repository(tmp_path / "r").folder, {"PATH": "/usr/bin:/bin"})
    return lfs._Server(ENDPOINT, git, tools, {"Authorization": "Basic mine"})


def wanted(server, href, header):
    """Return what a batch answer with one object makes us fetch."""
    download = lfs._Download(href, header)
    answer = lfs._Answer([lfs._Object(OID, lfs._Actions(download))])
    return list(server._wanted({OID: lfs._Missing(Pointer(OID, 1), b"x")}, answer))


def test_a_server_of_lfs_gives_no_address_of_this_network(server):
    """What a public server keeps does not lie in here."""
    with pytest.raises(FetchError, match="not followed"):
        wanted(server, INSIDE, {})


def test_a_server_of_lfs_names_no_file_of_this_host(server, alias):
    """What a public server keeps does not lie at a public name that stands for this host."""
    with pytest.raises(FetchError, match="not followed"):
        wanted(server, f"http://{alias}/x", {})


@pytest.mark.parametrize("url", [f"{INSIDE}/lfs", "http://alias.example.org/lfs"])
def test_a_repository_names_no_server_of_this_host(tools, tmp_path, alias, url):
    """What a public repository says of its server of Git LFS does not lead in here, also not by a public name."""
    repository = Repository(tmp_path / "r")
    commit = repository.commit(__lfsconfig=f"[lfs]\n\turl = {url}\n")
    git = git_in(repository.folder, {"PATH": "/usr/bin:/bin"})
    cache = GitCache(git, (git,), GitLink("http://git.example.org/a/b.git"), tools.progress, FetchError)
    facts = CommitFacts(commit, repository.git("rev-parse", "HEAD^{tree}"), NOW)
    with pytest.raises(FetchError, match="which is not followed"):
        bring_objects(Part(b"", cache, facts, (), {b"f": Pointer(OID, 1)}), tools)


def test_a_server_of_lfs_does_not_say_whom_a_request_is_for(server):
    """Of the header fields that it wants to be sent, those of the connection are left out, and the login is for its own server."""
    header = {
        "Host": "inside.example.org",
        "transfer-encoding": "chunked",
        "Proxy-Authorization": "x",
        "X-Token": "t",
    }
    (found,) = wanted(server, "http://o.example.org/x", header)
    assert found.headers == (("X-Token", "t"),)
