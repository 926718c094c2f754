"""Trees: order, modes, and tar streams that other tools read."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprolake_builder.errors import BuildError
from reprolake_builder.trees import MTIME, Entry, Filled, Owned, Placed, merge, scan, write_tar

NAMES = st.binary(min_size=1, max_size=130).filter(
    lambda name: (
        b"/" not in name and b"\0" not in name and name not in {b".", b".."} and not name.startswith(b".wh.")
    )
)


def tar_of(root: Path, entries: list[Entry]) -> bytes:
    out = io.BytesIO()
    write_tar((Placed(entry, root) for entry in entries), out.write)
    return out.getvalue()


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=1500), max_size=6), NAMES)
def test_a_tar_stream_reads_back_as_what_was_written(tmp_path_factory, files, folder):
    """Any file names and contents survive the way through a tar stream."""
    root = tmp_path_factory.mktemp("tree")
    base = os.fsencode(root) + b"/" + folder
    os.mkdir(base)
    for name, content in files.items():
        with open(base + b"/" + name, "wb") as stream:
            stream.write(content)
    with tarfile.open(fileobj=io.BytesIO(tar_of(root, scan(root))), errors="surrogateescape") as archive:
        read = {
            os.fsencode(member.name): archive.extractfile(member).read()
            for member in archive
            if member.isfile()
        }
    assert read == {folder + b"/" + name: content for name, content in files.items()}


def test_a_tree_is_normalised_whatever_the_umask(tmp_path):
    """Modes and dates on disk and in the index follow the rule, not the umask of who made them."""
    old = os.umask(0o077)
    try:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "script").write_text("#!/bin/sh\n")
        (tmp_path / "folder" / "script").chmod(0o700)
        (tmp_path / "plain").write_text("x")
    finally:
        os.umask(old)
    entries = {entry.path: entry for entry in scan(tmp_path)}
    assert {path: entry.mode for path, entry in entries.items()} == {
        b"folder": 0o755,
        b"folder/script": 0o755,
        b"plain": 0o644,
    }
    assert (tmp_path / "folder" / "script").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "plain").stat().st_mtime == MTIME


def test_special_modes_live_in_the_index_only(tmp_path):
    """A set-uid program keeps its mode in the image and loses it on the disk of the store."""
    (tmp_path / "su").write_text("")
    entry = scan(tmp_path, Filled({b"su": Owned(0o4755, 0, 42)}))[0]
    assert (entry.mode, entry.gid) == (0o4755, 42)
    assert (tmp_path / "su").stat().st_mode & 0o7777 == 0o644


def test_hard_links_become_links_to_the_first(tmp_path):
    """Two names of one file are one file and one link in the stream."""
    (tmp_path / "b").write_text("content")
    os.link(tmp_path / "b", tmp_path / "a")
    first, second = scan(tmp_path)
    assert (first.kind, second.kind, second.target) == ("f", "h", b"a")


def test_a_pipe_is_refused(tmp_path):
    """Nothing but files, folders and links enters a tree."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe"):
        scan(tmp_path)


def test_a_mark_of_deletion_is_refused(tmp_path):
    """No file of a repository or package can delete files of lower layers in other tools."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/.wh.passwd").write_text("")
    with pytest.raises(BuildError, match=r"etc/\.wh\.passwd"):
        scan(tmp_path)


def test_a_folder_stands_before_what_it_holds(tmp_path):
    """The order of bytes puts parents first even beside names with a smaller separator."""
    for name in ("a/b", "a-b", "a!"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    paths = [entry.path for entry in scan(tmp_path)]
    assert paths.index(b"a") < paths.index(b"a/b")
    assert paths == sorted(paths)


def test_of_two_claims_the_later_wins_and_is_reported(tmp_path):
    """Merging says which paths two trees disagree on."""
    for tree, text in (("one", "1"), ("two", "2")):
        (tmp_path / tree).mkdir()
        (tmp_path / tree / "same").write_text(text)
    roots = [tmp_path / "one", tmp_path / "two"]
    placed, conflicts = merge((root, scan(root)) for root in roots)
    assert conflicts == [b"same"]
    assert [item.root for item in placed] == [roots[1]]


def test_a_file_that_changed_in_the_store_is_noticed(tmp_path):
    """A tar stream is never written with other lengths than the index promises."""
    (tmp_path / "file").write_text("content")
    entries = scan(tmp_path)
    (tmp_path / "file").write_text("cut")
    with pytest.raises(ValueError, match="expected 7"):
        tar_of(tmp_path, entries)


def test_a_link_hides_the_folder_below_it_as_in_an_overlay(tmp_path):
    """What lies below a folder that a later tree replaces by a link is gone: unpacking would write through the link."""
    for name in ("lower", "upper"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower/lib").mkdir()
    (tmp_path / "lower/lib/a").write_text("a")
    (tmp_path / "lower/lib-b").write_text("b")
    (tmp_path / "upper/lib").symlink_to("/etc")
    placed, conflicts = merge((tmp_path / name, scan(tmp_path / name)) for name in ("lower", "upper"))
    assert [(item.entry.path, item.entry.kind) for item in placed] == [(b"lib", "l"), (b"lib-b", "f")]
    assert conflicts == [b"lib"]
    placed, _ = merge((tmp_path / name, scan(tmp_path / name)) for name in ("upper", "lower"))
    assert [item.entry.path for item in placed] == [b"lib", b"lib-b", b"lib/a"]
