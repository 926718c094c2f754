"""Folders of this host as sources: the tracked files of a git work tree, or all files of any other folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from git_repositories import DATE, Repository
from source_tools import source_tools

from reprolake_builder.documents.source import LocalSource
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.fetch import fetch
from reprolake_builder.progress import SILENT, Progress
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.resolve import resolve
from reprolake_builder.store import Store

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
    return Repository(tmp_path / "work")


def pinned(store, folder, progress=SILENT, **options):
    request = LinkRequest(link=str(folder), now=NOW, **options)
    source = resolve(request, source_tools(store, progress))
    assert isinstance(source, LocalSource)
    return source


def brought(store, source, **options):
    return fetch(source, source_tools(store), **options)


def test_a_clean_work_tree_is_its_commit(repository, store):
    """Files that equal HEAD carry its commit, tree and the date of the last commit that touched the folder."""
    commit = repository.commit(a="1", sub___b="2")
    source = pinned(store, repository.folder)
    assert source == LocalSource(
        path=str(repository.folder),
        tree=repository.git("rev-parse", "HEAD^{tree}"),
        date=datetime.fromtimestamp(DATE + 60, UTC),
        date_is="commit",
        commit=commit,
    )


def test_a_folder_inside_a_work_tree(repository, store):
    """Only what lies below the folder counts: changes beside it neither dirty nor date it."""
    repository.commit(demo___a="1", other="1")
    commit = repository.commit(other="2")
    repository.write(other="changed")
    source = pinned(store, repository.folder / "demo")
    assert source.tree == repository.git("rev-parse", "HEAD:demo")
    assert (source.commit, source.dirty, source.date_is) == (commit, False, "commit")
    assert source.date == datetime.fromtimestamp(DATE + 60, UTC)
    assert brought(store, source).paths == (b"a",)


def test_changed_deleted_and_staged_files(repository, store):
    """The files on disk count: changed ones as they are, deleted ones not, newly tracked ones too, and the source is dirty."""
    repository.commit(a="1", gone="x", was_file="x")
    repository.write(a="changed", new="n", untracked="u")
    (repository.folder / "gone").unlink()
    (repository.folder / "was_file").unlink()
    repository.write(was_file___x="x")
    repository.git("add", "new")
    (repository.folder / "bare").mkdir()
    notes = Notes()
    source = pinned(store, repository.folder, notes)
    assert (source.commit, source.dirty, source.date_is) == (None, True, "last commit")
    assert source.date == datetime.fromtimestamp(DATE + 60, UTC)
    tree = brought(store, source)
    assert (tree.paths, tree.read_text("a")) == ((b"a", b"new"), "changed")
    assert any("untracked" in note for note in notes.notes)
    assert not any("bare" in note for note in notes.notes)


def test_staged_results_do_not_change_a_plain_folder(tmp_path, store):
    """What earlier runs staged in the folder itself, or are about to, is left out and said; the next image is the same."""
    folder = tmp_path / "analysis"
    folder.mkdir()
    (folder / "a.py").write_text("")
    before = pinned(store, folder)
    for name in ("0123456789abcdefghjkmnpqrs", ".tmp-0123456789abcdefghjkmnpqrt"):
        (folder / "staging" / name).mkdir(parents=True)
        (folder / "staging" / name / "ro-crate-metadata.json").write_text("{}")
    (folder / "0123456789abcdefghjkmnpqrv").mkdir()
    notes = Notes()
    assert pinned(store, folder, notes).tree == before.tree
    assert notes.notes == ["Not part of the source: results staged in staging"]
    (folder / "0123456789abcdefghjkmnpqrv" / "data.csv").write_text("")
    assert pinned(store, folder).tree != before.tree


def test_an_executable_bit_makes_another_tree(repository, store):
    """A file made executable on disk dirties the source and stays executable in the tree."""
    repository.commit(a="1")
    (repository.folder / "a").chmod(0o755)
    source = pinned(store, repository.folder)
    assert source.dirty
    assert next(e.mode for e in brought(store, source).tree.entries if e.path == b"repo/a") == 0o755


def test_before_the_first_commit(repository, store):
    """Tracked files without any commit are dirty and dated now; with nothing tracked the folder is a plain one."""
    repository.write(a="1", b="2")
    notes = Notes()
    plain = pinned(store, repository.folder, notes)
    assert (plain.dirty, plain.date, plain.date_is) == (False, NOW, "now")
    assert brought(store, plain).paths == (b"a", b"b")
    assert any("tracks nothing" in note for note in notes.notes)
    repository.git("add", "a")
    tracked = pinned(store, repository.folder)
    assert (tracked.dirty, tracked.date, tracked.date_is) == (True, NOW, "now")
    assert brought(store, tracked).paths == (b"a",)


def test_a_plain_folder(tmp_path, store):
    """Without git all files count, but not the folders of version control; equal content has an equal identity."""
    for name in ("one", "two"):
        for path in ("a.txt", "deep/b.txt", ".hg/store", ".svn/x", "deep/.git/config"):
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text("x")
        (tmp_path / name / "empty").mkdir()
    one, two = pinned(store, tmp_path / "one"), pinned(store, tmp_path / "two")
    assert one.tree == two.tree
    assert (one.commit, one.dirty, one.date, one.date_is) == (None, False, NOW, "now")
    assert brought(store, one).paths == (b"a.txt", b"deep/b.txt")


def test_the_same_files_have_the_same_tree_everywhere(repository, store, tmp_path):
    """Work tree, git URL and plain copy of the same files share one tree in the store."""
    repository.commit(a="1", b___c="2")
    local = pinned(store, repository.folder)
    remote = resolve(LinkRequest(link=repository.url, now=NOW), source_tools(store))
    copy = tmp_path / "copy"
    (copy / "b").mkdir(parents=True)
    (copy / "a").write_text("1")
    (copy / "b/c").write_text("2")
    assert local.tree == remote.tree == pinned(store, copy).tree
    assert brought(store, local).tree.key == brought(store, remote).tree.key


def test_a_file_behind_a_link_counts_as_gone(repository, store, tmp_path):
    """A tracked folder that became a link out of the repository brings none of what lies behind it."""
    repository.commit(data___passwd="mine")
    (repository.folder / "data/passwd").unlink()
    (repository.folder / "data").rmdir()
    (repository.folder / "data").symlink_to("/etc")
    assert brought(store, pinned(store, repository.folder)).paths == ()


def test_submodules_that_are_checked_out(repository, store, tmp_path):
    """Their tracked files belong to the folder's; it equals its commit while each is at the commit that the tree names."""
    leaf, inner = Repository(tmp_path / "leaf"), Repository(tmp_path / "inner")
    leaf.commit(leaf__txt="1")
    inner.commit(a="1", a_z="1")
    allow = ("-c", "protocol.file.allow=always")
    inner.git(*allow, "submodule", "add", "-q", leaf.url, "deep/leaf")
    inner.commit()
    repository.commit(b="2", vendor___lib_x="1", vendor___lib__d="1")
    repository.git(*allow, "submodule", "add", "-q", inner.url, "vendor/lib")
    repository.git(*allow, "submodule", "update", "-q", "--init", "--recursive")
    commit = repository.commit()
    source = pinned(store, repository.folder)
    assert (source.commit, source.dirty) == (commit, False)
    tree = brought(store, source)
    assert {b"vendor/lib/a", b"vendor/lib/deep/leaf/leaf.txt"} <= set(tree.paths)
    assert tree.submodules == ()
    part = pinned(store, repository.folder / "vendor")
    assert (part.commit, brought(store, part).is_file("lib/a")) == (commit, True)
    (repository.folder / "vendor/lib/untracked").write_text("x")
    assert pinned(store, repository.folder).tree == source.tree
    (repository.folder / "vendor/lib/deep/leaf/leaf.txt").write_text("2")
    changed = pinned(store, repository.folder)
    assert (changed.commit, changed.dirty) == (None, True)
    assert brought(store, changed).read_text("vendor/lib/deep/leaf/leaf.txt") == "2"


