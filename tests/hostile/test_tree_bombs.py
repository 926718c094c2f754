"""Trees of git that a few objects make endless: in entries, in emptiness, in the length of a name, through submodules."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

import pytest
from git_repositories import Repository
from source_tools import source_tools

from reprolake_builder import git_tree, process
from reprolake_builder.errors import ResolveError, StoreError
from reprolake_builder.providers.git import rows
from reprolake_builder.providers.git.cache import CommitFacts
from reprolake_builder.providers.git.command import git_in
from reprolake_builder.providers.git.refs import parse_advertised
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.providers.links.heritage import Swhid
from reprolake_builder.providers.records.proof import equals_heritage
from reprolake_builder.resolve import resolve
from reprolake_builder.store import Store

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    yield made
    made.close()


@pytest.fixture
def repository(tmp_path):
    made = Repository(tmp_path / "origin")
    made.commit(requirements__txt="")
    return made


def tree(repository: Repository, *rows: str) -> str:
    """Make a tree object of rows as `git ls-tree` prints them."""
    return repository.git("mktree", "-z", stdin="".join(f"{row}\0" for row in rows).encode())


def committed(repository: Repository, root: str) -> None:
    commit = repository.git("commit-tree", root, "-m", "bomb")
    repository.git("update-ref", "refs/heads/main", commit)


def endless(repository: Repository, depth: int, width: int = 32) -> str:
    """Make a tree without a single file in it, and with `width` to the power of `depth` folders."""
    found = tree(repository)
    for _ in range(depth):
        found = tree(repository, *(f"040000 tree {found}\t{number}" for number in range(width)))
    return found


def resolved(store: Store, link: str):
    return resolve(LinkRequest(link=link, now=NOW), source_tools(store))


def test_folders_without_files_do_not_take_endless_time(repository, store, monkeypatch):
    """A tree of endlessly many empty folders, of which git lists nothing for ages, is given up."""
    monkeypatch.setattr(rows, "_PATIENCE", 1)
    committed(repository, endless(repository, 12))
    begun = time.monotonic()
    with pytest.raises(ResolveError, match="git too long"):
        resolved(store, repository.url)
    assert time.monotonic() - begun < 100


def test_an_archive_without_files_does_not_take_endless_time(repository, monkeypatch):
    """Git's own archive of such a tree, which a comparison with a record's would read, is given up as well."""
    monkeypatch.setattr(rows, "_PATIENCE", 1)
    committed(repository, endless(repository, 12))
    git = git_in(repository.folder, {"PATH": "/usr/bin:/bin"})
    facts = CommitFacts("HEAD", "0" * 40, NOW)
    assert equals_heritage(Swhid("dir", "1" * 40), facts, git) is None


def test_a_name_without_end_is_refused(repository, store):
    """A name of many megabytes, which no file system takes, is not put together piece by piece."""
    blob = repository.git("hash-object", "-w", "--stdin", stdin=b"x")
    row = b"100644 " + b"a" * (48 << 20) + b"\0" + bytes.fromhex(blob)
    root = repository.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=row)
    committed(repository, root)
    begun = time.monotonic()
    with pytest.raises(ResolveError, match="name"):
        resolved(store, repository.url)
    assert time.monotonic() - begun < 100


def test_submodules_do_not_multiply_what_a_tree_may_hold(repository, store, tmp_path, monkeypatch):
    """The limits of a tree are those of a commit with all of its submodules: one small repository can stand in it many times."""
    monkeypatch.setattr(git_tree, "MOST_ENTRIES", 100)
    inner = Repository(tmp_path / "inner")
    commit = inner.commit(**{f"f{number}": "x" for number in range(30)})
    lines = [f'[submodule "m{n}"]\n\tpath = m{n}\n\turl = {inner.url}\n' for n in range(5)]
    repository.write(__gitmodules="".join(lines))
    repository.git("add", "-A")
    for number in range(5):
        repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},m{number}")
    repository.git("commit", "-q", "-m", "modules")
    with pytest.raises(ResolveError, match="more than 100 entries"):
        resolved(store, repository.url)


def test_lists_of_refs_have_an_end():
    """Names by the million are not made objects of."""
    with pytest.raises(ResolveError, match="64 MiB of branches"):
        parse_advertised(b"x" * (65 << 20))


def test_a_pack_without_end_is_not_kept(repository, store, monkeypatch):
    """A server that sends more than a source may hold fills no disk, and is not asked again by other ways."""
    monkeypatch.setattr(process, "_LARGEST_FILE", 1 << 20)
    (repository.folder / "noise").write_bytes(os.urandom(4 << 20))
    repository.commit()
    with pytest.raises(StoreError, match="cannot be stored"):
        resolved(store, repository.url)
    assert sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file()) < 2 << 20
