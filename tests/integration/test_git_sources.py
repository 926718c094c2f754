"""Git repositories as sources: the exact ref wins, only its commit is fetched, and what arrives is what was pinned."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from git_repositories import DATE, Repository, served
from source_tools import source_tools

from reprolake_builder.documents.source import GitSource
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.fetch import fetch
from reprolake_builder.progress import Progress
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.resolve import resolve
from reprolake_builder.store import Store

EMPTY = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


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
def repository(tmp_path):
    return Repository(tmp_path / "origin")


def pinned(store, link, ref="", subdir=""):
    request = LinkRequest(link=link, now=NOW, ref=ref, subdir=subdir)
    source = resolve(request, source_tools(store))
    assert isinstance(source, GitSource)
    return source


def cached(store):
    return next((store.root / "git").glob("*[!k]"))


def test_a_commit_comes_with_tree_and_date(repository, store):
    """The pinned source names the commit, its tree and the committer's date; the ref stays as it was asked for."""
    commit = repository.commit(a__txt="one")
    source = pinned(store, repository.url + "@main")
    assert source == GitSource(
        url=repository.url,
        commit=commit,
        tree=repository.git("rev-parse", "HEAD^{tree}"),
        date=datetime.fromtimestamp(DATE + 60, UTC),
        ref="main",
    )


def test_without_a_ref_head_is_pinned(repository, store):
    """No ref means the server's HEAD, whatever its branch is called, recorded as a commit."""
    commit = repository.commit(a="1")
    repository.git("branch", "-m", "trunk")
    assert (pinned(store, repository.url).commit, pinned(store, repository.url).ref) == (commit, "")


def test_a_ref_is_never_its_last_component(repository, store):
    """`dev/main` beside `main` and `release/v1` beside the tag `v1` are themselves; a missing `other/main` is an error."""
    repository.commit(a="main")
    repository.git("tag", "v1")
    repository.git("checkout", "-q", "-b", "dev/main")
    dev = repository.commit(a="dev")
    repository.git("checkout", "-q", "-b", "release/v1")
    release = repository.commit(a="release")
    assert pinned(store, repository.url, "dev/main").commit == dev
    assert pinned(store, repository.url, "release/v1").commit == release
    with pytest.raises(ResolveError, match="no branch, tag or commit 'other/main'") as caught:
        pinned(store, repository.url, "other/main")
    assert "main" in caught.value.hint


def test_pull_requests_and_unreachable_commits_are_found(repository, store):
    """`refs/pull/7/head` and a commit that no branch reaches any more are pinned like any other."""
    repository.commit(a="1")
    repository.git("checkout", "-q", "--detach")
    pull = repository.commit(a="pull")
    repository.git("update-ref", "refs/pull/7/head", pull)
    lost = repository.commit(a="lost")
    repository.git("checkout", "-q", "main")
    assert pinned(store, repository.url + "@refs/pull/7/head").commit == pull
    assert pinned(store, repository.url + "@" + lost).commit == lost


def test_a_branch_and_a_tag_of_one_name(repository, store):
    """When they differ, the error names both in full, and the full name decides; when they agree there is no question."""
    first = repository.commit(a="1")
    repository.git("tag", "v1")
    repository.git("branch", "v1")
    assert pinned(store, repository.url, "v1").commit == first
    second = repository.commit(a="2")
    repository.git("branch", "-f", "v1", "main")
    with pytest.raises(ResolveError, match=r"refs/heads/v1 .* and refs/tags/v1"):
        pinned(store, repository.url, "v1")
    assert pinned(store, repository.url, "refs/tags/v1").commit == first
    assert pinned(store, repository.url, "refs/heads/v1").commit == second


def test_annotated_tags_are_peeled(repository, store):
    """An annotated tag, by name or by the id of its object, gives the commit; a tag of a mere file is an error."""
    commit = repository.commit(a="1")
    repository.git("tag", "-a", "-m", "release", "v1")
    assert pinned(store, repository.url, "v1").commit == commit
    assert pinned(store, repository.url, repository.git("rev-parse", "v1")).commit == commit
    repository.git("tag", "file", repository.git("rev-parse", "HEAD:a"))
    with pytest.raises(ResolveError, match="no commit"):
        pinned(store, repository.url, "file")


def test_abbreviated_ids(repository, store):
    """Seven digits find a commit of the history, unless a ref has that very name."""
    commit = repository.commit(a="1")
    other = repository.commit(a="2")
    assert pinned(store, repository.url, commit[:7]).commit == commit
    repository.git("branch", commit[:7])
    assert pinned(store, repository.url, commit[:7]).commit == other
    missing = "0000000" if not commit.startswith("0000000") else "1111111"
    with pytest.raises(ResolveError, match=missing):
        pinned(store, repository.url, missing)


