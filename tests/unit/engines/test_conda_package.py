"""A conda package laid out: every file where conda would put it, with the image's prefix, and no trace of this host."""

import bz2
import json
import os

import pytest
from archive_files import Item, tarred
from conda_demos import demos
from conda_packages import PLACEHOLDER, File, Package
from conda_sets import pinned

from reprolake_builder.engines.conda_package import unpack_conda, write_prefix_record
from reprolake_builder.engines.wheel import Layout
from reprolake_builder.errors import BuildError

LAYOUT = Layout("3.11", "opt/conda")
PREFIX = "opt/conda"
PYC = b"\xa7\r\r\n" + bytes(4) + b"\1\2\3\4\5\6\7\x08" + b"code"


@pytest.fixture
def lay(tmp_path):
    """A function that lays packages out, each below a folder of its own, and returns that."""

    def lay_out(package, lock=None):
        data, told = pinned(package)
        number = len(list(tmp_path.iterdir()))
        archive, root, scratch = (tmp_path / f"{number}{name}" for name in (".package", "", ".aside"))
        archive.write_bytes(data)
        root.mkdir()
        scratch.mkdir()
        installed = unpack_conda(archive, lock or told, root, scratch, LAYOUT)
        digests = write_prefix_record(installed, told, {})
        assert {path.decode() for path in digests} == {
            path.relative_to(root).as_posix()
            for path in root.rglob("*")
            if path.is_file() and not path.is_symlink()
        }
        return root / PREFIX

    return lay_out


def demo(name, version=None):
    """Return one of the small packages."""
    return next(package for package in demos() if package.name == name and version in {None, package.version})


def record_of(prefix, package):
    """Return what was written of a package for conda's programs."""
    return json.loads((prefix / f"conda-meta/{package.stem}.json").read_text())


@pytest.mark.parametrize("name", ["prefixed", "legacy"])
def test_prefixes_are_the_images(lay, name):
    """Marked files name /opt/conda, binary ones keep their length; what is not marked stays."""
    package = demo(name)
    prefix = lay(package)
    assert (prefix / f"bin/{name}").read_text().startswith("#!/bin/sh\necho /opt/conda")
    assert os.access(prefix / f"bin/{name}", os.X_OK)
    binary = (prefix / f"lib/{name}.bin").read_bytes()
    assert PLACEHOLDER.encode() not in binary
    assert len(binary) == len(package.files[f"lib/{name}.bin"].data)
    if name == "prefixed":
        assert b"/opt/conda/share:/opt/conda/etc\0" in binary
        assert PLACEHOLDER in (prefix / "share/prefixed/plain.txt").read_text()
        paths = {item["_path"]: item for item in record_of(prefix, package)["paths_data"]["paths"]}
        assert paths["bin/prefixed"]["prefix_placeholder"] == PLACEHOLDER
        assert paths["bin/prefixed"]["sha256"] != paths["bin/prefixed"]["sha256_in_prefix"]


def test_links_lead_where_the_package_says(lay):
    """Symbolic links are made as they are, also those to folders."""
    prefix = lay(demo("linked"))
    assert os.readlink(prefix / "lib/liblinked.so.1") == "liblinked.so.1.2"
    assert (prefix / "lib/liblinked.so").read_text() == "no library\n"
    assert (prefix / "share/linked/data.txt").read_text() == "1.2\n"


def test_noarch_packages_go_where_the_python_looks(lay):
    """What is below site-packages and python-scripts goes to the interpreter's, with a program for each entry point."""
    package = Package(
        "tool",
        "1.0",
        {
            "site-packages/tool/__init__.py": File(b"def main(): ...\n"),
            "python-scripts/helper": File.text(f"#!{PLACEHOLDER}/bin/python\n", executable=True),
            "share/tool.txt": File(b"x"),
        },
        build="py_0",
        noarch="python",
        entry_points=("tool-it = tool:main",),
    )
    prefix = lay(package)
    assert (prefix / "lib/python3.11/site-packages/tool/__init__.py").exists()
    assert (prefix / "bin/helper").read_text() == "#!/opt/conda/bin/python\n"
    program = (prefix / "bin/tool-it").read_text()
    assert program.startswith("#!/opt/conda/bin/python\n")
    assert "from tool import main" in program
    assert os.access(prefix / "bin/tool-it", os.X_OK)
    assert (prefix / "share/tool.txt").exists()
    kinds = {item["_path"]: item["path_type"] for item in record_of(prefix, package)["paths_data"]["paths"]}
    assert kinds["bin/tool-it"] == "unix_python_entry_point"


