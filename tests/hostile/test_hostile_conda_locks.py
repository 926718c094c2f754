"""Locks by anybody that contradict themselves about conda: told of before anything is fetched, laid out or run."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from conda_packages import Package
from conda_sets import pinned

from reprolake_builder.debs import signed_base
from reprolake_builder.documents.conda import CondaChannel, CondaLock
from reprolake_builder.documents.lock import CondaInterpreter, DebianInterpreter, DebPackage
from reprolake_builder.download import Downloader
from reprolake_builder.engines.conda import conda_key, make_conda
from reprolake_builder.engines.interpreters import Home
from reprolake_builder.errors import BuildError, FetchError
from reprolake_builder.site import Site
from reprolake_builder.store import Store, Tree
from reprolake_builder.tools import Tools

_, PYTHON = pinned(Package("python", "3.11.2", {}))
_, TOOL = pinned(Package("tool", "1.0", {}, noarch="python"))
_, LIBRARY = pinned(Package("library", "1.0", {}))
INTERPRETER = CondaInterpreter(version="3.11.2", executable="/opt/conda/bin/python3.11", sha256=PYTHON.sha256)
OF_DEBIAN = DebianInterpreter(
    version="3.11.2", executable="/usr/bin/python3.11", package="python3.11-minimal", sha256="1" * 64
)
DEB = DebPackage(
    name="python3.11-minimal",
    version="3.11.2-6",
    architecture="amd64",
    archive="debian",
    path="pool/main/p/python3.11/python3.11-minimal_3.11.2-6_amd64.deb",
    size=1,
    sha256="1" * 64,
)
replace = msgspec.structs.replace


@pytest.fixture
def tools(tmp_path):
    """Tools with an empty store, and nowhere to fetch from."""
    site = Site(archives={})
    return Tools(Store(tmp_path / "store"), site, Downloader(site))


def make(packages, interpreter, tools):
    """Lay the packages out over a base that is not there."""
    lock = CondaLock(channels=(CondaChannel(name="main"),), virtual_packages=(), packages=tuple(packages))
    return make_conda(lock, Home(interpreter, Tree("2" * 64, tools.store.root / "none")), tools)


@pytest.mark.parametrize(
    ("packages", "interpreter", "words"),
    [
        ((PYTHON,), replace(INTERPRETER, sha256="0" * 64), "no conda package of it"),
        ((PYTHON,), replace(INTERPRETER, version="3.12.1"), "no conda package of it"),
        ((TOOL,), INTERPRETER, "no conda package of it"),
        (
            (PYTHON,),
            replace(INTERPRETER, executable="/opt/conda/bin/python2.7"),
            "is not where conda has Python 3.11",
        ),
        ((PYTHON,), OF_DEBIAN, "its interpreter is none of conda's"),
        ((TOOL,), OF_DEBIAN, "its interpreter is none of conda's"),
        ((PYTHON, TOOL, replace(TOOL, version="2.0")), INTERPRETER, "names a conda package twice"),
        (
            (replace(PYTHON, site_packages="lib/python3.11t/site-packages"),),
            INTERPRETER,
            "keeps its packages in lib/python3.11t/site-packages, which is not supported",
        ),
    ],
)
def test_a_lock_that_contradicts_itself_is_told_of(tools, packages, interpreter, words):
    """The interpreter has to be the package that is called python, at its place, and each package there once."""
    with pytest.raises(BuildError, match=words):
        make(packages, interpreter, tools)


def test_a_package_of_a_channel_that_is_not_named_is_not_fetched(tools):
    """A lock cannot have a package come from a channel that it does not tell of."""
    with pytest.raises(FetchError, match="does not name the channel elsewhere"):
        make((replace(LIBRARY, channel="elsewhere"),), OF_DEBIAN, tools)


def test_what_a_strange_base_or_python_compiled_is_not_shared(tools):
    """A tree with byte code is shared by locks of one Python archive on signed bases; any other base or archive has its own."""
    store = tools.store
    signed_base.remember((DEB,), OF_DEBIAN, store)
    signed = signed_base.base_key((DEB,))
    strange = signed_base.base_key((replace(DEB, sha256=hashlib.sha256(b"evil").hexdigest()),))

    def key(package, interpreter, base, *, byte_code=True):
        return conda_key(package, interpreter, base, store, byte_code=byte_code)

    shared = key(TOOL, INTERPRETER, signed)
    assert key(TOOL, INTERPRETER, strange) != shared
    assert key(TOOL, replace(INTERPRETER, sha256="3" * 64), signed) != shared
    assert key(TOOL, replace(INTERPRETER, version="3.12.1"), signed) != shared
    assert key(TOOL, INTERPRETER, signed, byte_code=False) != shared
    assert key(PYTHON, INTERPRETER, strange) != key(PYTHON, INTERPRETER, signed)
    assert key(LIBRARY, INTERPRETER, strange) == key(LIBRARY, OF_DEBIAN, signed)
    liar = replace(TOOL, noarch="", subdir="linux-64")
    assert key(liar, INTERPRETER, signed) != shared
