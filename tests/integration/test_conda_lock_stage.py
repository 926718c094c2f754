"""The lock stage for environment.yml: conda's packages, and pip's under them."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from conda_packages import File, Package, write_channel
from conda_pythons import python_abi, python_package
from conda_sets import with_channels
from pypi_index_server import Index, Upload, serving
from python_headers import python_headers
from source_trees import source_tree

from reprolake_builder.detect import detect
from reprolake_builder.documents.base import decode, pretty
from reprolake_builder.documents.lock import CondaInterpreter, EnvironmentLock
from reprolake_builder.download import Downloader
from reprolake_builder.errors import DetectError, FetchError, LockError
from reprolake_builder.lock import LockOptions, lock
from reprolake_builder.site import CondaSite
from reprolake_builder.solvers.kept import Kept

NOW = datetime(2026, 5, 4, tzinfo=UTC)
HEAD = "channels: [main]\ndependencies:\n"


@pytest.fixture(scope="module")
def index():
    uploads = (
        Upload("alpha", "1.0", "2022-06-01", requires=("numpy>=1.20", "six>=1")),
        Upload("numpy", "9.0", "2022-06-01"),
        Upload("six", "9.0", "2022-06-01"),
        Upload("plain", "1.0", "2022-06-01", requires=("prompt-toolkit[extra]",)),
        Upload("modern", "1.0", "2022-06-01", requires=("numpy>=5",)),
        Upload("ipykernel", "6.0", "2022-06-01", requires=("alpha",)),
    )
    with serving(Index().add(*uploads)) as served:
        yield served


@pytest.fixture(scope="module")
def tools(session, index):
    """The tests' channels, and an index whose numpy nobody must take."""
    found = with_channels(session.tools)
    site = dataclasses.replace(found.site, index_url=index.url)
    return dataclasses.replace(found, site=site, downloader=Downloader(site))


def locked(folder, files, tools, **options) -> EnvironmentLock:
    """The lock of a repository with these files."""
    tree = source_tree(folder, files)
    made = lock(tree, detect(tree), LockOptions(now=NOW, **{"as_of": "2024-01-01", **options}), tools)
    assert decode(pretty(made), EnvironmentLock) == made
    return made


def bare_python(tools):
    """The interpreter alone."""
    yield python_package("3.11", tools)
    yield python_abi("3.11")


def conda_versions(made):
    """Versions by name of the conda packages."""
    return {package.name: package.version for package in made.conda.packages}


def test_an_environment_of_conda_has_condas_python_on_a_base_without_one(tmp_path, tools):
    """The interpreter is the conda package, the Debian base holds none, and kernel and solver are recorded."""
    made = locked(tmp_path, {"environment.yml": f"{HEAD}- python=3.11\n- numpy\n"}, tools)
    assert isinstance(made.interpreter, CondaInterpreter)
    assert made.interpreter.executable == "/opt/conda/bin/python3.11"
    assert conda_versions(made)["python"] == made.interpreter.version
    assert made.added == ("ipykernel: no kernel was declared",)
    assert not any(deb.name.startswith("python3") for deb in made.debian.base)
    assert made.resolvers["rattler"]
    assert (made.wheels, made.conda.priority) == ((), "strict")
    glibc = next(one for one in made.conda.virtual_packages if one.name == "__glibc")
    assert glibc.version == "2.36"


@pytest.mark.parametrize(
    ("spec", "minor"), [("python=2.7", "2.7"), ("python <3", "2.7"), ("python=3.9|2.7", "3.9")]
)
def test_any_python_of_the_channel_serves(tmp_path, tools, spec, minor):
    """Also those that Debian does not have for us."""
    made = locked(tmp_path, {"environment.yml": f"{HEAD}- '{spec}'\n"}, tools)
    assert made.interpreter.version.startswith(f"{minor}.")
    assert "ipykernel" in conda_versions(made)


def test_a_python_is_added_and_can_be_chosen(tmp_path, tools):
    """Without a python among the demands the newest as of the date is added; `--python` and runtime.txt decide otherwise."""
    files = {"environment.yml": f"{HEAD}- legacy\n"}
    made = locked(tmp_path / "a", files, tools)
    assert made.interpreter.version.startswith("3.11.")
    assert made.added[0].startswith("python: ")
    assert locked(tmp_path / "c", files, tools, python="3.9").interpreter.version.startswith("3.9.")
    runtime = locked(tmp_path / "d", {**files, "runtime.txt": "python-3.9"}, tools)
    assert runtime.interpreter.version.startswith("3.9.")
    both = {"environment.yml": f"{HEAD}- python=3.11\n"}
    replaced = locked(tmp_path / "e", both, tools, python="3.9")
    assert any("took its place" in note for note in replaced.notes)


