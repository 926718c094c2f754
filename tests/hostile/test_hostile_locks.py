"""Locks from strangers: they name the interpreter, the packages and the places, and none of that may touch this host."""

from __future__ import annotations

import hashlib
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hostile_locks import DEB, LOCK, PYTHON
from python_base import MINOR, python_base

from reprolake.lock_file import read_lock
from reprolake_builder.debs import signed_base
from reprolake_builder.debs.mirror import wanted_debs
from reprolake_builder.documents.base import pretty
from reprolake_builder.documents.lock import (
    WheelLock,
)
from reprolake_builder.download import Downloader
from reprolake_builder.engines.bytecode import ByteCode
from reprolake_builder.engines.interpreters import Home, debian_program
from reprolake_builder.engines.packages import make_packages, wheel_key
from reprolake_builder.errors import BuildError, FetchError, LockError
from reprolake_builder.site import Site
from reprolake_builder.store import Store, Tree
from reprolake_builder.tools import Tools

# Stands in for a module that the compiler imports: it leaves marks wherever it can, and answers with byte code of its own.
EVIL = """
import os
for place in {places!r}:
    try:
        with open(place, "w") as stream:
            stream.write("executed")
    except OSError:
        pass
os.write(1, (4).to_bytes(8, "little") + b"evil" + (1 << 62).to_bytes(8, "little"))
os._exit(0)
"""


@pytest.fixture
def evil_base(tmp_path):
    """A base whose Python does what a stranger wants."""
    base = tmp_path / "base"
    base.mkdir()
    python_base(base)
    places = [str(tmp_path / "mark"), str(tmp_path / "tree/lib/mark"), "/mnt/tree/lib/mark"]
    (base / f"usr/lib/python{MINOR}/resource.py").write_text(EVIL.format(places=places))
    return base


def compile_tree(base, root, folder):
    """Compile one folder of a tree."""
    with ByteCode(debian_program(base, MINOR)) as byte_code:
        byte_code.compile_tree(root, (folder,), "/")


@pytest.mark.engine("bubblewrap")
def test_the_interpreter_of_a_lock_runs_in_the_sandbox_only(tmp_path, evil_base):
    """A base whose Python is an attacker's program leaves no trace on the host, and its answer ends the build."""
    lib = tmp_path / "tree/lib"
    lib.mkdir(parents=True)
    for name in ("a", "b"):
        (lib / f"{name}.py").write_text("x = 1\n")
    with pytest.raises(BuildError, match=r"at /lib/b\.py"):
        compile_tree(evil_base, tmp_path / "tree", "lib")
    assert not list(tmp_path.rglob("mark"))


