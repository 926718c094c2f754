"""Archives that pretend to be standalone Pythons: none writes, links or runs anything outside of its place."""

from __future__ import annotations

import dataclasses
import hashlib
import tarfile

import msgspec
import pytest
from standalone_pythons import name_of, tar_gz

from reprolake_builder.documents.lock import StandaloneInterpreter
from reprolake_builder.engines.interpreters import Home
from reprolake_builder.engines.standalone import make_standalone
from reprolake_builder.errors import BuildError, FetchError, LockError
from reprolake_builder.site import PythonSite
from reprolake_builder.solvers.standalone import standalone_builds
from reprolake_builder.store import Store

FILE, LINK, HARD, DEVICE, PIPE = (
    tarfile.REGTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.FIFOTYPE,
)
PYTHON = ("python/bin/python3.11", FILE, 0o755, b"#!/bin/sh\nexit 1\n")


@pytest.fixture
def tools(session, tmp_path):
    """Tools over a store of its own."""
    store = Store(tmp_path / "store")
    yield dataclasses.replace(session.tools, store=store)
    store.close()


def made(entries, tools, **changes):
    """What becomes of an archive with these entries."""
    data = tar_gz(entries)
    sha256 = hashlib.sha256(data).hexdigest()
    tools.store.add_archive(iter([data]), sha256, "the test")
    lock = StandaloneInterpreter(
        version="3.11.2",
        executable="/opt/python/bin/python3.11",
        filename=name_of("3.11.2", "20230507"),
        sha256=sha256,
        size=len(data),
    )
    base = tools.store.make_tree("0" * 64, lambda root: (root / "usr").mkdir())
    return make_standalone(Home(msgspec.structs.replace(lock, **changes), base), tools)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (("python/../../evil", FILE, 0o644, b"x"), "no repository may have"),
        (("/etc/evil", FILE, 0o644, b"x"), "folder of its own"),
        (("../evil", FILE, 0o644, b"x"), "folder of its own"),
        (("other/evil", FILE, 0o644, b"x"), "one folder"),
        (("python/lib/evil", LINK, 0o777, b"/etc/passwd"), "leads out"),
        (("python/lib/evil", LINK, 0o777, b"../../../../etc/passwd"), "leads out"),
        (("python/lib/evil", HARD, 0o644, b"/etc/passwd"), "folder of its own"),
        (("python/lib/evil", HARD, 0o644, b"python/bin/nothing"), "what is no file"),
        (("python/lib/evil", DEVICE, 0o644, b""), "character device"),
        (("python/lib/evil", PIPE, 0o644, b""), "named pipe"),
        (PYTHON, "twice"),
        (("python/bin/python3.11/x", FILE, 0o644, b"x"), "a file and a folder"),
    ],
)
def test_what_leads_elsewhere_is_refused(tools, tmp_path, entry, words):
    """The error names the archive and the reason; nothing lies outside of the store, and no tree was made."""
    with pytest.raises(BuildError, match=words) as caught:
        made([PYTHON, entry], tools)
    assert "cpython-3.11.2+20230507" in caught.value.message
    assert not list(tmp_path.rglob("evil"))


def test_nothing_is_written_through_a_link(tools, tmp_path):
    """A file below a symbolic link of the archive is refused, wherever that leads."""
    (tmp_path / "target").mkdir()
    target = str(tmp_path / "target").encode()
    for link in (target, b"bin"):
        entries = [PYTHON, ("python/lib", LINK, 0o777, link), ("python/lib/evil", FILE, 0o644, b"x")]
        with pytest.raises(BuildError, match="a file and a folder"):
            made(entries, tools)
    assert not list((tmp_path / "target").iterdir())


def test_an_archive_without_the_interpreter_is_refused(tools):
    """What holds another Python, or none, is not taken for the locked one; nor is what is no archive."""
    with pytest.raises(BuildError, match=r"holds no bin/python3\.11"):
        made([("python/bin/python3.12", FILE, 0o755, b"x")], tools)
    with pytest.raises(BuildError, match="one folder"):
        made([], tools)


def test_a_lock_that_contradicts_itself_is_refused(tools):
    """Version, path and file name have to be of one Python."""
    for changes in (
        {"version": "3.12.1"},
        {"executable": "/opt/python/bin/python3.12"},
        {"filename": name_of("3.11.3", "20230507")},
    ):
        with pytest.raises(BuildError, match="contradicts itself"):
            made([PYTHON], tools, **changes)


def test_lock_documents_name_no_other_place():
    """Neither the path of the interpreter nor the file name can lead anywhere else."""
    good = {
        "kind": "standalone",
        "version": "3.11.2",
        "executable": "/opt/python/bin/python3.11",
        "filename": name_of("3.11.2", "20230507"),
        "sha256": "0" * 64,
        "size": 1,
    }
    assert msgspec.convert(good, StandaloneInterpreter).version == "3.11.2"
    for changes in (
        {"executable": "/opt/python/bin/../../../bin/sh"},
        {"executable": "/usr/bin/python3.11"},
        {"filename": "../" + good["filename"]},
        {"filename": good["filename"] + "\n"},
        {"version": "2.7.18"},
        {"size": -1},
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(good | changes, StandaloneInterpreter)


@pytest.mark.parametrize(
    "text",
    ["", "[", "null", "3", '"x"', "[" * 100_000, '{"a": NaN, "b": ', "\x00\xff", '[1, "x", null'],
)
def test_a_list_that_is_none_is_an_error(tools, tmp_path, text):
    """A server may answer anything to the question which builds there are: that ends with one sentence."""
    (tmp_path / "list").write_text(text)
    site = dataclasses.replace(tools.site, pythons=PythonSite(downloads=(tmp_path / "list").as_uri()))
    with pytest.raises((FetchError, LockError), match="cannot be understood") as caught:
        standalone_builds(dataclasses.replace(tools, site=site))
    assert len(caught.value.message) < 600
    assert caught.value.message.isprintable()