def test_a_python_of_debians_needs_no_channel(tmp_path, tools):
    """Where only a Python is asked of conda, `--python` with one that Debian has needs no channel at all."""
    files = {"environment.yml": "channels: [nowhere]\ndependencies: [python=3.7, pip, {pip: [alpha]}]\n"}
    made = locked(tmp_path / "a", files, tools, python="3.11")
    assert (made.conda, made.interpreter.executable) == (None, "/usr/bin/python3.11")
    with pytest.raises(FetchError, match="nowhere") as caught:
        locked(tmp_path / "b", files, tools)
    assert "Debian has 3.9, 3.11, 3.13" in caught.value.message
    assert "--python" in caught.value.hint


def test_packages_are_those_of_the_date(tmp_path, tools):
    """The cut-off holds for conda's packages as for wheels."""
    files = {"environment.yml": f"{HEAD}- timely\n- python=3.11\n"}
    assert conda_versions(locked(tmp_path / "a", files, tools))["timely"] == "2.0"
    early = {"environment.yml": f"{HEAD}- timely\n- python\n"}
    with pytest.raises(LockError, match="as of 2022-05-01"):
        locked(tmp_path / "b", early, tools, as_of="2022-05-01")


def test_pips_packages_come_under_what_conda_chose(tmp_path, tools):
    """Pip's part is resolved with conda's versions fixed: what conda holds is not pinned again, the rest is."""
    text = f"{HEAD}- python=3.11\n- numpy\n- pip:\n  - alpha\n"
    made = locked(tmp_path, {"environment.yml": text}, tools)
    assert [(wheel.name, wheel.requested) for wheel in made.wheels] == [("alpha", True)]
    numpy = next(package for package in made.conda.packages if package.name == "numpy")
    assert numpy.distributions == (f"numpy=={numpy.version}",)
    assert "numpy==9.0" not in str(made)


def test_what_does_not_fit_under_condas_packages_is_told(tmp_path, tools):
    """The error names the demand, where it stands, and the version that conda has."""
    text = f"{HEAD}- python=3.11\n- numpy\n- pip:\n  - modern\n"
    with pytest.raises(LockError) as caught:
        locked(tmp_path, {"environment.yml": text}, tools)
    assert "environment.yml:6" in caught.value.message
    assert "does not fit conda's packages, whose versions end with +conda" in caught.value.message
    assert "numpy==1.24.3+conda" in caught.value.message
    assert "among conda's packages" in caught.value.hint


def test_a_kernel_of_the_index_is_taken_where_pip_is_asked_for_it(tmp_path, tools):
    """A kernel in pip's part is the one there is: none is added from the channel."""
    files = {"environment.yml": f"{HEAD}- python=3.11\n- numpy\n- six\n- pip:\n  - ipykernel==6.0\n"}
    made = locked(tmp_path, files, tools)
    assert {wheel.name for wheel in made.wheels} == {"alpha", "ipykernel"}
    assert ("ipykernel" in conda_versions(made), made.added) == (False, ())


def test_a_kernel_of_the_index_serves_where_the_channel_has_none(tmp_path, tools):
    """Where no channel has an ipykernel that fits, one comes from the index, marked as added."""
    write_channel(tmp_path / "bare", [*bare_python(tools), Package("six", "1.0", {"share/x": File(b"")})])
    conda = CondaSite(channels={"main": ((tmp_path / "bare").as_uri(),)})
    site = dataclasses.replace(tools.site, conda=conda)
    bare = dataclasses.replace(tools, site=site, downloader=Downloader(site))
    made = locked(tmp_path, {"environment.yml": f"{HEAD}- python=3.11\n- six\n"}, bare)
    assert [wheel.name for wheel in made.wheels] == ["ipykernel"]
    assert made.added == ("ipykernel: no kernel was declared, and conda has none that fits",)


def test_python_2_has_no_packages_of_the_index(tmp_path, tools):
    """No resolver knows Python 2.7 any more: the error says to ask conda."""
    files = {"environment.yml": f"{HEAD}- python=2.7\n- pip:\n  - alpha\n"}
    with pytest.raises(LockError) as caught:
        locked(tmp_path, files, tools)
    assert "conda" in caught.value.hint


def test_the_repositorys_own_package_is_built_with_condas_python(tmp_path, session):
    """`-e .` in pip's part is built by the interpreter of the channel, under its packages, the same twice."""
    tools = with_channels(session.tools)
    setup = (
        "import sys\nfrom setuptools import setup\nsetup(name='mine', version='1.0', py_modules=['mine'],\n"
    )
    setup += "      install_requires=['numpy>=1.20'], description=sys.prefix)\n"
    text = f"{HEAD}- python=3.9\n- numpy\n- pip:\n  - -e .\n"
    files = {"environment.yml": text, "setup.py": setup, "mine.py": "X = 1\n"}
    made = locked(tmp_path, files, tools)
    assert made.project.name == "mine"
    assert made.project.variables["PATH"].startswith("/opt/conda/bin:")
    assert [wheel.name for wheel in made.wheels] == []
    again = locked(tmp_path / "again", files, tools)
    assert again.project.sha256 == made.project.sha256