def test_ambiguous_abbreviations_name_the_candidates(repository, store):
    """Two commits with the same first digits are both named."""
    repository.git("mktree")
    repository.commit(a="1")
    seen: dict[str, bytes] = {}
    for number in range(100_000):  # the birthday problem gives a pair among 16^7
        text = f"tree {EMPTY}\nauthor a <a@b> {number} +0000\ncommitter a <a@b> {number} +0000\n\n".encode()
        prefix = hashlib.sha1(b"commit %d\0%s" % (len(text), text)).hexdigest()[:7]
        if prefix in seen:
            break
        seen[prefix] = text
    ids = [
        repository.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=t) for t in (seen[prefix], text)
    ]
    for number, commit in enumerate(ids):
        repository.git("update-ref", f"refs/heads/b{number}", commit)
    with pytest.raises(ResolveError, match="beginning of 2 commits") as caught:
        pinned(store, repository.url, prefix)
    assert all(commit in caught.value.message for commit in ids)


def test_an_unknown_full_id_is_an_honest_error(repository, store):
    """An id that the server does not have is said to be missing, never replaced by something near."""
    repository.commit(a="1")
    with pytest.raises(ResolveError, match="has no commit 1111"):
        pinned(store, repository.url, "1" * 40)


def test_only_the_commit_is_fetched(repository, store):
    """The cache holds one commit without its history, and a second resolve of its id asks nobody."""
    repository.commit(a="1")
    commit = repository.commit(a="2")
    pinned(store, repository.url, "main")
    count = subprocess.run(
        ["git", "--git-dir", cached(store), "rev-list", "--all", "--count"], capture_output=True, check=True
    )
    assert count.stdout == b"1\n"
    shutil.rmtree(repository.folder)
    assert pinned(store, repository.url, commit).commit == commit


def test_sub_folders_are_checked(repository, store):
    """A sub-folder is recorded when the commit has it; a wrong one lists those that are there."""
    repository.commit(demo___a="1", b="2")
    assert pinned(store, repository.url + "#subdirectory=demo/").subdir == "demo"
    with pytest.raises(ResolveError, match="no folder 'Demo'") as caught:
        pinned(store, repository.url, subdir="Demo")
    assert "demo" in caught.value.hint


def test_fetched_files_are_the_committed_ones(repository, store):
    """Content, executable bits and links arrive as committed, owned by the notebook's user, without `.git`."""
    repository.write(
        run__sh="#!/bin/sh\n",
        data___x="x" * 3_000_000,
        __gitattributes="*.txt text eol=crlf ident\n",
        t__txt="a\n$Id$\n",
    )
    (repository.folder / "run.sh").chmod(0o755)
    (repository.folder / "link").symlink_to("/etc/passwd")
    repository.commit()
    source = pinned(store, repository.url)
    tree = fetch(source, source_tools(store))
    entries = {entry.path: entry for entry in tree.tree.entries}
    assert set(entries) == {
        b"repo", b"repo/.gitattributes", b"repo/data", b"repo/data/x", b"repo/link", b"repo/run.sh", b"repo/t.txt",
    }  # fmt: skip
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {(1000, 100)}
    assert entries[b"repo/run.sh"].mode == 0o755
    assert entries[b"repo/link"].target == b"/etc/passwd"
    assert (tree.folder / "data/x").stat().st_size == 3_000_000
    assert tree.read_text("t.txt") == "a\n$Id$\n"
    assert fetch(source, source_tools(store)).tree.key == tree.tree.key


def test_a_pin_is_fetched_on_another_host(repository, tmp_path, store):
    """With nothing but the pin, another store gets the same tree by the commit's id."""
    repository.commit(a="1")
    source = pinned(store, repository.url)
    repository.commit(a="2")
    other = Store(tmp_path / "other")
    tree = fetch(source, source_tools(other))
    assert tree.read_text("a") == "1"
    other.close()


def test_a_forged_pin_is_refused(repository, store):
    """A pin whose tree is not the commit's, or whose URL is no git URL, brings nothing into the store."""
    commit = repository.commit(a="1")
    forged = GitSource(url=repository.url, commit=commit, tree="1" * 40, date=NOW)
    with pytest.raises(FetchError, match="pinned is 1111"):
        fetch(forged, source_tools(store))
    evil = GitSource(url="ext::sh -c touch", commit=commit, tree="1" * 40, date=NOW)
    with pytest.raises(FetchError, match="no git URL"):
        fetch(evil, source_tools(store))
    gone = GitSource(url=repository.url, commit="2" * 40, tree="1" * 40, date=NOW)
    with pytest.raises(FetchError, match="has no commit 2222"):
        fetch(gone, source_tools(store))
    assert not (store.root / "trees").exists()


