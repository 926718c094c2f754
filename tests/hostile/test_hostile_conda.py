"""Conda packages from anybody: broken and malicious ones are told of, and reach nothing but their own tree."""

from __future__ import annotations

import bz2
import contextlib
import io
import json
import os
import tarfile
import zipfile

import pytest
from archive_files import Item, tarred
from backports import zstd
from conda_demos import demos
from conda_packages import File, Package, package_bytes
from conda_sets import pinned
from hypothesis import given, settings
from hypothesis import strategies as st

from reprolake_builder.archives.members import Limits
from reprolake_builder.engines import conda_package
from reprolake_builder.engines.conda_package import unpack_conda, write_prefix_record
from reprolake_builder.engines.wheel import Layout
from reprolake_builder.errors import BuildError
from reprolake_builder.removal import remove_tree

LAYOUT = Layout("3.11", "opt/conda")
PLAIN = Package("plain", "1.0", {"share/x.txt": File(b"x")}, form=".tar.bz2")
_, LOCK = pinned(PLAIN)
INDEX = json.dumps({"name": "plain", "version": "1.0", "build": "h0_0"}).encode()
SOUND = {
    form: package_bytes(
        Package("plain", "1.0", {"share/x.txt": File(b"x" * 500), "bin/y": File(target="z")}, form=form)
    )
    for form in (".conda", ".tar.bz2")
}


def lay(data, folder, lock=LOCK):
    """Lay an archive out below `folder`, and return all that lies there and around it then."""
    for name in ("root", "aside"):
        (folder / name).mkdir(parents=True)
    archive = folder / "archive"
    archive.write_bytes(data)
    installed = unpack_conda(archive, lock, folder / "root", folder / "aside", LAYOUT)
    write_prefix_record(installed, lock, {})
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def with_members(*items, paths=None):
    """Return an archive with these members, the index of `plain`, and a list of paths if one is given."""
    info = [Item("info/index.json", INDEX)]
    if paths is not None:
        entries = [entry if isinstance(entry, dict) else {"_path": entry} for entry in paths]
        info.append(Item("info/paths.json", json.dumps({"paths": entries, "paths_version": 1}).encode()))
    return bz2.compress(tarred(*info, *items))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_package_is_told_of(tmp_path_factory, data):
    """Whatever bytes of a package are changed, laying it out works or says that it is broken."""
    package = bytearray(SOUND[data.draw(st.sampled_from(sorted(SOUND)))])
    for _ in range(data.draw(st.integers(1, 6))):
        package[data.draw(st.integers(0, len(package) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BuildError):
        lay(bytes(package), tmp_path_factory.mktemp("package"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../escaped", "leads out"),
        ("share/../../../escaped", "leads out"),
        ("/etc/escaped", "leads out"),
        ("share/a\nb", "control characters"),
        ("x" * 300, "too long"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name, words):
    """A member with a path that no package needs ends the build, and nothing lies outside of the tree."""
    with pytest.raises(BuildError, match=words):
        lay(with_members(Item(name)), tmp_path)
    assert not list(tmp_path.rglob("*escaped*"))


@pytest.mark.parametrize("path", ["../escaped", "/etc/escaped", "site-packages/../../../escaped"])
def test_listed_paths_that_lead_elsewhere_are_refused(tmp_path, path):
    """A list of paths cannot send a file anywhere else than its name allows."""
    with pytest.raises(BuildError, match=r"does not hold|leads out"):
        lay(with_members(Item("share/x"), paths=[path]), tmp_path)
    assert not list(tmp_path.rglob("*escaped*"))


def test_nothing_is_written_through_a_link(tmp_path):
    """A package whose file lies below its own link to the outside is refused, in whatever order they come."""
    (tmp_path / "target").mkdir()
    link, file = Item("share/out", target=str(tmp_path / "target")), Item("share/out/written")
    for number, items in enumerate(((link, file), (file, link))):
        with pytest.raises(BuildError, match="below a symbolic link"):
            lay(with_members(*items), tmp_path / str(number))
    assert not list((tmp_path / "target").iterdir())


def test_a_link_out_of_the_prefix_stays_a_link(tmp_path):
    """A link may lead anywhere in the image; it is never followed here, not even where a description is expected."""
    data = with_members(Item("share/out", target="/etc/passwd"))
    assert "root/opt/conda/share/out" in lay(data, tmp_path)
    with pytest.raises(BuildError, match=r"info/index\.json"):
        lay(bz2.compress(tarred(Item("info/index.json", target="/etc/passwd"))), tmp_path / "second")


def test_a_hard_link_reaches_only_members_before_it(tmp_path):
    """A hard link gives a file of the package a second name, and no file of this host one."""
    (tmp_path / "secret").write_text("secret")

    def linked(target):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for name, data in (("info/index.json", INDEX), ("share/x", b"x")):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
            entry = tarfile.TarInfo("share/second")
            entry.type, entry.linkname = tarfile.LNKTYPE, target
            archive.addfile(entry)
        return bz2.compress(stream.getvalue())

    lay(linked("share/x"), tmp_path / "first")
    assert (tmp_path / "first/root/opt/conda/share/second").read_bytes() == b"x"
    for number, target in enumerate((str(tmp_path / "secret"), "../../secret", "share/none")):
        with pytest.raises(BuildError, match=r"hard link|leads out"):
            lay(linked(target), tmp_path / str(number))


@pytest.mark.parametrize("form", ["conda", "bz2"])
def test_a_bomb_is_defused(tmp_path, monkeypatch, form):
    """A package that would unpack to much more than it is worth is refused while it is read."""
    monkeypatch.setattr(conda_package, "LIMITS", Limits(free=1 << 20))
    bomb = tarred(Item("share/zeros", bytes(64 << 20)))
    if form == "bz2":
        data = bz2.compress(bomb)
    else:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(
                "info-plain-1.0-h0_0.tar.zst", zstd.compress(tarred(Item("info/index.json", INDEX)))
            )
            archive.writestr("pkg-plain-1.0-h0_0.tar.zst", zstd.compress(bomb))
        data = stream.getvalue()
    with pytest.raises(BuildError, match="unpacks to more than"):
        lay(data, tmp_path)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"_path": "share/x", "sha256": "0" * 64}, "other bytes"),
        ({"_path": "share/x", "size_in_bytes": 5}, "1 bytes, and the package says 5"),
        ({"_path": "share/x", "prefix_placeholder": "", "file_mode": "text"}, "is none"),
        ({"_path": "share/x", "prefix_placeholder": "x", "file_mode": "text"}, "is none"),
        ({"_path": "share/x", "prefix_placeholder": "/b", "file_mode": "binary"}, "shorter than"),
        ({"_path": "share/x", "file_mode": "eval"}, "Invalid enum value"),
        ({"_path": 5}, "Expected `str`"),
    ],
)
def test_a_list_of_paths_that_lies_is_told_of(tmp_path, entry, words):
    """What the package says of a file has to be so, and to mean something."""
    with pytest.raises(BuildError, match=words):
        lay(with_members(Item("share/x"), paths=[entry]), tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        "../../evil = a:b",
        "x/y = a:b",
        "x = os; import evil",
        "x = a:b\nimport evil",
        "x",
        ".. = a:b",
        " = a:b",
    ],
)
def test_entry_points_are_names_of_functions(tmp_path, command):
    """A command is a plain name for a function of a module, whatever a package calls one."""
    package = Package("plain", "1.0", {}, noarch="python", entry_points=(command,))
    data, lock = pinned(package)
    with pytest.raises(BuildError, match="entry point"):
        lay(data, tmp_path, lock)