EXTENSION = """\
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "fast", "", -1, NULL};
PyMODINIT_FUNC PyInit_fast(void) { return PyModule_Create(&module); }
"""


def headers(tools):
    """A conda package with the header files that a conda Python comes with, and that of the tests lacks."""
    files = {name: File(data) for name, data in python_headers("3.11", tools)}
    return Package("python-headers", "3.11", files)


def test_compiled_parts_are_built_for_condas_python(tmp_path, session):
    """An extension in C is compiled by the Debian toolchain beside conda's Python, and its wheel is that Python's."""
    tools = with_channels(session.tools)
    write_channel(tmp_path / "own", [headers(tools)])
    site = dataclasses.replace(
        tools.site,
        conda=CondaSite(channels={**tools.site.conda.channels, "own": ((tmp_path / "own").as_uri(),)}),
    )
    tools = dataclasses.replace(tools, site=site, downloader=Downloader(site))
    files = {
        "environment.yml": "channels: [main, own]\ndependencies: [python=3.11, python-headers, {pip: ['-e .']}]\n",
        "setup.py": "from setuptools import Extension, setup\nsetup(name='fast', version='1', ext_modules=[Extension('fast', ['fast.c'])])\n",
        "fast.c": EXTENSION,
    }
    made = locked(tmp_path, files, tools)
    assert made.project.filename == "fast-1-cp311-cp311-linux_x86_64.whl"
    assert made.project.toolchain
    assert not any(deb.name.startswith("python3") for deb in made.debian.toolchain)
    assert not [note for note in made.notes if "linked" in note]


def test_a_channel_without_an_address_is_named_with_its_setting(tmp_path, tools):
    """Where nothing says where a channel is, the error does, and how to."""
    for name in ("defaults", "pkgs/main"):
        files = {"environment.yml": f"channels: [{name}]\ndependencies: [numpy]\n"}
        with pytest.raises((LockError, FetchError)) as caught:
            locked(tmp_path / name, files, tools)
        assert "[conda]" in caught.value.hint
    with pytest.raises(LockError, match=r"environment\.yml:1"):
        locked(tmp_path / "c", {"environment.yml": "channels: [file:///etc]\ndependencies: [x]\n"}, tools)


def test_demands_that_cannot_be_met_are_told_with_their_lines(tmp_path, tools):
    """What the machine or the channel does not have, and words that mean nothing, end with file and line."""
    for spec, kind in (
        ("needs-gpu", LockError),
        ("needs-new-glibc", LockError),
        ("nowhere", LockError),
        ("numpy=>1", DetectError),
    ):
        with pytest.raises(kind) as caught:
            locked(tmp_path / spec, {"environment.yml": f"{HEAD}- {spec}\n"}, tools)
        assert "environment.yml:3" in caught.value.message


def test_priority_and_mirrors_are_the_sites(tmp_path, tools):
    """A channel may be reached by any of its addresses: the lock is the same, and names none."""
    files = {"environment.yml": f"{HEAD}- python=3.11\n"}
    first = locked(tmp_path / "a", files, tools)
    places = ("file:///nowhere/at/all", *tools.site.conda.channels["main"])
    site = dataclasses.replace(tools.site, conda=CondaSite(channels={"main": places}))
    mirrored = dataclasses.replace(tools, site=site, downloader=Downloader(site))
    assert locked(tmp_path / "b", files, mirrored).conda == first.conda
    assert "://" not in str(first.conda)


def test_an_earlier_lock_is_kept_to(tmp_path, tools):
    """Made anew at a later date, a lock has the packages that it had, but for those that are to be upgraded."""
    files = {"environment.yml": f"{HEAD}- python=3.11\n- timely\n- pip:\n  - alpha\n"}
    first = locked(tmp_path / "a", files, tools, as_of="2023-03-01")
    assert conda_versions(first)["timely"] == "1.0"
    again = locked(tmp_path / "b", files, tools, kept=Kept(first, frozenset(), NOW))
    assert (again.conda, again.wheels) == (first.conda, first.wheels)
    upgraded = locked(tmp_path / "c", files, tools, kept=Kept(first, frozenset({"timely"}), NOW))
    changed = {
        package.name
        for package, before in zip(upgraded.conda.packages, first.conda.packages, strict=True)
        if package != before
    }
    assert (changed, conda_versions(upgraded)["timely"]) == ({"timely"}, "2.0")
