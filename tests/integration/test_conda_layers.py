"""Sets of conda packages from the tests' channel: what is laid out is what conda's own installer would, everywhere alike."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from archive_files import Item, zipped
from conda_channel import MAIN, channels
from conda_sets import debian_base, home_of, pinned, solved, unite, with_channels

from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.lock import WheelLock
from reprolake_builder.engines import conda_activate
from reprolake_builder.engines.conda import fetch_conda, link_scripts, make_conda
from reprolake_builder.engines.conda_activate import activated
from reprolake_builder.engines.layers import conflicts
from reprolake_builder.engines.packages import make_packages
from reprolake_builder.errors import BuildError
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import ImageRoot, SandboxSpec
from reprolake_builder.store import Store

pytestmark = pytest.mark.engine("bubblewrap")

PREFIX = "opt/conda"
SPECS = (
    *("python 3.11.*", "numpy", "pip", "timely", "legacy", "prefixed", "linked", "activated", "link-scripts"),
    *("graphviz", "tinydata"),
)

# In a process of its own: now and then rattler's threads crash the interpreter at its end.
INSTALL = """\
import asyncio, os, sys
import rattler

async def install(channel, cache, prefix, *specs):
    virtual = [package.into_generic() for package in rattler.VirtualPackage.detect()]
    platforms = ["linux-64", "noarch"]
    records = await rattler.solve([rattler.Channel(channel)], specs, platforms=platforms, virtual_packages=virtual)
    await rattler.install(records, prefix, cache_dir=cache, show_progress=False, alternative_target_prefix="/opt/conda")

asyncio.run(install(*sys.argv[1:]))
os._exit(0)
"""


@pytest.fixture(scope="module")
def tools(session):
    """Tools that know the tests' channels."""
    return with_channels(session.tools)


@pytest.fixture(scope="module")
def base(session):
    """The Debian base below the packages."""
    return debian_base(session.tools)


@pytest.fixture(scope="module")
def made(tools, base):
    """A set of packages, laid out."""
    lock = solved(tools, *SPECS)
    parts, home = make_conda(lock, home_of(lock, base), tools)
    return lock, parts, home


def run_inside(trees, *argv: str, **env: str) -> str:
    """Return what a program puts out in a root of these trees."""
    read, write = os.pipe()
    spec = SandboxSpec(
        root=ImageRoot(tuple(tree.root for tree in trees)),
        argv=argv,
        env={"PATH": "/opt/conda/bin:/usr/bin:/bin", "HOME": "/tmp", **env},
    )
    with open(read) as stream:
        try:
            running = Bubblewrap().start(spec, stdin=subprocess.DEVNULL, stdout=write, stderr=write)
        finally:
            os.close(write)
        text = stream.read()
        assert running.wait(60) == 0, text
    return text


def test_the_result_is_that_of_condas_own_installer(made, tools, tmp_path):
    """File for file what rattler installs for the same prefix, but for records, programs of entry points and byte code."""
    lock, parts, _ = made
    exact = [f"{package.name} =={package.version} {package.build}" for package in lock.packages]
    channel = (channels(tools) / MAIN).as_uri()
    command = [sys.executable, "-c", INSTALL, channel, tmp_path / "cache", tmp_path / "theirs", *exact]
    subprocess.run(list(map(str, command)), check=True)
    ours = unite([part.tree.root for part in parts], Path(PREFIX))
    theirs = unite([tmp_path / "theirs"], Path())
    assert theirs.keys() - ours.keys() == {"CACHEDIR.TAG", "conda-meta/history"}
    assert all("/__pycache__/" in path for path in ours.keys() - theirs.keys())
    differing = {path for path in ours.keys() & theirs.keys() if ours[path] != theirs[path]}
    programs: set[str] = set()
    for part in parts:
        (record,) = (part.tree.root / PREFIX / "conda-meta").glob("*.json")
        programs |= entry_points(record)
        differing.remove(f"conda-meta/{record.name}")
        assert_same_record(record, tmp_path / "theirs/conda-meta" / record.name)
    assert differing == programs
    assert "bin/pip" in programs


def entry_points(record: Path) -> set[str]:
    """Return the programs that were made for a package's entry points."""
    paths = json.loads(record.read_text())["paths_data"]["paths"]
    return {item["_path"] for item in paths if item["path_type"] == "unix_python_entry_point"}


