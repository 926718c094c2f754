"""The inside of a .deb, read as a stream: an ar archive that holds two compressed tar archives. Source: deb(5).

A package's bytes are those of the lock; a signed index vouches for them where the lock was made on this host.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import posixpath
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from reprolake_builder.errors import BuildError
from reprolake_builder.process import printable

_MAGIC = b"!<arch>\n"
_HEADER = 60
_BUFFER = 1 << 18
_SCRIPT = 4 << 20  # bytes: no control file is longer


class Member(io.RawIOBase):
    """One member of an ar archive: its `name`, and its bytes as a stream."""

    def __init__(self, stream: BinaryIO, name: str, size: int) -> None:
        super().__init__()
        self._stream = stream
        self.name = name
        self.left = size

    def readable(self) -> bool:
        """Return True: that is what it is for."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill `buffer` and return how many bytes that were."""
        view = memoryview(cast("bytearray", buffer))
        piece = self._stream.read(min(len(view), self.left))
        if not piece and self.left and view:
            raise ValueError(f"the archive ends inside {self.name}")
        view[: len(piece)] = piece
        self.left -= len(piece)
        return len(piece)


def members(stream: BinaryIO) -> Iterator[Member]:
    """Yield an ar archive's members in order; each can be read until the next one is asked for.

    Raises ValueError for what is no such archive. Source: ar(5), common format.
    """
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("this is no ar archive")
    while header := stream.read(_HEADER):
        digits = header[48:58].strip()
        if len(header) != _HEADER or header[58:] != b"`\n" or not digits.isdigit():
            raise ValueError("a member's header is damaged")
        size = int(digits)
        member = Member(stream, header[:16].decode("ascii", "replace").strip().rstrip("/"), size)
        yield member
        stream.seek(member.left + size % 2, io.SEEK_CUR)


@contextlib.contextmanager
def open_part(deb: Path, part: str) -> Iterator[tarfile.TarFile]:
    """Yield the tar stream of a package's "control" or "data"; `deb` is a host path.

    Names are decoded the same way everywhere: UTF-8, and surrogates for what is none.
    Raises BuildError for a damaged package and for a compression that is not supported.
    """
    try:
        with deb.open("rb") as stream:
            for member in members(stream):
                if member.name.startswith(f"{part}.tar"):
                    with (
                        _decompressed(member) as plain,
                        tarfile.open(
                            fileobj=plain,
                            mode="r|",
                            bufsize=_BUFFER,
                            encoding="utf-8",
                            errors="surrogateescape",
                        ) as tar,
                    ):
                        yield tar
                    return
            raise ValueError(f"it has no {part}.tar")
    except (ValueError, EOFError, OSError, lzma.LZMAError, tarfile.TarError) as error:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
            raise  # of the place where the caller writes what it reads
        raise BuildError(f"the Debian package {deb.name} cannot be read: {error}") from error


def _decompressed(member: Member) -> IO[bytes]:
    buffered = io.BufferedReader(member, _BUFFER)
    match member.name.rpartition(".tar")[2]:
        case ".xz":
            return lzma.open(buffered)
        case ".gz":
            return cast("IO[bytes]", gzip.open(buffered))
        case ".bz2":
            return bz2.open(buffered)
        case "":
            return buffered
        case other:
            raise ValueError(
                f"{printable(member.name)}: the compression {printable(other)} is not supported (xz, gz, bz2 are)"
            )


def control_files(deb: Path) -> dict[str, bytes]:
    """Return the files that describe a package and its scripts, by name ("control", "postinst" …)."""
    found: dict[str, bytes] = {}
    with open_part(deb, "control") as tar:
        for item in tar:
            if item.isfile() and item.size <= _SCRIPT:
                stream = tar.extractfile(item)
                found[posixpath.normpath(item.name)] = stream.read() if stream else b""
    return found
