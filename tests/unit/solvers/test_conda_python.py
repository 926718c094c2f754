"""Which Python packages a conda package holds, and what a resolver is told of them."""

from __future__ import annotations

import hashlib
import zipfile

import msgspec
import pytest
from conda_packages import File, Package
from conda_sets import pinned

from reprolake_builder.conda.channels import is_for_python
from reprolake_builder.documents.conda import CondaLock
from reprolake_builder.errors import LockError
from reprolake_builder.solvers.conda_python import distributions, stands
from reprolake_builder.store import Store

SITE = "lib/python3.11/site-packages"
METADATA = """\
Metadata-Version: 2.1
Name: My.Demo
Version: 1.0
Provides-Extra: plot
Requires-Dist: numpy>=1.20
Requires-Dist: matplotlib; extra == 'plot'
Requires-Dist: broken ;;; x

The text below is no header.
Name: other
"""


@pytest.fixture
def store(tmp_path):
    """A store of the test's own."""
    return Store(tmp_path / "store")


def held(store, files, **more):
    """What a package with these files holds."""
    package = Package("demo", "1.0", {name: File.text(text) for name, text in files.items()}, **more)
    data, lock = pinned(package)
    store.keep_archive(iter((data,)), lambda _: None)
    return lock, distributions(lock, store)


@pytest.mark.parametrize("form", [".conda", ".tar.bz2"])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "path",
    [
        f"{SITE}/My.Demo-1.0.dist-info/METADATA",
        "site-packages/my_demo-1.0.dist-info/METADATA",
        f"{SITE}/My.Demo-1.0-py3.11.egg-info/PKG-INFO",
        f"{SITE}/My.Demo-1.0-py3.11.egg-info",
    ],
)
def test_metadata_tells_which_packages_are_held(store, path, form, legacy):
    """Name and version by the package's own metadata, in each of the forms that it has had, and what its extras need."""
    _, (found,) = held(store, {path: METADATA, f"{SITE}/demo.py": ""}, form=form, legacy=legacy)
    assert (found.name, found.version) == ("my-demo", "1.0")
    assert found.extras == ("Provides-Extra: plot", 'Requires-Dist: matplotlib; extra == "plot"')


@pytest.mark.parametrize(
    "files",
    [
        {"bin/demo": "x"},
        {f"{SITE}/vendored/x-1.0.dist-info/METADATA": METADATA},
        {"share/site-packages/x-1.0.dist-info/METADATA": METADATA},
        {f"{SITE}/x-1.0.dist-info/METADATA": "no header"},
        {f"{SITE}/x-1.0.dist-info/METADATA": "Name: a b\nVersion: 1.0\n"},
        {f"{SITE}/x-1.0.dist-info/METADATA": "Name: a\nVersion: one\n"},
        {f"{SITE}/x-1.0.dist-info/METADATA": ""},
    ],
)
def test_what_no_requirement_could_ask_for_is_no_package(store, files):
    """Metadata elsewhere, and names and versions that are none, hold nothing."""
    assert held(store, files)[1] == ()


def test_stand_ins_say_what_there_is_and_are_the_same_every_time(store):
    """A resolver is given a wheel with a version that no index has, whose only requirements are those of extras."""
    lock, _ = held(store, {f"{SITE}/My.Demo-1.0.dist-info/METADATA": METADATA})
    known = msgspec.structs.replace(lock, distributions=("my-demo==1.0",))
    conda = CondaLock(channels=(), virtual_packages=(), packages=(known,))
    (stand,) = stands(conda, store)
    assert (stand.line, stand.filename) == ("my-demo==1.0+conda", "my_demo-1.0+conda-py2.py3-none-any.whl")
    with zipfile.ZipFile(store.archive(stand.sha256)) as wheel:
        text = wheel.read("my_demo-1.0+conda.dist-info/METADATA").decode()
    assert "matplotlib" in text
    assert "numpy" not in text
    assert stands(conda, store) == (stand,)


def test_a_version_of_its_own_kind_stays(store):
    """A version that has a local part already is told as it is."""
    lock, _ = held(store, {f"{SITE}/x-1.0.dist-info/METADATA": "Name: x\nVersion: 2.1+cpu\n"})
    known = msgspec.structs.replace(lock, distributions=("x==2.1+cpu",))
    conda = CondaLock(channels=(), virtual_packages=(), packages=(known,))
    assert stands(conda, store)[0].version == "2.1+cpu"


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"BZh9", b"no archive at all" * 100])
def test_a_damaged_package_is_told_of(store, data):
    """What is no conda package ends in an error that names it."""
    _, lock = pinned(Package("demo", "1.0", {}))
    store.keep_archive(iter((data,)), lambda _: None)
    broken = msgspec.structs.replace(lock, sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(LockError, match=r"demo-1\.0"):
        distributions(broken, store)


def test_metadata_without_an_end_is_not_read(store):
    """A package whose metadata is larger than any is refused before it fills the memory."""
    with pytest.raises(LockError, match="larger than"):
        held(store, {f"{SITE}/x-1.0.dist-info/METADATA": "Name: x\n" + "X: y\n" * (4 << 20)})


@pytest.mark.parametrize(
    ("depends", "noarch", "expected"),
    [
        (("python >=3",), "", True),
        (("conda-forge::python",), "", True),
        (("python_abi 3.11.* *_cp311",), "", True),
        (("numpy",), "python", True),
        (("python-dateutil",), "", False),
        (("libpython-static",), "", False),
        ((), "generic", False),
    ],
)
def test_what_is_for_python_is_told_by_its_demands(depends, noarch, expected):
    """Packages that need a Python, or are for any of them; a library is not."""
    _, lock = pinned(Package("demo", "1.0", {}, depends=depends, noarch=noarch))
    assert is_for_python(lock) is expected
