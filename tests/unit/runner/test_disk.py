"""Counting what a run wrote while it writes."""

from __future__ import annotations

import os

import pytest

from reprolake_runner.disk import DiskUse, UncountableError, lacks_room

MIB = 1 << 20


def counted(*folders):
    """The bytes of one whole count."""
    return DiskUse(folders).look(10)


def test_files_of_all_folders_count_once(tmp_path):
    """Every file below counts with what it takes of the disk; a second name of it and holes in it take nothing."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_bytes(b"x" * MIB)
    (tmp_path / "c").mkdir()
    (tmp_path / "c/file").write_bytes(b"x" * MIB)
    os.link(tmp_path / "c/file", tmp_path / "c/again")
    with (tmp_path / "c/hole").open("wb") as stream:
        stream.truncate(1 << 40)
    assert 2 * MIB <= counted(tmp_path / "a", tmp_path / "c", tmp_path / "absent") < 2.1 * MIB


def test_links_are_not_followed(tmp_path):
    """A link to a folder outside adds nothing, nor does one in place of the folder itself."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"x" * MIB)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to(tmp_path / "outside")
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    assert counted(tmp_path / "in", tmp_path / "link") < MIB


def test_a_count_is_done_in_steps(tmp_path):
    """With little time a look goes on where the one before stopped, and what is known already is told."""
    for number in range(300):
        (tmp_path / str(number)).write_bytes(b"x" * 4096)
    use = DiskUse((tmp_path,))
    seen = [use.look(0) for _ in range(400)]
    assert 0 < seen[0] < 300 * 4096
    assert seen == sorted(seen)
    assert seen[-1] >= 300 * 4096


def test_folders_without_end_are_refused(tmp_path):
    """Folders deeper in one another than anybody needs cannot hide what is in them."""
    at = tmp_path
    for _ in range(200):
        at = at / "d"
    os.makedirs(at)
    with pytest.raises(UncountableError):
        counted(tmp_path)


def test_room_is_what_is_free_for_everybody(tmp_path):
    """There is room when more than so many bytes are free."""
    info = os.statvfs(tmp_path)
    free = info.f_bavail * info.f_frsize
    assert not lacks_room(tmp_path, free // 2)
    assert lacks_room(tmp_path, free * 2)
