"""Wheels laid out as pip would, with hostile ones refused."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprolake_builder.engines.repack import repack_wheel
from reprolake_builder.engines.wheel import Layout, unpack_wheel, write_record
from reprolake_builder.errors import BuildError

INFO = "demo-1.0.dist-info"
LAYOUT = Layout("3.11")
COMPILED = "demo/__pycache__/__init__.cpython-311.pyc"
BASE = {f"{INFO}/METADATA": "Name: demo\nVersion: 1.0\n", f"{INFO}/WHEEL": "", f"{INFO}/RECORD": ""}


def make_wheel(folder: Path, files: dict[str, str], *, date=(2024, 5, 6, 7, 8, 10)) -> Path:
    path = folder / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, date), text)
    return path


def laid_out(folder: Path, files: dict[str, str]) -> Path:
    root = folder / "root"
    root.mkdir()
    installed = unpack_wheel(make_wheel(folder, {**BASE, **files}), "demo.whl", root, LAYOUT)
    write_record(installed, {f"{LAYOUT.site}/{COMPILED}".encode()}, LAYOUT)
    return root


def test_files_go_where_pip_puts_them(tmp_path):
    """Packages, data files, scripts and entry points land in the places of the installation scheme."""
    root = laid_out(
        tmp_path,
        {
            "demo/__init__.py": "x = 1\n",
            "demo-1.0.data/scripts/tool": "#!python\nprint()\n",
            "demo-1.0.data/data/share/demo.txt": "data",
            f"{INFO}/entry_points.txt": "[console_scripts]\ndemo = demo.cli:main\n",
        },
    )
    prefix = root / "opt/env"
    assert (prefix / "lib/python3.11/site-packages/demo/__init__.py").read_text() == "x = 1\n"
    assert (prefix / "share/demo.txt").read_text() == "data"
    assert (prefix / "bin/tool").read_text() == "#!/opt/env/bin/python\nprint()\n"
    assert "from demo.cli import main" in (prefix / "bin/demo").read_text()
    assert (prefix / "bin/demo").stat().st_mode & 0o777 == 0o755


def test_record_lists_every_file(tmp_path):
    """RECORD names all that was installed, relative to the folder of packages, and of byte code what was made."""
    files = {"demo/__init__.py": "", "demo/a.py": "", "demo-1.0.data/scripts/tool": "#!/bin/sh\n"}
    root = laid_out(tmp_path, files)
    site = root / "opt/env/lib/python3.11/site-packages"
    rows = list(csv.reader((site / INFO / "RECORD").read_text().splitlines()))
    assert "../../../bin/tool" in [row[0] for row in rows]
    assert [COMPILED, "", ""] in rows
    assert all((site / row[0]).exists() for row in rows if row[0] != COMPILED)
    hashed = {row[0]: row[1] for row in rows}
    assert hashed["demo/a.py"] == "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"  # of nothing


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/passwd", "demo/../../evil", "demo-1.0.data/scripts/../../evil", "a\\..\\b", "demo//x"],
)
def test_an_entry_that_leaves_its_place_is_refused(tmp_path, name):
    """No path of a wheel can be written outside the environment."""
    with pytest.raises(BuildError, match="must not have"):
        laid_out(tmp_path, {name: "evil"})
    assert not (tmp_path / "evil").exists()


def test_an_entry_point_that_is_code_is_refused(tmp_path):
    """Entry points name a function; anything else would end up as code in a script."""
    with pytest.raises(BuildError, match="names no function"):
        laid_out(tmp_path, {f"{INFO}/entry_points.txt": "[console_scripts]\nx = os:system('id')#\n"})


def test_a_command_cannot_be_a_path(tmp_path):
    """The name of an entry point is a file name."""
    with pytest.raises(BuildError, match="names no function"):
        laid_out(tmp_path, {f"{INFO}/entry_points.txt": "[console_scripts]\n../../x = a:b\n"})


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path):
    """A wheel that says one thing twice is broken."""
    path = tmp_path / "w.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (*BASE, "demo.py", "demo.py"):
            archive.writestr(name, "")
    (tmp_path / "root").mkdir()
    with pytest.raises(BuildError, match="two of its entries"):
        unpack_wheel(path, "w.whl", tmp_path / "root", LAYOUT)


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_no_entry_name_escapes(tmp_path_factory, name):
    """Whatever an entry is called, nothing appears outside the tree's root."""
    folder = tmp_path_factory.mktemp("wheel")
    root = folder / "inner" / "root"
    root.mkdir(parents=True)
    path = folder / "w.whl"
    try:
        with zipfile.ZipFile(path, "w") as archive:
            for entry in (*BASE, name):
                archive.writestr(entry, "x")
        unpack_wheel(path, "w.whl", root, LAYOUT)
    except (BuildError, UnicodeEncodeError, OSError, ValueError, IndexError):
        pass
    assert sorted(item.name for item in folder.iterdir()) == ["inner", "w.whl"]
    assert [item.name for item in (folder / "inner").iterdir()] == ["root"]


def test_a_repacked_wheel_has_one_form(tmp_path):
    """Order and dates of the original leave no trace."""
    hashes = set()
    for number, date in enumerate([(2024, 5, 6, 7, 8, 10), (1999, 1, 1, 0, 0, 0)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        files = {**BASE, "demo/__init__.py": "", "demo/a.py": "a"}
        names = list(files) if number else list(reversed(files))
        hashes.add(
            repack_wheel(
                make_wheel(folder, {name: files[name] for name in names}, date=date), folder / "packed"
            )
        )
    assert len(hashes) == 1
