"""Git's tree hash computed by our own code, and trees written without trusting their names."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from git_repositories import ENVIRONMENT
from hypothesis import given, settings
from hypothesis import strategies as st

from reprolake_builder.git_tree import TreeError, TreeHasher, TreeWriter, check_path

NAMES = st.binary(min_size=1, max_size=6).filter(
    lambda name: (
        b"/" not in name and b"\0" not in name and name not in {b".", b".."} and name.lower() != b".git"
    )
)
LEAVES = st.one_of(
    st.tuples(st.just("file"), st.binary(max_size=40), st.booleans()),
    st.tuples(
        st.just("link"), st.binary(min_size=1, max_size=20).filter(lambda t: b"\0" not in t), st.none()
    ),
)
FOLDERS = st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=5), max_leaves=12)


def flattened(folder, prefix=b""):
    for name, value in folder.items():
        if isinstance(value, dict):
            yield from flattened(value, prefix + name + b"/")
        else:
            yield prefix + name, *value


def take(into: TreeHasher, files) -> str:
    for path, kind, content, executable in files:
        if kind == "file":
            into.file(path, len(content), [content[:7], content[7:]], executable=executable)
        else:
            into.symlink(path, content)
    return into.tree_hash


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, check=True)
    return done.stdout.decode().strip()


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, FOLDERS, max_size=6))
def test_the_hash_is_what_git_computes(folder):
    """For odd names, executable bits and links, hasher and writer agree with `git write-tree` on what was written."""
    files = list(flattened(folder))
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary, "root")
        root.mkdir()
        written = take(TreeWriter(root), files)
        git(root, "init", "-q")
        git(root, "-c", "core.autocrlf=false", "add", "-A", "-f", ".")
        assert written == take(TreeHasher(), files) == git(root, "write-tree")


def test_the_empty_tree_has_its_well_known_hash():
    """A source without files is git's empty tree."""
    assert TreeHasher().tree_hash == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def test_a_submodule_is_hashed_as_git_does(tmp_path):
    """The place of a submodule counts with its commit, and is an empty folder on disk."""
    git(tmp_path, "init", "-q")
    commit = "1" * 40
    git(tmp_path, "update-index", "--add", "--cacheinfo", f"160000,{commit},vendor/lib")
    (tmp_path / "root").mkdir()
    writer = TreeWriter(tmp_path / "root")
    writer.submodule(b"vendor/lib", commit)
    assert writer.tree_hash == git(tmp_path, "write-tree")
    assert list((tmp_path / "root/vendor/lib").iterdir()) == []


def test_a_very_deep_tree_needs_no_stack():
    """A hostile tree of thousands of levels is hashed like any other."""
    hasher = TreeHasher()
    hasher.file(b"/".join([b"d"] * 5000), 0, [], executable=False)
    assert len(hasher.tree_hash) == 40


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"/etc/passwd",
        b"a/../../b",
        b"..",
        b"a//b",
        b"./a",
        b"a/.",
        b".git/config",
        b"a/.GIT/hooks/x",
        b".Git",
        b"a\0b",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(path, tmp_path):
    """No path out of the tree, and none into git's own folder in any spelling, is ever written."""
    with pytest.raises(TreeError):
        check_path(path)
    with pytest.raises(TreeError):
        TreeWriter(tmp_path).file(path, 1, [b"x"], executable=False)
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=30))
def test_checked_paths_stay_below_their_root(path):
    """Whatever path passes the check, joined to a root it stays below it."""
    try:
        check_path(path)
    except TreeError:
        return
    assert os.path.normpath(b"/root/" + path) == b"/root/" + path


def test_nothing_is_written_through_a_link(tmp_path):
    """A tree that names a path first as a link and then as a folder cannot write behind the link."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    writer = TreeWriter(root)
    writer.symlink(b"a", os.fsencode(outside))
    with pytest.raises(TreeError, match="a file and a folder"):
        writer.file(b"a/b", 1, [b"x"], executable=False)
    writer.symlink(b"c", os.fsencode(outside / "new"))
    with pytest.raises(TreeError, match="twice"):
        writer.file(b"c", 1, [b"x"], executable=False)
    assert list(outside.iterdir()) == []


def test_a_file_of_another_length_is_refused(tmp_path):
    """A file that grew or shrank while it was read makes no tree."""
    with pytest.raises(TreeError, match="changed while it was read"):
        TreeWriter(tmp_path).file(b"a", 3, [b"four"], executable=False)
