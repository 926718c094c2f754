"""Removing what a stranger's program left: all of it, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys

from reprolake_builder.removal import remove_tree


def deep(folder, levels):
    """Folders in folders, made the way a hostile program makes them."""
    descriptor = os.open(folder, os.O_RDONLY)
    for level in range(levels):
        os.mkdir("d", dir_fd=descriptor)
        os.close(os.open(f"f{level}", os.O_CREAT, dir_fd=descriptor))
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)


def test_a_tree_deeper_than_the_stack_goes_away(tmp_path):
    """Depth costs neither recursion nor descriptors."""
    (tmp_path / "x").mkdir()
    deep(tmp_path / "x", 3000)
    remove_tree(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_links_are_removed_and_not_followed(tmp_path):
    """What links point to stays; a link in place of the folder stays, too."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    (tmp_path / "x" / "sub").mkdir(parents=True)
    (tmp_path / "x" / "sub" / "out").symlink_to(tmp_path / "kept")
    (tmp_path / "x" / "file").symlink_to(tmp_path / "kept" / "file")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "x")
    remove_tree(tmp_path / "link")
    assert not (tmp_path / "x").exists()
    assert (tmp_path / "kept" / "file").read_text() == "x"


def test_folders_without_permissions_go_away(tmp_path):
    """A program that takes the permissions of its folders away cannot keep them; tried without root's privileges."""
    (tmp_path / "x" / "a" / "b").mkdir(parents=True)
    (tmp_path / "x" / "a" / "b" / "f").write_text("x")
    (tmp_path / "x" / "a" / "b").chmod(0)
    (tmp_path / "x" / "a").chmod(0o500)
    (tmp_path / "x").chmod(0)
    code = "import sys, pathlib; from reprolake_builder.removal import remove_tree; remove_tree(pathlib.Path(sys.argv[1]))"
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    subprocess.run([*drop, sys.executable, "-c", code, tmp_path / "x"], check=True)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_not_there_is_no_error(tmp_path):
    """Removing nothing does nothing; a file is not a folder and stays."""
    (tmp_path / "file").write_text("")
    remove_tree(tmp_path / "none")
    remove_tree(tmp_path / "file")
    assert (tmp_path / "file").exists()
