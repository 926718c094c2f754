"""Which archive a file is, by its first bytes; names only tell which files are meant to be unpacked."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol, cast

from reprolake_builder.archives import zstandard
from reprolake_builder.archives.members import Member
from reprolake_builder.archives.tars import BLOCK, pax_comment, tar_members
from reprolake_builder.archives.zips import TAIL, zip_comment_commit, zip_members
from reprolake_builder.git_tree import TreeError, shown

SUFFIXES = (
    *(".zip", ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst"),
    *(".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"),
)
_BUFFER = 1 << 18
_MOST_MEMORY = 256 << 20  # bytes for one decompressor: `xz -9` needs 65 MiB
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
)


class _Decoder(Protocol):
    """What bz2, lzma and zstd decompress one stream with."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def is_archive(name: str) -> bool:
    """Whether a file of that name is an archive to unpack."""
    folder = folder_name(name)
    return folder != name and bool(folder.rpartition("/")[2])


def folder_name(name: str) -> str:
    """Return an archive's name without its suffix."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


@contextlib.contextmanager
def reading(archive: Path, allowed: int, *, hard_links: bool = False) -> Iterator[Iterator[Member]]:
    """Yield the members of an archive (host path), of which no more than `allowed` bytes are read.

    Without `hard_links` those are refused, too: git's trees have none.
    Raises TreeError for what is no archive, one that is damaged, and members that no tree can hold.
    """
    with archive.open("rb") as stream, telling_damage():
        if is_zip := stream.read(2) == b"PK":
            stream.seek(0)
        yield zip_members(stream) if is_zip else tar_members(plain(stream), allowed, hard_links=hard_links)


@contextlib.contextmanager
def telling_damage() -> Iterator[None]:
    """Turn what reading a damaged archive raises into TreeError."""
    try:
        yield
    except TreeError:
        raise
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}:
            raise  # the disk's fault, not the archive's, which can only send us to places that are none
        raise TreeError(f"it is damaged: {str(error) or type(error).__name__}") from error


def commit_named(archive: Path) -> str:
    """Return the commit that an archive (host path) was made from, as `git archive` and GitHub write it; "" for none."""
    with archive.open("rb") as stream:
        if stream.read(2) == b"PK":
            stream.seek(0, io.SEEK_END)
            stream.seek(-min(TAIL, stream.tell()), io.SEEK_END)
            return zip_comment_commit(stream.read())
        try:
            return _commit(pax_comment(plain(stream)))
        except _DAMAGED:
            return ""


def _commit(text: str) -> str:
    return text if len(text) in {40, 64} and not text.strip("0123456789abcdef") else ""


def plain(stream: IO[bytes]) -> IO[bytes]:
    """Return the tar stream in a file, decompressed as its first bytes say. Raises TreeError for what is none."""
    stream.seek(0)
    start = stream.read(BLOCK)
    stream.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
    if start.startswith(b"BZh"):
        return _inflating(stream, bz2.BZ2Decompressor)
    if start.startswith(b"\xfd7zXZ\0"):
        return _inflating(stream, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY))
    if start.startswith(zstandard.MAGIC):
        return _inflating(stream, zstandard.ZstdDecoder)
    if len(start) == BLOCK and start[257:262] == b"ustar":
        return stream
    raise TreeError(f"it is no zip and no tar archive: it begins with {shown(start[:16])}")


def _inflating(stream: IO[bytes], new: Callable[[], _Decoder]) -> IO[bytes]:
    return io.BufferedReader(_Inflating(stream, new), _BUFFER)


class _Inflating(io.RawIOBase):
    """The content of a compressed file that may hold several streams, one behind the other."""

    def __init__(self, stream: IO[bytes], new: Callable[[], _Decoder]) -> None:
        super().__init__()
        self._stream = stream
        self._new = new
        self._decoder = new()

    def readable(self) -> bool:
        """Return True: that is what it is for."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill `buffer`, or a part of it, and return how many bytes that were."""
        view = memoryview(cast("bytearray", buffer))
        while True:
            given = b""
            if self._decoder.eof:
                given = self._decoder.unused_data or self._stream.read(_BUFFER)
                if not given:
                    return 0
                self._decoder = self._new()
            elif self._decoder.needs_input:
                given = self._stream.read(_BUFFER)
                if not given:
                    raise EOFError("the compressed stream ends too early")
            if piece := self._decoder.decompress(given, len(view)):
                view[: len(piece)] = piece
                return len(piece)
