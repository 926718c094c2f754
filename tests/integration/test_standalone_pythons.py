"""Pythons of standalone builds, from the list to a run: the archives are made from Debian's own interpreters."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from conda_channel import served
from notebook_runs import notebook
from standalone_pythons import downloads, name_of, standalone_python, tar_gz
from uv import find_uv_bin

from reprolake.options import load_options
from reprolake_builder.documents.base import decode
from reprolake_builder.documents.lock import EnvironmentLock, StandaloneInterpreter
from reprolake_builder.download import Downloader
from reprolake_builder.errors import FetchError
from reprolake_builder.site import PythonSite
from reprolake_builder.solvers.pypi_urls import wheel_urls
from reprolake_builder.solvers.standalone import (
    fetch_standalone,
    pin_standalone,
    standalone_builds,
    trusted_note,
)
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

DAY = "20230507"
AS_OF = "2023-05-01"
CHECK = """\
import json, os, ssl, sqlite3, sys, sysconfig, zoneinfo
import six, fast
print(json.dumps([sys.version.split()[0], sys.prefix, sys.base_prefix, fast.answer(), six.__spec__.cached, json.__spec__.cached]))
print(sysconfig.get_config_var("LIBDIR"), os.environ["SSL_CERT_FILE"], os.path.exists(os.environ["SSL_CERT_FILE"]))
"""
FAST = """\
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "fast", NULL, -1, methods};
PyMODINIT_FUNC PyInit_fast(void) { return PyModule_Create(&module); }
"""
pytestmark = pytest.mark.engine("bubblewrap")


@pytest.fixture(scope="module")
def archive(session) -> Path:
    """A standalone build of Python 3.11."""
    return standalone_python("3.11", DAY, session.tools)


@pytest.fixture(scope="module")
def site(archive, tmp_path_factory) -> dict[str, str]:
    """Settings of a site that has standalone Pythons alone, from a list without hashes."""
    place = downloads(tmp_path_factory.mktemp("site"), archive, hashes=False)
    return {"REPROLAKE_PYTHON_SOURCES": "standalone", "REPROLAKE_PYTHON_DOWNLOADS": place.as_uri()}


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A repository that asks for that Python, with a package with a wheel and a notebook."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "runtime.txt").write_text("python-3.11\n")
    (folder / "requirements.txt").write_text("six==1.16.0\n")
    (folder / "check.ipynb").write_text(notebook("import sys, six; print(sys.base_prefix, six.__version__)"))
    return folder


@pytest.fixture(scope="module")
def lock(reprolake, repository, site, tmp_path_factory) -> Path:
    """Its lock."""
    path = tmp_path_factory.mktemp("lock") / "a.lock"
    done = reprolake("lock", repository, "--as-of", AS_OF, "-o", path, **site)
    assert done.returncode == 0, done.stderr
    return path


def interpreter(path: Path) -> StandaloneInterpreter:
    """The Python of a lock."""
    found = decode(path.read_bytes(), EnvironmentLock).interpreter
    assert isinstance(found, StandaloneInterpreter)
    return found


def test_the_lock_pins_the_archive_and_tells_whose_word_its_hash_is(lock, archive, reprolake):
    """File, size and hash stand in the lock, a note says that the list had none, and no address is named."""
    found = interpreter(lock)
    assert (found.filename, found.size) == (archive.name, archive.stat().st_size)
    assert found.executable == "/opt/python/bin/python3.11"
    pinned = decode(lock.read_bytes(), EnvironmentLock)
    assert any("SHA-256 of cpython-3.11" in note for note in pinned.notes)
    assert "file://" not in lock.read_text().replace('"source"', "").partition('"interpreter"')[2]
    assert not any(deb.name.startswith("python3") for deb in pinned.debian.base)
    assert {wheel.name for wheel in pinned.wheels} >= {"six", "ipykernel"}
    done = reprolake("inspect", lock)
    assert f"the standalone build {archive.name} on Debian bookworm" in done.stdout


def test_a_notebook_runs_on_it(reprolake, lock, site, tmp_path):
    """The whole line works: the kernel's Python is the archive's, and packages are found beside it."""
    done = reprolake("run", lock, "check.ipynb", "--stage", tmp_path / "out", **site)
    assert done.returncode == 0, done.stderr
    assert "/opt/python 1.16.0" in next((tmp_path / "out").rglob("*.ipynb")).read_text()


def test_the_vendored_lock_builds_to_the_same_image_in_an_empty_store(reprolake, lock, site, tmp_path):
    """The folder holds the archive; from it the same image comes without a list of builds, a network, or what was there."""
    first = reprolake("build", lock, **site)
    assert first.returncode == 0, first.stderr
    brought = reprolake("vendor", lock, tmp_path / "vendored", **site)
    assert brought.returncode == 0, brought.stderr
    name = interpreter(lock).filename
    assert (tmp_path / "vendored/standalone" / name).is_file()
    nowhere = {"REPROLAKE_STORE": str(tmp_path / "store"), "REPROLAKE_PYTHON_DOWNLOADS": "file:///nowhere"}
    again = reprolake("build", tmp_path / "vendored/reprolake.lock", **nowhere)
    assert again.returncode == 0, again.stderr
    assert first.stdout == again.stdout
    shutil.rmtree(tmp_path / "store")


def test_bills_and_differences_name_it(reprolake, lock, site, tmp_path):
    """Both bills of materials have the archive as a component, and a difference tells of another Python."""
    found = interpreter(lock)
    for form in ("cyclonedx", "spdx"):
        done = reprolake("export", lock, "--format", form)
        assert found.sha256 in done.stdout, done.stderr
        assert f"pkg:generic/cpython@{found.version}" in done.stdout
    other = tmp_path / "b.lock"
    other.write_text(lock.read_text().replace(found.sha256, "f" * 64))
    done = reprolake("diff", lock, other)
    assert done.stdout.startswith("standalone "), done.stdout
    assert "cpython" in done.stdout


def test_compiled_packages_are_built_for_it(reprolake, site, tmp_path):
    """An extension of the repository's own is compiled against its headers, by the sandbox's compiler, and works."""
    files = {
        "setup.py": "from setuptools import setup, Extension\n"
        "setup(name='fast', version='1.0', ext_modules=[Extension('fast', ['fast.c'])])\n",
        "pyproject.toml": '[project]\nname = "fast"\nversion = "1.0"\nrequires-python = "==3.11.*"\n'
        'dependencies = ["six==1.16.0"]\n[build-system]\nrequires = ["setuptools"]\n',
        "fast.c": FAST,
        "check.ipynb": notebook(CHECK),
    }
    (tmp_path / "repo").mkdir()
    for name, text in files.items():
        (tmp_path / "repo" / name).write_text(text)
    done = reprolake("lock", tmp_path / "repo", "--as-of", AS_OF, "-o", tmp_path / "a.lock", **site)
    assert done.returncode == 0, done.stderr
    project = decode((tmp_path / "a.lock").read_bytes(), EnvironmentLock).project
    assert project.filename == "fast-1.0-cp311-cp311-linux_x86_64.whl"
    assert project.variables["CC"] == "gcc"
    done = reprolake("run", tmp_path / "a.lock", "check.ipynb", "--stage", tmp_path / "out", **site)
    assert done.returncode == 0, done.stderr
    said = next((tmp_path / "out").rglob("*.ipynb")).read_text()
    for text in (
        '\\"3.11.',
        '\\"/opt/env\\", \\"/opt/python\\", 42',
        "/opt/env/lib/python3.11/site-packages/__pycache__/six.cpython-311.pyc",
        "/opt/python/lib/python3.11/json/__pycache__/__init__.cpython-311.pyc",
        "/opt/python/lib",
        "/etc/ssl/certs/ca-certificates.crt True",
    ):
        assert text in said
    assert "/install" not in said


def test_the_archive_is_fetched_by_its_name_and_other_bytes_are_refused(
    reprolake, lock, archive, session, tmp_path
):
    """A server that has other bytes under the name makes the build fail; a mirror that has the locked ones serves."""
    mirror = tmp_path / "mirror"
    (mirror / DAY).mkdir(parents=True)
    shutil.copy(archive, mirror / DAY / archive.name)
    pinned = interpreter(lock)
    store = Store(tmp_path / "store")
    with served(mirror) as address:
        site = dataclasses.replace(session.tools.site, pythons=PythonSite(mirror=address))
        tools = dataclasses.replace(session.tools, site=site, store=store, downloader=Downloader(site))
        fetch_standalone(pinned, tools)
        assert store.has_sound_archive(pinned.sha256)
        other = msgspec.structs.replace(pinned, sha256="f" * 64)
        with pytest.raises(FetchError, match=re.escape(archive.name)):
            fetch_standalone(other, tools)
    store.close()


def test_a_hash_on_the_list_is_looked_at(archive, session, tmp_path):
    """What arrives with another hash than the list says is never pinned; with the right one no note is left."""
    found = downloads(tmp_path / "list", archive)
    tools = _tools(session, tmp_path / "store", found)
    (build,) = standalone_builds(tools)
    assert trusted_note(build, pin_standalone(build, tools)) == ""
    found.write_text(found.read_text().replace(build.sha256, "f" * 64))
    tools = _tools(session, tmp_path / "other", found)
    with pytest.raises(FetchError, match="arrived with SHA-256"):
        pin_standalone(standalone_builds(tools)[0], tools)


def test_what_arrived_first_counts_on_a_host(archive, session, tmp_path):
    """Without a hash on the list the first archive of a name is the one: another one under that name is refused later."""
    day = tmp_path / "mirror" / DAY
    day.mkdir(parents=True)
    copy = Path(shutil.copy(archive, day))
    tools = _tools(session, tmp_path / "store", downloads(tmp_path / "list", copy, hashes=False))
    (build,) = standalone_builds(tools)
    first = pin_standalone(build, tools)
    assert "that of what arrived here first" in trusted_note(build, first)
    tools.store.discard(tools.store.archive(first.sha256))
    copy.write_bytes(b"other bytes")
    with pytest.raises(FetchError, match="arrived with SHA-256"):
        pin_standalone(build, tools)


def _tools(session, store: Path, listed: Path) -> Tools:
    site = dataclasses.replace(session.tools.site, pythons=PythonSite(downloads=listed.as_uri()))
    return dataclasses.replace(session.tools, site=site, store=Store(store), downloader=Downloader(site))


def test_a_version_that_no_source_has_is_told_with_all_sources(reprolake, site, tmp_path):
    """The error lists each source with what it has, or why it has nothing."""
    (tmp_path / "runtime.txt").write_text("python-3.12\n")
    for settings, words in (
        (site, "standalone builds: 3.11\n"),
        ({"REPROLAKE_PYTHON_SOURCES": "debian"}, "standalone builds: not among python_sources"),
        ({"REPROLAKE_PYTHON_DOWNLOADS": "file:///nowhere"}, "standalone builds: cannot be listed: /nowhere"),
    ):
        done = reprolake("lock", tmp_path, "-o", tmp_path / "a.lock", **settings)
        assert done.returncode != 0
        assert "==3.12.* (runtime.txt:1)" in done.stderr
        assert words in done.stderr
        assert ("Debian: 3.9, 3.11, 3.13" in done.stderr) == (settings is not site)


def test_debians_pythons_come_first_and_a_kept_one_stays(reprolake, lock, repository, site, tmp_path):
    """With both sources Debian's Python serves; `lock --upgrade` keeps the standalone one, which is still on the list."""
    both = {**site, "REPROLAKE_PYTHON_SOURCES": "debian standalone"}
    done = reprolake("lock", repository, "--as-of", AS_OF, "-o", tmp_path / "a.lock", **both)
    assert (
        decode((tmp_path / "a.lock").read_bytes(), EnvironmentLock).interpreter.executable
        == "/usr/bin/python3.11"
    )
    kept = Path(shutil.copy(lock, tmp_path / "kept.lock"))
    done = reprolake("lock", repository, "--upgrade", "six", "-o", kept, **site)
    assert done.returncode == 0, done.stderr
    assert interpreter(kept) == interpreter(lock)