def test_a_link_in_a_submodules_place(repository, store, tmp_path):
    """A link to another repository is not followed into it."""
    other = Repository(tmp_path / "other")
    commit = other.commit(secret="1")
    repository.commit(b="2")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},lib")
    repository.git("commit", "-q", "-m", "module")
    (repository.folder / "lib").symlink_to(other.folder)
    assert brought(store, pinned(store, repository.folder)).paths == (b"b",)


def test_submodules_of_a_folder_are_empty_places(repository, store, tmp_path):
    """One that is not checked out stays an empty folder whose commit counts for the tree; a repository's is there."""
    inner = Repository(tmp_path / "inner")
    inner.commit(a="1")
    repository.commit(b="2")
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", inner.url, "vendor/lib")
    commit = repository.commit()
    repository.git("submodule", "deinit", "-q", "-f", "vendor/lib")
    source = pinned(store, repository.folder)
    assert (source.commit, source.dirty) == (commit, False)
    tree = brought(store, source)
    assert tree.submodules == ("vendor/lib",)
    assert tree.paths == (b".gitmodules", b"b")
    remote = resolve(LinkRequest(link=repository.url, now=NOW), source_tools(store))
    assert remote.tree == source.tree
    fetched = fetch(remote, source_tools(Store(tmp_path / "other")))
    assert (fetched.submodules, fetched.is_file("vendor/lib/a")) == ((), True)


def test_files_that_changed_since_are_noticed(repository, store):
    """Between pinning and copying nothing may change."""
    repository.commit(a="1")
    source = pinned(store, repository.folder)
    repository.write(a="2")
    with pytest.raises(FetchError, match="are not the pinned ones") as caught:
        brought(store, source)
    assert "--source-dir" in caught.value.hint
    assert not (store.root / "trees").exists()


