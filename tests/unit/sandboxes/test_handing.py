"""Files that a program's user is given: all of them, no others, and never without end."""

from __future__ import annotations

import os

import pytest

from reprolake_builder.errors import SandboxError
from reprolake_builder.removal import remove_tree
from reprolake_builder.sandboxes.handing import give

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def deepened(folder, levels):
    """Make folders in folders, past the length of any path."""
    inner = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("a", dir_fd=inner)
        below = os.open("a", os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = below
    os.close(inner)


def test_everything_below_is_given_and_nothing_that_links_lead_to(tmp_path):
    """Files, folders and links themselves change hands; what a link leads to stays its owner's."""
    (tmp_path / "kept").write_text("")
    mine = tmp_path / "mine"
    (mine / "sub").mkdir(parents=True)
    (mine / "sub/file").write_text("")
    (mine / "link").symlink_to(tmp_path / "kept")
    (mine / "folder").symlink_to(tmp_path)
    give(mine, 7000)
    given = {path for path in tmp_path.rglob("*") if path.lstat().st_uid == 7000}
    assert given == {mine, mine / "sub", mine / "sub/file", mine / "link", mine / "folder"}
    give(mine, -1)
    assert mine.stat().st_uid == 7000


@pytest.mark.parametrize(("levels", "is_given"), [(100, True), (1500, False)])
def test_a_bottomless_folder_is_refused(tmp_path, levels, is_given):
    """What a stranger's archive made is given up to a depth, and refused beyond it, before anything runs out."""
    mine = tmp_path / "mine"
    mine.mkdir()
    deepened(mine, levels)
    try:
        if is_given:
            give(mine, 7000)
        else:
            with pytest.raises(SandboxError, match="lie deeper than 500 in one another"):
                give(mine, 7000)
    finally:
        remove_tree(mine)