@pytest.mark.parametrize("name", ["requirements.txt", "pylock.toml"])
def test_wheels_are_those_of_a_python_that_debian_lacks(reprolake, tmp_path, name):
    """For Python 3.12 its wheels are locked, resolved or obeyed, and found again when the index is asked for them by name."""
    day = tmp_path / "builds" / "20240415"
    day.mkdir(parents=True)
    archive = day / name_of("3.12.3", day.name)
    archive.write_bytes(tar_gz([("python/bin/python3.12", b"0", 0o755, b"none")]))
    site = {"REPROLAKE_PYTHON_DOWNLOADS": downloads(tmp_path / "list", archive).as_uri()}
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "runtime.txt").write_text("python-3.12\n")
    if name == "requirements.txt":
        (repository / name).write_text("markupsafe==2.1.5\n")
    else:
        argv = [find_uv_bin(), "pip", "compile", "-", "--format", name, "--python-version", "3.12", "--quiet"]
        compiled = subprocess.run(
            argv, input=b"markupsafe==2.1.5\n", capture_output=True, check=True, cwd="/"
        )
        said = re.sub(rb"(?m)^requires-python = .*$", b'requires-python = "==3.12.*"', compiled.stdout)
        (repository / name).write_bytes(said)
    done = reprolake("lock", repository, "--as-of", "2024-04-01", "-o", tmp_path / "a.lock", **site)
    assert done.returncode == 0, done.stderr
    pinned = decode((tmp_path / "a.lock").read_bytes(), EnvironmentLock)
    assert pinned.interpreter.version == "3.12.3"
    (markupsafe,) = (wheel for wheel in pinned.wheels if wheel.name == "markupsafe")
    assert "-cp312-cp312-manylinux" in markupsafe.filename
    with contextlib.closing(Store(tmp_path / "store")) as store:
        site = load_options(os.environ, str(tmp_path / "store")).site
        assert wheel_urls([markupsafe], site, store)[markupsafe.sha256].endswith(".whl")


def test_doctor_reads_the_list(reprolake, site):
    """It tells which Pythons are listed, or why none are and what helps."""
    done = reprolake("doctor", "--json", **site)
    (check,) = (one for one in json.loads(done.stdout)["checks"] if one["name"] == "standalone Pythons")
    assert (check["ok"], check["found"]) == (True, "on the list: 3.11")
    done = reprolake("doctor", "--json", REPROLAKE_PYTHON_DOWNLOADS="file:///nowhere")
    (check,) = (one for one in json.loads(done.stdout)["checks"] if one["name"] == "standalone Pythons")
    assert not check["ok"]
    assert "python_downloads" in check["remedy"]
