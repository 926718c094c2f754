"""Files of others are opened where they lie, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reprolake_builder.plain_files import open_below, open_plain


def test_a_plain_file_is_read(tmp_path):
    """What is a file has its bytes, by its path and below a folder."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"text\n")
    with open_plain(tmp_path / "a" / "file") as one, open_below(tmp_path, "a/file") as other:
        assert one.read() == other.read() == b"text\n"


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_nothing_else_is_opened(tmp_path, kind):
    """A link, a pipe that nobody writes to and a folder end at once, whichever way they are named."""
    path = tmp_path / "odd"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        (tmp_path / "file").write_text("")
        path.symlink_to("file")
    before = os.listdir("/proc/self/fd")
    for attempt in (lambda: open_plain(path), lambda: open_below(tmp_path, "odd")):
        with pytest.raises(OSError, match=r"no plain file|Too many levels"):
            attempt()
    assert os.listdir("/proc/self/fd") == before


def test_a_device_itself_is_not_opened():
    """A device is no plain file even where no link leads to it."""
    with pytest.raises(OSError, match="no plain file"):
        open_plain(Path("/dev/zero"))


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "a/.."])
def test_no_path_leads_out(tmp_path, path):
    """A path with two dots is refused, wherever it would lead."""
    (tmp_path / "folder" / "a").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(OSError, match="leads out"):
        open_below(tmp_path / "folder", path)


def test_no_link_on_the_way_is_followed(tmp_path):
    """A folder that is a link is not gone through."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("secret")
    (tmp_path / "folder" / "in").symlink_to(tmp_path / "outside")
    with pytest.raises(NotADirectoryError):
        open_below(tmp_path / "folder", "in/file")