def test_a_lock_finds_its_folder_or_is_told(repository, store, tmp_path):
    """The pinned folder is looked for where it was; elsewhere it is named by --source-dir, and must hold the same files."""
    repository.commit(a="1")
    source = pinned(store, repository.folder)
    moved = repository.folder.rename(tmp_path / "moved")
    with pytest.raises(FetchError, match="work is not here"):
        brought(store, source)
    travelled = msgspec.structs.replace(source, path="")
    with pytest.raises(FetchError, match="folder on another host"):
        brought(store, travelled)
    assert brought(store, travelled, source_dir=moved).read_text("a") == "1"


def test_the_stored_tree_needs_no_folder(repository, store):
    """Once in the store, a pinned folder may be gone."""
    repository.commit(a="1")
    source = pinned(store, repository.folder)
    brought(store, source)
    assert brought(store, msgspec.structs.replace(source, path="/nowhere")).read_text("a") == "1"


def test_sub_folders(repository, store):
    """--subdir is recorded when it holds files of the source."""
    repository.commit(demo___a="1")
    assert pinned(store, repository.folder, subdir="demo/").subdir == "demo"
    with pytest.raises(ResolveError, match="no files in a folder 'Demo'"):
        pinned(store, repository.folder, subdir="Demo")
    with pytest.raises(ResolveError, match="leads out"):
        pinned(store, repository.folder, subdir="../x")


@pytest.mark.parametrize(
    ("link", "said", "hint"),
    [
        ("{work}@v1", "is a folder", "file://{work}@v1"),
        ("{work}/a", "is a file", "folder"),
        ("{work}/none", "neither a folder here nor a git URL", "git URL"),
        ("example.org/lab/crab", "neither a folder here nor a git URL", "https://example.org/lab/crab"),
        ("zenodo:x", "names nothing that is known", "zenodo:4055175"),
        ("doi:abc", "names nothing that is known", "ssh://"),
        ("https://zenodo.org/communities/escape2020", "is a page of an archive, and no record", "its DOI"),
        ("{work}/.git", "own folder or a bare repository", ""),
    ],
)
def test_other_links_say_what_to_do(repository, store, link, said, hint):
    """What is no folder and no git URL is refused with the form that would do."""
    repository.commit(a="1")
    with pytest.raises(ResolveError, match=said) as caught:
        pinned(store, link.format(work=repository.folder))
    assert hint.format(work=repository.folder) in caught.value.hint


def test_a_ref_has_no_meaning_for_a_folder(repository, store):
    """--ref with a folder is refused with the link that means the committed state."""
    repository.commit(a="1")
    with pytest.raises(ResolveError, match="as they are on disk") as caught:
        pinned(store, repository.folder, ref="main")
    assert f"file://{repository.folder}@main" in caught.value.hint


def test_a_folder_of_another_user(repository, store, tmp_path):
    """Where git refuses a work tree because of its owner, the error says so and names the command that allows it."""
    repository.commit(a="1")
    if Path("/proc/self").stat().st_uid != 0:
        pytest.skip("only root can give a folder to another user")
    import os

    for path in (repository.folder, repository.folder / ".git"):
        os.chown(path, 12345, 12345)
    with pytest.raises(ResolveError, match=r"safe\.directory"):
        pinned(store, repository.folder)


def test_pipes_are_no_files(tmp_path, store):
    """A named pipe in a plain folder is refused at once instead of being waited for."""
    import os

    (tmp_path / "plain").mkdir()
    os.mkfifo(tmp_path / "plain/pipe")
    with pytest.raises(ResolveError, match="pipe is neither a file"):
        pinned(store, tmp_path / "plain")


def test_a_lock_beside_what_it_pins_is_no_part_of_it(tmp_path, store):
    """Writing reprolake.lock into a plain folder does not change the folder's tree."""
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "a.py").write_text("1")
    before = pinned(store, folder)
    (folder / "reprolake.lock").write_text("{}")
    notes = Notes()
    assert pinned(store, folder, notes).tree == before.tree
    assert any("reprolake.lock" in note for note in notes.notes)
    assert not (brought(store, before).folder / "reprolake.lock").exists()


def test_a_committed_lock_leaves_the_work_tree_clean(repository, store):
    """A lock that was committed with its repository still builds there: the tree stays, and the folder equals HEAD."""
    repository.commit(a="1", sub___b="2")
    before = pinned(store, repository.folder)
    (repository.folder / "reprolake.lock").write_text("{}")
    repository.git("add", "reprolake.lock")
    repository.git("commit", "-q", "-m", "lock")
    after = pinned(store, repository.folder)
    assert after.tree == before.tree
    assert (after.dirty, after.commit) == (False, repository.git("rev-parse", "HEAD"))
