"""Scripts and what packages left where they write: a link there leads nowhere on this host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reprolake_builder.engines import script_trees
from reprolake_builder.engines.scripts import ScriptCall, run_script
from reprolake_builder.errors import BuildError
from reprolake_builder.store import Store


@pytest.mark.parametrize("link", ["home", "home/jovyan"])
def test_a_writable_folder_that_is_a_link_is_refused(tmp_path, link):
    """A package with a link in place of a folder would give the script a folder of this host to write to."""
    store = Store(tmp_path / "store")
    outside = tmp_path / "outside"
    (outside / "jovyan").mkdir(parents=True)

    def fill(root: Path) -> None:
        (root / link).parent.mkdir(exist_ok=True)
        (root / link).symlink_to(outside)

    tree = store.make_tree("0" * 64, fill)
    call = ScriptCall("a script", (tree,), ("/bin/true",), {}, ("/home/jovyan",), (1000, 100))
    (tmp_path / "scratch").mkdir()
    with pytest.raises(BuildError, match=f"something else at /{link}"):
        run_script(call, tmp_path / "scratch", tools=None)
    assert os.listdir(outside) == ["jovyan"]
    assert not (tmp_path / "scratch" / "root").exists()


def test_dpkgs_database_is_not_written_through_links(tmp_path):
    """A package whose /var/lib/dpkg is a link writes nothing outside of the copy."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "status").write_text("mine")
    (tmp_path / "root" / "var" / "lib").mkdir(parents=True)
    (tmp_path / "root" / "var" / "lib" / "dpkg").symlink_to(tmp_path / "outside")
    with pytest.raises(BuildError, match="/var/lib/dpkg, where dpkg needs a folder"):
        script_trees._refuse_links(tmp_path / "root", "var/lib/dpkg/info")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path), os.mkdir])
def test_a_status_file_that_is_none_is_neither_waited_for_nor_followed(tmp_path, make):
    """A script may leave anything where dpkg's database was."""
    (tmp_path / "var" / "lib" / "dpkg").mkdir(parents=True)
    make(tmp_path / "var" / "lib" / "dpkg" / "status")
    with pytest.raises(BuildError, match="left no /var/lib/dpkg/status that can be read"):
        script_trees._read(tmp_path, "var/lib/dpkg/status")
