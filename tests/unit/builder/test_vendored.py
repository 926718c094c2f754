"""A vendored folder from anybody: nothing outside of it is read, and what is wrong with it says what to do."""

from __future__ import annotations

import os

import pytest

from reprolake_builder.errors import FetchError
from reprolake_builder.vendored import SOURCE, SUMS, Vendored, open_vendored, write_source


@pytest.mark.parametrize("kind", ["link", "pipe", "nothing", "text"])
def test_a_source_that_is_no_archive_is_refused(tmp_path, kind):
    """A link in the place of source.tar is not followed, and not a byte of what it leads to is told."""
    (tmp_path / "secret").write_text("only the host may know this")
    (tmp_path / "v").mkdir()
    (tmp_path / "root").mkdir()
    place = tmp_path / "v" / SOURCE
    if kind == "link":
        place.symlink_to(tmp_path / "secret")
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "text":
        place.write_text("no archive")
    with pytest.raises(FetchError, match=r"source.tar cannot be (read|taken)") as caught:
        write_source(Vendored(tmp_path / "v", {}), tmp_path / "root")
    assert "only the host" not in caught.value.message
    assert caught.value.hint == "vendor the lock again"


@pytest.mark.parametrize("kind", ["link", "pipe", "nothing", "text"])
def test_a_list_that_is_none_is_refused(tmp_path, kind):
    """A link or a pipe in the place of the list of hashes is neither followed nor waited for."""
    (tmp_path / "secret").write_text("only the host may know this")
    place = tmp_path / SUMS
    if kind == "link":
        place.symlink_to(tmp_path / "secret")
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "text":
        place.write_text("no list")
    with pytest.raises(FetchError, match=SUMS) as caught:
        open_vendored(tmp_path)
    assert "only the host" not in caught.value.message
    assert "vendor the lock again" in caught.value.hint
