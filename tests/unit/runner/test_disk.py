"""Counting what a run wrote while it writes."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

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


LOOK = """
import sys
from pathlib import Path
from reprolake_runner.disk import DiskUse, UncountableError
import os
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    print(DiskUse((Path(sys.argv[1]),)).look(10) > 0)
except UncountableError as error:
    print(error)
"""


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100, 0o700], ids=oct)
@pytest.mark.parametrize("place", [".", "below", "below/again"])
def test_a_folder_that_the_run_closed_is_told(tmp_path, place, mode):
    """Who is not root cannot look into a folder that its own run closed: that ends the run, and never the look at it."""
    top = Path("/var/tmp") / f"reprolake-{secrets.token_hex(8)}"
    (top / "below/again").mkdir(parents=True)
    (top / "below/again/file").write_text("x")
    if os.geteuid() == 0:
        for path in (top, *top.rglob("*")):
            os.chown(path, 65534, 65534)
    try:
        (top / place).chmod(mode)
        done = subprocess.run([sys.executable, "-c", LOOK, top], capture_output=True, text=True, check=False)
    finally:
        (top / place).chmod(0o700)
        shutil.rmtree(top)
    assert done.stdout == (
        "True\n" if mode == 0o700 else "it closed a folder, so that nobody can count what is in it\n"
    ), done.stderr
