"""`file:` URLs: files of this host that the user named.

Symbolic links are followed on purpose: the user may name any file that the user may read. What is no plain file is not
opened at all, since opening a device can act and opening a pipe can wait for ever.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from reprolake_builder.process import printable
from reprolake_runner.errors import StageInError
from reprolake_runner.transports.interface import PIECE

_MAX_LISTED = 10_000


class FileTransport:
    """Reads files of this host."""

    def size(self, url: str) -> int | None:
        """Size in bytes. Raises StageInError when the URL names no readable file."""
        path = _path(url)
        try:
            return _plain(os.stat(path), path).st_size
        except OSError as error:
            raise _explained(error, path) from error

    def pieces(self, url: str) -> Iterator[bytes]:
        """Yield the file's bytes. Raises StageInError when it changes its length meanwhile."""
        path = _path(url)
        try:
            _plain(os.stat(path), path)
            with open(
                os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb", buffering=0
            ) as stream:
                # Looked at again: the name may mean another file by now.
                expected = _plain(os.fstat(stream.fileno()), path).st_size
                done = 0
                while piece := stream.read(PIECE):
                    done += len(piece)
                    if done > expected:
                        break
                    yield piece
        except OSError as error:
            raise _explained(error, path) from error
        if done != expected:
            raise StageInError(
                f"{_shown(path)} changed while it was read: it had {expected} bytes at first",
                hint="wait until whatever writes it is done, then run the command again",
                transient=True,
            )


def _path(url: str) -> str:
    return unquote(urlsplit(url).path, errors="surrogateescape")


def _shown(path: str) -> str:
    return printable(os.fsencode(path).decode("utf-8", "replace"))


def _plain(info: os.stat_result, path: str) -> os.stat_result:
    """Return `info` of a plain file."""
    if stat.S_ISDIR(info.st_mode):
        raise StageInError(
            f"{_shown(path)} is a folder; the basket can name files only",
            hint="list the folder's files one by one in the basket",
        )
    if not stat.S_ISREG(info.st_mode):
        raise StageInError(f"{_shown(path)} is no plain file (a device, a pipe or a socket)")
    return info


def _explained(error: OSError, path: str) -> StageInError:
    if isinstance(error, FileNotFoundError):
        return StageInError(
            f"the basket names the file {_shown(path)}, which does not exist", hint=_near(path)
        )
    return StageInError(f"the file {_shown(path)} cannot be read: {error.strerror}")


def _near(path: str) -> str:
    folder, _, name = path.rpartition("/")
    try:
        there = os.listdir(folder or "/")
    except OSError:
        return f"the folder {_shown(folder)} does not exist or cannot be read"
    near = difflib.get_close_matches(name, there[:_MAX_LISTED], 1)
    return (
        f"did you mean {_shown(near[0])}?"
        if near
        else "relative file: URLs start at the folder of the basket file"
    )