def assert_same_record(ours: Path, theirs: Path) -> None:
    """Assert that two records say the same, but for where the package came from and what we made beside it."""
    import rattler

    assert str(rattler.PrefixRecord.from_path(ours).name.normalized) == json.loads(theirs.read_text())["name"]
    mine, other = json.loads(ours.read_text()), json.loads(theirs.read_text())
    for name in (
        "name",
        "version",
        "build",
        "build_number",
        "depends",
        "md5",
        "sha256",
        "size",
        "fn",
        "subdir",
    ):
        assert mine[name] == other[name], (ours.name, name)
    assert [path for path in mine["files"] if "/__pycache__/" not in path] == sorted(other["files"])


def test_two_stores_hold_the_same_bytes(made, tools, base, tmp_path, monkeypatch):
    """A second store, another umask, time zone and number of processors: the same packages come out the same."""
    lock, parts, _ = made
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    store = Store(tmp_path / "store")
    before = os.umask(0o077)
    try:
        again, _ = make_conda(lock, home_of(lock, base), dataclasses.replace(tools, store=store))
    finally:
        os.umask(before)
        monkeypatch.undo()
        time.tzset()
    for one, other in zip(parts, again, strict=True):
        assert content_hash(one.tree.entries) == content_hash(other.tree.entries), one.name
    store.close()


def test_the_python_runs_where_it_was_put(made, base):
    """The interpreter finds its library, its packages and their byte code below /opt/conda, and compiled modules load."""
    _, parts, _ = made
    code = (
        "import json, numpy, sqlite3, ssl, sys, sysconfig, timely;"
        "print(json.dumps([sys.prefix, sysconfig.get_path('purelib'), timely.VERSION, timely.__spec__.cached,"
        "numpy.arange(5).sum().item(), sysconfig.get_config_var('prefix')]))"
    )
    trees = (base, *(part.tree for part in parts))
    site = "/opt/conda/lib/python3.11/site-packages"
    assert json.loads(run_inside(trees, "python", "-c", code)) == [
        *("/opt/conda", site, "2.0", f"{site}/__pycache__/timely.cpython-311.pyc", 10, "/opt/conda"),
    ]
    assert run_inside(trees, "dot") == "dot - graphviz version 8.1.0\n"
    assert run_inside(trees, "pip", "--version").startswith("pip ")
    assert run_inside(trees, "prefixed") == "/opt/conda and /opt/conda/lib\n"
    listed = json.loads(
        run_inside(trees, "python", "-m", "pip", "list", "--format=json", "--disable-pip-version-check")
    )
    assert {"name": "timely", "version": "2.0"} in listed


def test_what_has_nothing_to_do_with_python_is_shared_by_all(made, tools, base):
    """Only packages of Python are laid out anew for another one; a library is the same tree in every environment."""
    _, parts, _ = made
    other = solved(tools, "python 3.9.*", "timely", "prefixed", "linked")
    again, _ = make_conda(other, home_of(other, base), tools)
    before = {part.name: part.tree.key for part in parts}
    same = {part.name for part in again if before.get(part.name) == part.tree.key}
    assert {"conda package prefixed", "conda package linked"} <= same
    assert not same & {"conda package python", "conda package timely"}