@pytest.mark.engine("bubblewrap")
def test_byte_code_is_not_written_through_a_link_to_the_host(tmp_path):
    """A package that makes the folder of Python's library a link to a folder of the host gets nothing written there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.py").write_text("x = 1\n")
    base = tmp_path / "base"
    base.mkdir()
    python_base(base)
    for place in ("lib/python", "other/deep/python"):
        (base / place).parent.mkdir(parents=True, exist_ok=True)
        (base / place).symlink_to(outside)
    (base / "third").symlink_to(tmp_path)
    for folder in ("lib/python", "other/deep/python", "third/outside"):
        compile_tree(base, base, folder)
    assert [path.name for path in outside.iterdir()] == ["mine.py"]


HOSTILE = [
    (
        "debian.base.0.path",
        ["pool/../../../etc/shadow.deb", "/etc/x.deb", "pool//x.deb", "pool/x.deb?y", "pool/x.deb\n"],
    ),
    ("debian.base.0.name", ["../x", "a/b", "A", "", "a\nb"]),
    ("debian.base.0.architecture", ["amd64/../x", "", "all\n"]),
    ("debian.base.0.size", [-1, 1 << 60]),
    ("debian.releases.0.date", ["2024-01-01T00:00:00"]),
    ("interpreter.version", ["3.11", "3/../x.1.2", "3.11.2\n"]),
    ("interpreter.executable", ["/bin/sh", "/usr/bin/python3.11/../../sh", "/usr/bin/python3.11\n"]),
    (
        "wheels.0.name",
        ["demo\n--index-url http://evil.invalid", "-r /etc/passwd", "demo @ file:///etc/passwd", "Demo", "."],
    ),
    ("wheels.0.version", ["1\n-r /etc/passwd", "1 --index-url x", "../1", ""]),
    ("wheels.0.filename", ["../x.whl", "/etc/x.whl", "x.whl\n", "-x.whl", "x.tar.gz"]),
    ("wheels.0.sha256", ["4" * 64 + "\n", "../" + "4" * 61]),
    ("source.subdir", ["..", "../x", "a/../b", "/proc/self/fd/7", "a//b", "a\nb", "."]),
    ("source.commit", ["HEAD", "--upload-pack=x", "1" * 40 + "\n"]),
    ("source.tree", ["2" * 40 + "\n", "../" + "2" * 37]),
]


@pytest.mark.parametrize(
    ("place", "value"), [(place, value) for place, values in HOSTILE for value in values]
)
def test_a_lock_cannot_carry_what_means_something_elsewhere(tmp_path, place, value):
    """Paths that lead away, options, second lines and sizes that cannot be are refused when the lock is read."""
    lock = json.loads(pretty(LOCK))
    *steps, last = [int(step) if step.isdigit() else step for step in place.split(".")]
    inner = lock
    for step in steps:
        inner = inner[step]
    inner[last] = value
    path = tmp_path / "x.lock"
    path.write_text(json.dumps(lock))
    with pytest.raises(LockError, match="is no lock that this version reads"):
        read_lock(path)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"notes":' * 100_000, "", "\0", '{"as_of":' + "9" * 5000 + "}", '"' + "x" * 100_000],
)
def test_odd_documents_are_no_locks(tmp_path, text):
    """What is deep, empty or endless is refused like any other text that is no lock."""
    path = tmp_path / "x.lock"
    path.write_text(text)
    with pytest.raises(LockError):
        read_lock(path)


def test_the_lock_of_these_tests_is_one(tmp_path):
    """The refusals above are not those of a lock that nobody would read."""
    path = tmp_path / "x.lock"
    path.write_bytes(pretty(LOCK))
    assert read_lock(path) == LOCK


@pytest.mark.parametrize(
    "releases",
    [(), (msgspec.structs.replace(LOCK.debian.releases[0], date=datetime.max.replace(tzinfo=UTC)),)],
)
def test_packages_of_no_release_are_refused(releases):
    """A lock whose packages belong to no release, or to one at the end of all days, is told so."""
    with pytest.raises(FetchError, match="names no release of the archive debian"):
        wanted_debs((DEB,), releases, Site(archives={"debian": ("http://mirror.invalid",)}))


def tools_on(tmp_path: Path) -> Tools:
    site = Site(archives={})
    return Tools(Store(tmp_path / "store"), site, Downloader(site))


def a_wheel(store: Store, name: str = "demo") -> WheelLock:
    """Put a wheel with one module into the store and return its lock."""
    path = store.root.parent / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo/__init__.py", "x = 1\n")
        archive.writestr("demo-1.0.dist-info/METADATA", "Name: demo\nVersion: 1.0\n")
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    store.add_archive([data], sha256, path.name)
    return WheelLock(name=name, version="1.0", filename=path.name, size=len(data), sha256=sha256)


def test_a_base_that_nobody_signed_shares_no_tree_with_one_that_debian_signed(tmp_path):
    """A lock that claims Debian's interpreter over packages of its own cannot put byte code into the trees of others."""
    store = Store(tmp_path / "store")
    signed_base.remember((DEB,), PYTHON, store)
    evil = msgspec.structs.replace(DEB, name="zzz", sha256="cd" * 32)
    signed = signed_base.base_key((DEB,))
    wheel = a_wheel(store)
    shared = wheel_key(wheel, PYTHON, signed, store)
    assert wheel_key(wheel, PYTHON, signed_base.base_key((DEB, evil)), store) != shared
    claimed = msgspec.structs.replace(PYTHON, sha256=evil.sha256)
    assert wheel_key(wheel, claimed, signed, store) != shared
    newer = msgspec.structs.replace(DEB, name="libc6", sha256="ef" * 32)
    signed_base.remember((DEB, newer), PYTHON, store)
    assert wheel_key(wheel, PYTHON, signed_base.base_key((newer, DEB)), store) == shared


def test_what_names_files_of_a_base_is_part_of_its_key(tmp_path):
    """An architecture that a lock makes up does not end in the tree that honest locks share."""
    odd = msgspec.structs.replace(DEB, architecture="all")
    assert signed_base.base_key((odd,)) != signed_base.base_key((DEB,))


@pytest.mark.engine("bubblewrap")
def test_a_wheel_under_another_name_is_refused(tmp_path):
    """A lock that calls a stranger's wheel numpy is not built, even where the wheel was laid out under its own name."""
    tools = tools_on(tmp_path)
    (tmp_path / "base/root").mkdir(parents=True)
    python_base(tmp_path / "base/root")
    base = Tree(signed_base.base_key((DEB,)), tmp_path / "base")
    wheel = a_wheel(tools.store)
    make_packages((wheel,), Home(PYTHON, base), tools)
    with pytest.raises(BuildError, match=r"is numpy, and it holds demo-1\.0\.dist-info"):
        make_packages((msgspec.structs.replace(wheel, name="numpy"),), Home(PYTHON, base), tools)


@pytest.mark.parametrize(
    "data",
    [
        b'{"built": ' + b'[{"built_requirements": ' * 100_000,
        b'{"x": ' + b"[" * 100_000,
        b'{"as_of_is": "\xff"}',
    ],
)
def test_a_lock_that_is_nested_without_end_is_none(tmp_path, data):
    """What no reader of JSON gets to the end of, and what is no text, is an error of our own."""
    path = tmp_path / "reprolake.lock"
    path.write_bytes(data)
    with pytest.raises(LockError, match="no lock that this version reads"):
        read_lock(path)
