"""Files that anybody may have put there, opened for reading: no link is followed, and nothing is waited for."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_plain(path: Path) -> io.BufferedReader:
    """Open a plain file (host path), no link and nothing that could wait. Raises OSError."""
    return _plain(os.open(path, _FILE), path)


def open_below(folder: Path, path: str) -> io.BufferedReader:
    """Open a plain file at a relative path below a folder (host path), with no link on the way. Raises OSError."""
    *above, name = path.split("/")
    if ".." in path.split("/"):
        raise OSError(errno.EINVAL, "it leads out of the folder", str(folder / path))
    at = os.open(folder, _FOLDER)
    try:
        for part in above:
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        return _plain(os.open(name, _FILE, dir_fd=at), folder / path)
    finally:
        os.close(at)


def _plain(descriptor: int, path: Path) -> io.BufferedReader:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    return open(descriptor, "rb")