@pytest.mark.parametrize("version_2", [True, False])
def test_http_with_credentials(repository, store, tmp_path, version_2):
    """A private repository is reached with the link's login, which stands in no document, file, message or list of processes."""
    repository.commit(a="1")
    commit = repository.commit(a="2")
    repository.git("update-server-info")
    watched: set[bytes] = set()
    with served(tmp_path, "jane:s3cret-word", version_2=version_2, watched=watched) as address:
        url = f"{address}/origin/.git"
        with_login = url.replace("://", "://jane:s3cret-word@")
        source = pinned(store, with_login, "main")
        assert (source.url, source.commit) == (url, commit)
        assert fetch(source, source_tools(store)).read_text("a") == "2"
        with pytest.raises(ResolveError, match="asks who you are") as caught:
            pinned(store, url.replace("://", "://jane:wr0ng-word@"), "main")
        assert "wr0ng" not in caught.value.message
    assert any(b"remote-http" in line for line in watched)
    assert not [line for line in watched if b"s3cret" in line or b"wr0ng" in line]
    for folder, _, names in os.walk(store.root):
        for name in names:
            with open(os.path.join(folder, name), "rb") as stream:
                assert b"s3cret" not in stream.read()


def test_a_server_that_gives_no_commits_by_id(repository, store, tmp_path):
    """Where the old protocol refuses ids, all refs are fetched, so that commits in the history are found too."""
    old = repository.commit(a="1")
    repository.commit(a="2")
    with served(tmp_path, version_2=False) as address:
        assert pinned(store, f"{address}/origin/.git", old).commit == old


def test_one_process_at_a_time_fetches_from_a_url(repository, store):
    """Who finds the cache of a URL in use waits for it, says so, and goes on when it is free."""
    repository.commit(a="1")
    pinned(store, repository.url)
    notes = Notes()
    request = LinkRequest(link=repository.url, now=NOW)
    with cached(store).with_suffix(".lock").open() as held, ThreadPoolExecutor(1) as pool:
        fcntl.flock(held, fcntl.LOCK_EX)
        job = pool.submit(resolve, request, source_tools(store, notes))
        with pytest.raises(TimeoutError):
            job.result(0.3)
        assert "Waiting for another process" in notes.notes[0]
        fcntl.flock(held, fcntl.LOCK_UN)
        assert job.result(30).commit


def test_what_a_killed_fetch_left_behind_is_mended(repository, store):
    """Lock files, unfinished packs and a half made cache do not stop the next call."""
    commit = repository.commit(a="1")
    pinned(store, repository.url)
    cache = cached(store)
    for name in (
        "shallow.lock",
        "config.lock",
        f"refs/reprolake/commits/{commit}.lock",
        "objects/pack/tmp_pack_x",
    ):
        (cache / name).touch()
    second = repository.commit(a="2")
    assert pinned(store, repository.url).commit == second
    assert not (cache / "objects/pack/tmp_pack_x").exists()
    shutil.rmtree(cache / "objects")
    shutil.rmtree(cache / "refs")
    assert pinned(store, repository.url).commit == second


def test_unreachable_servers_are_temporary_failures(store):
    """A server that does not answer is told apart from a link that is wrong."""
    with pytest.raises(ResolveError, match="cannot be reached") as caught:
        pinned(store, "http://127.0.0.1:9/a")
    assert caught.value.transient


def test_a_folder_that_is_no_repository(store, tmp_path):
    """A URL that leads to no git repository says so."""
    with pytest.raises(ResolveError, match="cannot be read as a git repository") as caught:
        pinned(store, f"file://{tmp_path}/none")
    assert not caught.value.transient


def test_an_empty_repository(repository, store):
    """A repository without a commit has nothing to pin."""
    with pytest.raises(ResolveError, match="no commit that its HEAD names"):
        pinned(store, repository.url)


def test_a_shallow_origin_will_do(repository, store, tmp_path):
    """A shallow clone can be a source itself."""
    repository.commit(a="1")
    commit = repository.commit(a="2")
    repository.git("clone", "-q", "--depth=1", repository.url, str(tmp_path / "shallow"))
    assert pinned(store, f"file://{tmp_path}/shallow").commit == commit


def test_repositories_of_the_sha_256_format_are_told(tmp_path, store):
    """Git's other object format is refused by name, as a URL and as a folder."""
    repository = Repository(tmp_path / "new", "--object-format=sha256")
    repository.commit(a="1")
    for link in (repository.url, str(repository.folder)):
        with pytest.raises(ResolveError, match=r"SHA-1 object format|object format sha256"):
            pinned(store, link)
