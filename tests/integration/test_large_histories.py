"""Large histories: for one commit a small part of them crosses the network, whatever the server allows."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from git_repositories import Repository, served
from source_tools import source_tools

from reprolake_builder.documents.environment import SpokenFile
from reprolake_builder.errors import ResolveError
from reprolake_builder.fetch import fetch
from reprolake_builder.providers.git.changed import last_changed
from reprolake_builder.providers.git.describe import describe_source
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.resolve import resolve
from reprolake_builder.store import Store

NOW = datetime(2026, 1, 2, tzinfo=UTC)
COMMITS = 60
EACH = 50_000  # bytes that no compression makes less


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The folder with a repository of 3 MB, and the ids of its commits; each has one file of 50 kB that no other has."""
    noise = random.Random(1)
    root = tmp_path_factory.mktemp("large")
    repository = Repository(root / "crab.git")
    repository.write(setup__txt="1")
    ids = []
    for number in range(COMMITS):
        (repository.folder / "data").write_bytes(noise.randbytes(EACH))
        ids.append(repository.commit())
        if number == 20:
            repository.git("tag", "v1")
    repository.git("checkout", "-q", "--detach", "v1")
    (repository.folder / "data").write_bytes(noise.randbytes(EACH))
    lost = repository.commit()
    repository.git("checkout", "-q", "main")
    repository.git("repack", "-q", "-d")
    return root, repository, ids, lost


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    yield made
    made.close()


def allow(repository: Repository, **settings: str) -> None:
    """Say what the server allows: everything else is refused."""
    for name in ("allowAnySHA1InWant", "allowFilter"):
        repository.git("config", f"uploadpack.{name}", settings.get(name, "false"))


def pinned(store, link):
    return resolve(LinkRequest(link=link, now=NOW), source_tools(store))


@pytest.mark.parametrize("version_2", [True, False])
@pytest.mark.parametrize("ref", ["main", "v1", "HEAD", "30", "lost"])
def test_one_commit(lab, store, version_2, ref):
    """A branch, a tag, an inner commit and one that no branch reaches each come alone where ids may be asked for."""
    root, repository, ids, lost = lab
    allow(repository, allowAnySHA1InWant="true")
    wanted = {"30": ids[30], "lost": lost}.get(ref, ref)
    sent: list[int] = []
    with served(root, version_2=version_2, sent=sent) as address:
        source = pinned(store, f"{address}/crab.git@{wanted}")
        tree = fetch(source, source_tools(store))
    assert source.commit == repository.git("rev-parse", wanted)
    assert (tree.folder / "data").stat().st_size == EACH
    assert EACH < sum(sent) < 2 * EACH


def test_a_server_that_gives_tips_only(lab, store):
    """By the old protocol a branch and a tag still come alone; an inner commit makes the history come, a lost one is told."""
    root, repository, ids, lost = lab
    allow(repository)
    sent: list[int] = []
    with served(root, version_2=False, sent=sent) as address:
        assert pinned(store, f"{address}/crab.git@v1").commit == ids[20]
        assert sum(sent) < 2 * EACH
        assert pinned(store, f"{address}/crab.git@{ids[30]}").commit == ids[30]
        assert sum(sent) > COMMITS * EACH
        with pytest.raises(ResolveError, match=f"has no commit {lost}"):
            pinned(Store(store.root.with_name("other")), f"{address}/crab.git@{lost}")


def test_the_beginning_of_an_id(lab, store):
    """To find the commit that an id begins no file's content is fetched but that of the commit itself."""
    root, repository, ids, _ = lab
    allow(repository, allowFilter="true")
    sent: list[int] = []
    with served(root, sent=sent) as address:
        assert pinned(store, f"{address}/crab.git@{ids[40][:9]}").commit == ids[40]
        assert sum(sent) < 2 * EACH
        with pytest.raises(ResolveError, match="no branch, tag or commit 'abcdef01'"):
            pinned(store, f"{address}/crab.git@abcdef01")
        with pytest.raises(ResolveError, match=f"has no commit {'1' * 40}"):
            pinned(store, f"{address}/crab.git@{'1' * 40}")
        assert sum(sent) < 2 * EACH


def test_what_the_history_tells(lab, store):
    """The last tag before a commit, and when a file was last changed, are known without the files of the history."""
    root, repository, ids, _ = lab
    allow(repository, allowFilter="true")
    sent: list[int] = []
    with served(root, sent=sent) as address:
        source = pinned(store, f"{address}/crab.git@main")
        found = describe_source(source, source_tools(store))
        assert found is not None
        assert (found.tag, found.distance, found.commit) == ("v1", COMMITS - 21, ids[-1])
        spoken = SpokenFile(path="setup.txt", sha256="0" * 64)
        changed = last_changed(source, (spoken,), source_tools(store))
        assert changed == datetime.fromtimestamp(
            int(repository.git("log", "-1", "--format=%ct", ids[0])), UTC
        )
    assert sum(sent) < 2 * EACH