def test_a_deep_description_is_told_of(tmp_path):
    """A description that is nested without end is damaged, not our bug."""
    deep = b"[" * 100_000
    with pytest.raises(BuildError, match=r"index\.json"):
        lay(bz2.compress(tarred(Item("info/index.json", deep))), tmp_path)


def test_a_deep_path_is_taken(tmp_path):
    """Folders in folders, as deep as a path may be, need no stack."""
    path = "a/" * 1400 + "x"
    for name in ("root", "aside"):
        (tmp_path / name).mkdir()
    (tmp_path / "archive").write_bytes(with_members(Item(path)))
    unpack_conda(tmp_path / "archive", LOCK, tmp_path / "root", tmp_path / "aside", LAYOUT)
    assert os.path.isfile(f"{tmp_path}/root/opt/conda/{path}")
    remove_tree(tmp_path / "root")


def test_two_files_for_one_place_are_refused(tmp_path):
    """A noarch package cannot have two files go to one place."""
    package = Package(
        "plain",
        "1.0",
        {"site-packages/a.py": File(b"1"), "lib/python3.11/site-packages/a.py": File(b"2")},
        noarch="python",
    )
    data, lock = pinned(package)
    with pytest.raises(BuildError, match="two of its files go to"):
        lay(data, tmp_path, lock)


@pytest.mark.parametrize("path", ["conda-meta/plain-1.0-h0_0.json", "conda-meta/numpy-1.0-0.json"])
def test_records_are_not_a_packages_to_write(tmp_path, path):
    """A package cannot say in conda's records what is installed, neither of itself nor of another one."""
    with pytest.raises(BuildError, match="brings a record of its own"):
        lay(with_members(Item(path)), tmp_path)


def test_a_program_and_a_file_of_one_name_are_refused(tmp_path):
    """A package whose entry point and whose file claim one path is broken, and told so."""
    package = Package("plain", "1.0", {"bin/x": File(b"x")}, noarch="python", entry_points=("x = a:b",))
    data, lock = pinned(package)
    with pytest.raises(BuildError, match="two of its entries claim"):
        lay(data, tmp_path, lock)


def test_a_package_without_its_parts_is_none(tmp_path):
    """A zip archive has to have a part for the description and one for the files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("metadata.json", "{}")
    with pytest.raises(BuildError, match="readable parts"):
        lay(stream.getvalue(), tmp_path)


def test_the_tests_own_packages_are_sound(tmp_path):
    """What is refused above is refused for its own fault: the small packages of the tests' channel all come out."""
    for number, package in enumerate(demos()):
        data, lock = pinned(package)
        assert lay(data, tmp_path / str(number), lock)