def test_what_is_written_for_conda_names_no_place_of_this_host(lay, tmp_path):
    """The record has the package's own words, its channel's name and no path or time of the installation."""
    package = demo("linked")
    record = record_of(lay(package), package)
    assert record["channel"] == "main"
    assert record["url"] == "channel://main/linux-64/linked-1.2-h0_0.conda"
    assert record["files"] == sorted(package.files)
    assert record["extracted_package_dir"] == record["link"]["source"] == ""
    assert str(tmp_path) not in json.dumps(record)


def test_byte_code_that_came_along_does_not_ask_for_dates(lay):
    """Byte code beside its source is made unconditional; that of a source with a prefix in it is left out."""
    site = "lib/python3.11/site-packages"
    files = {
        f"{site}/a.py": File(b"A = 1\n"),
        f"{site}/__pycache__/a.cpython-311.pyc": File(PYC),
        f"{site}/b.py": File.text(f"B = {PLACEHOLDER!r}\n"),
        f"{site}/__pycache__/b.cpython-311.pyc": File(PYC),
        f"{site}/alone.pyc": File(PYC),
        "lib/python2.7/c.py": File(b"C = 1\n"),
        "lib/python2.7/c.pyc": File(PYC),
        "lib/python3.6/d.py": File(b"D = 1\n"),
        "lib/python3.6/__pycache__/d.cpython-36.pyc": File(PYC),
    }
    prefix = lay(Package("compiled", "1.0", files))
    of_a = (prefix / f"{site}/__pycache__/a.cpython-311.pyc").read_bytes()
    assert of_a[:8] == PYC[:4] + b"\1\0\0\0"
    assert of_a[16:] == b"code"
    assert not (prefix / f"{site}/__pycache__/b.cpython-311.pyc").exists()
    assert (prefix / f"{site}/alone.pyc").read_bytes() == PYC
    date = (315532800).to_bytes(4, "little")
    assert (prefix / "lib/python2.7/c.pyc").read_bytes() == PYC[:4] + date + PYC[8:]
    of_d = (prefix / "lib/python3.6/__pycache__/d.cpython-36.pyc").read_bytes()
    assert of_d == PYC[:4] + date + (6).to_bytes(4, "little") + PYC[12:]


def test_empty_folders_are_made(tmp_path):
    """A folder that a package lists lies there, with nothing in it."""
    listed = [{"_path": "share/x"}, {"_path": "var/empty", "path_type": "directory"}]
    archive = tmp_path / "archive"
    index = {"name": "plain", "version": "1.0", "build": "h0_0"}
    archive.write_bytes(
        bz2.compress(
            tarred(
                Item("info/index.json", json.dumps(index).encode()),
                Item("info/paths.json", json.dumps({"paths": listed, "paths_version": 1}).encode()),
                Item("share/x"),
                Item("var/empty/"),
            )
        )
    )
    _, lock = pinned(Package("plain", "1.0", {}))
    for name in ("root", "aside"):
        (tmp_path / name).mkdir()
    unpack_conda(archive, lock, tmp_path / "root", tmp_path / "aside", LAYOUT)
    assert list((tmp_path / "root" / PREFIX / "var/empty").iterdir()) == []


def test_two_forms_of_a_package_come_out_alike(lay):
    """A package is laid out the same from .conda and from .tar.bz2."""
    first, second = (
        lay(
            Package(
                "same", "1.0", {"share/x.txt": File(b"x"), "bin/x": File(target="../share/x.txt")}, form=form
            )
        )
        for form in (".conda", ".tar.bz2")
    )
    for path in ("share/x.txt", "bin/x"):
        assert (first / path).read_bytes() == (second / path).read_bytes()


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_the_callers_umask_does_not_count(lay, umask):
    """Whether a file can be executed is all that a package says of its permissions."""
    before = os.umask(umask)
    try:
        prefix = lay(demo("prefixed"))
    finally:
        os.umask(before)
    assert os.stat(prefix / "bin/prefixed").st_mode & 0o100
    assert not os.stat(prefix / "lib/prefixed.bin").st_mode & 0o100


def test_the_archive_has_to_be_what_the_lock_says(lay):
    """A package of another name than the lock's is an error that says so."""
    _, other = pinned(demo("legacy"))
    with pytest.raises(BuildError, match=r"the lock says that legacy-0\.9.* and it holds 'linked 1\.2 h0_0'"):
        lay(demo("linked"), other)
