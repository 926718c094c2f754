"""Paths that may not be read are told from paths that are not there."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from source_tools import source_tools

from reprolake.inspection import inspect
from reprolake.lock_file import read_lock
from reprolake.options import UsageError
from reprolake_builder.denied import denied
from reprolake_builder.errors import LockError, ResolveError
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.resolve import resolve
from reprolake_builder.store import Store

ME = pwd.getpwuid(os.geteuid()).pw_name


@contextlib.contextmanager
def nobody_special():
    """Act as a user whom permissions bind: root becomes another one for as long as this lasts."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(4242)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def places():
    """A folder that all can enter, with a closed folder, a closed file, and things below the closed folder."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "closed" / "in").mkdir(parents=True)
    (folder / "closed" / "a.lock").write_text("{}")
    (folder / "a.lock").write_text("{}")
    (folder / "link").symlink_to("closed/in")
    (folder / "closed").chmod(0o000)
    (folder / "a.lock").chmod(0o000)
    yield folder
    (folder / "closed").chmod(0o700)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("path", "culprit"),
    [
        ("closed", "closed"), ("closed/in", "closed"), ("closed/a.lock", "closed"), ("closed/none", "closed"),
        ("link", "closed"), ("a.lock", "a.lock"),
    ],
)  # fmt: skip
def test_the_owner_of_what_is_closed_is_named(places, path, culprit, tmp_path):
    """The path that stands in the way is named with its owner, by resolve and inspect alike."""
    said = f"permission denied: {places / culprit} belongs to {ME}"
    asked = LinkRequest(link=str(places / path), now=datetime.now(UTC))
    tools = source_tools(Store(tmp_path / "store"), environment={})
    with nobody_special():
        assert denied(places / path).startswith(said)
        with pytest.raises(ResolveError, match=said):
            resolve(asked, tools)
        with pytest.raises(UsageError, match=said):
            inspect(str(places / path), None)
        with pytest.raises(LockError, match=said):
            read_lock(places / path)


@pytest.mark.parametrize(
    "path", ["", "none", "none/none", "a\0b", "x" * 5000, "sha256:abc", "git@h.org:a.git"]
)
def test_what_is_open_or_not_there_is_not_denied(places, path):
    """Folders that can be read, and what is no path of this host at all, are left to others to judge."""
    with nobody_special():
        assert denied(places / path if path else places) == denied(path) == ""