def test_a_wheel_lies_above_the_conda_package_of_its_name(made, base, session):
    """What pip installs goes into conda's own folder of packages, takes the place of what was there, and is told of."""
    _, parts, home = made
    wheel = zipped(
        Item("timely.py", b"VERSION = '9.0'\n"),
        Item("timely-9.0.dist-info/METADATA", b"Metadata-Version: 2.1\nName: timely\nVersion: 9.0\n"),
        Item("timely-9.0.dist-info/WHEEL", b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"),
        Item("timely-9.0.dist-info/entry_points.txt", b"[console_scripts]\ntime-it = timely:main\n"),
    )
    sha256 = hashlib.sha256(wheel).hexdigest()
    session.tools.store.add_archive(iter([wheel]), sha256, "the wheel")
    filename = "timely-9.0-py3-none-any.whl"
    locked = WheelLock(name="timely", version="9.0", filename=filename, size=len(wheel), sha256=sha256)
    (part,) = make_packages((locked,), home, session.tools)
    assert conflicts((parts, (part,)))[0] == (
        "conda package timely and timely both hold opt/conda/lib/python3.11/site-packages/__pycache__/timely.cpython-311.pyc; "
        "that of timely is used"
    )
    assert (part.tree.root / PREFIX / "bin/time-it").read_text().startswith("#!/opt/conda/bin/python\n")
    trees = (base, *(below.tree for below in parts), part.tree)
    assert run_inside(trees, "python", "-c", "import timely; print(timely.VERSION)") == "9.0\n"


def test_python_2_has_byte_code_too(tools, base):
    """The compiler's program runs in Python 2.7 as well; what it makes bears the date that every file of a layer has."""
    lock = solved(tools, "python 2.7.*", "six", "tornado", "pyzmq")
    parts, _ = make_conda(lock, home_of(lock, base), tools)
    code = "import json, six, sys, tornado.web, zmq; print(json.dumps([six.__file__, json.__file__, sys.version[:3]]))"
    assert json.loads(run_inside((base, *(part.tree for part in parts)), "python", "-c", code)) == [
        "/opt/conda/lib/python2.7/site-packages/six.pyc",
        "/opt/conda/lib/python2.7/json/__init__.pyc",
        "2.7",
    ]


def test_link_scripts_are_named_and_not_run(made):
    """A package's post-link script lies there, did nothing, and is told of."""
    _, parts, _ = made
    assert link_scripts(parts) == ("the post-link script of the conda package link-scripts was not run",)
    assert not any((part.tree.root / PREFIX / "share/ran").exists() for part in parts)


def test_activation_is_data(made, base, tools):
    """What the scripts of packages set comes out as variables; what they keep for themselves does not."""
    _, parts, _ = made
    trees = [base, *(part.tree for part in parts)]
    before = {"PATH": "/opt/conda/bin:/usr/bin:/bin", "CONDA_PREFIX": "/opt/conda", "DEMO_DATA": "mine"}
    assert activated(trees, before, tools.store) == {
        **before,
        "DEMO_DATA": "/opt/conda/share/activated",
        "DEMO_WORDS": "two words",
    }
    assert activated([base], before, tools.store) == before


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3\n", "ended the shell"),
        ("kill -9 $$\n", "ended the shell"),
        ("while :; do echo too much; done >&2\n", "did not end"),
        ("export A=$(printf 'x%.0s' {1..3}; head -c 3000000 /dev/zero | tr '\\0' x)\n", "ended the shell"),
    ],
)
def test_activation_that_goes_wrong_ends_the_build(base, session, script, words, monkeypatch):
    """A script that ends or floods its shell is named, with what it said."""
    monkeypatch.setattr(conda_activate, "_TIME_LIMIT", 2)
    store = session.tools.store

    def fill(root: Path) -> None:
        folder = root / PREFIX / "etc/conda/activate.d"
        folder.mkdir(parents=True)
        (folder / "odd.sh").write_text(script)

    tree = store.make_tree(content_hash({"test of activation": script}), fill)
    with pytest.raises(BuildError, match=rf"odd\.sh\) {words}"):
        activated([base, tree], {"PATH": "/usr/bin:/bin"}, store)


def test_an_archive_that_changed_in_the_store_is_fetched_again(tools, tmp_path):
    """Bytes that are not the locked ones are not taken, wherever they come from."""
    lock = solved(tools, "tinydata")
    store = Store(tmp_path / "store")
    fresh = dataclasses.replace(tools, store=store)
    fetch_conda(lock, lock.packages, fresh)
    package = lock.packages[0]
    assert store.has_sound_archive(package.sha256)
    store.close()
    store.archive(package.sha256).write_bytes(b"changed")
    again = Store(tmp_path / "store")
    fetch_conda(lock, lock.packages, dataclasses.replace(tools, store=again))
    assert again.has_sound_archive(package.sha256)
    again.close()


def test_the_channels_packages_are_the_same_bytes_every_time():
    """The tests' own packages do not depend on when or where they are made."""
    from conda_demos import demos

    assert [pinned(package)[1] for package in demos()] == [pinned(package)[1] for package in demos()]
