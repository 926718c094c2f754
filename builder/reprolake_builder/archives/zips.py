"""Zip archives. Source: PKWARE's APPNOTE 6.3.10, which Python's module reads; the checks are ours."""

from __future__ import annotations

import contextlib
import io
import re
import stat
import zipfile
from collections.abc import Iterator
from typing import IO

from reprolake_builder.archives.members import LONGEST_TARGET, PIECE, Member
from reprolake_builder.git_tree import TreeError, shown

TAIL = (1 << 16) + 22
"""Bytes at the end of a zip archive that hold its comment, however long."""
_END = b"PK\x05\x06"
_LARGEST_DIRECTORY = 64 << 20  # bytes: it is held in memory
_ENCRYPTED = 0x1
_UTF8 = 0x800
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}
_BY_WINDOWS = {0, 10, 11}  # APPNOTE 4.4.2.2, "version made by"
_COMMIT = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class _Sparing(io.BufferedReader):
    """A file of which no large part is ever read at once: an archive's directory says by itself how long it is."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, or all that are left. Raises TreeError where that is more than a directory may have."""
        few = size is not None and 0 <= size <= _LARGEST_DIRECTORY
        data = super().read(size if few else _LARGEST_DIRECTORY + 1)
        if len(data) > _LARGEST_DIRECTORY:
            raise TreeError(f"its directory of entries is larger than {_LARGEST_DIRECTORY >> 20} MiB")
        return data


def zip_members(stream: IO[bytes]) -> Iterator[Member]:
    """Yield what lies in a zip archive, an open file. Raises TreeError for what cannot be taken, and zipfile's own errors."""
    with opened(stream) as archive:
        for item in archive.infolist():
            yield _member(archive, item)


@contextlib.contextmanager
def opened(stream: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Yield a zip archive, an open file, whose directory is no larger than memory allows."""
    with _Sparing(stream) as sparing, zipfile.ZipFile(sparing) as archive:  # type: ignore[arg-type]
        yield archive


def zip_comment_commit(tail: bytes) -> str:
    """Return the commit in the comment at the end of a zip archive, "" where none is; `tail` are its last `TAIL` bytes.

    GitHub and `git archive` write it. Source: git-archive(1), "OUTPUT FORMAT".
    """
    at = tail.rfind(_END)
    comment = tail[at + 22 :] if at >= 0 else b""
    return comment.decode() if _COMMIT.fullmatch(comment) else ""


def is_readable(item: zipfile.ZipInfo) -> bool:
    """Whether an entry is neither encrypted nor compressed by a method that is not read."""
    return not item.flag_bits & _ENCRYPTED and item.compress_type in _METHODS


def _member(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> Member:
    path = _name(item)
    mode = item.external_attr >> 16
    kind = stat.S_IFMT(mode)
    if path.endswith(b"/") or kind == stat.S_IFDIR:
        return Member(path, "folder")
    if item.flag_bits & _ENCRYPTED:
        raise TreeError(f"{shown(path)} is encrypted")
    if item.compress_type not in _METHODS:
        raise TreeError(
            f"{shown(path)} is compressed by a method that is not read (number {item.compress_type}); "
            "read are stored, deflate and bzip2"
        )
    if kind == stat.S_IFLNK:
        if item.file_size > LONGEST_TARGET:
            raise TreeError(f"{shown(path)} is a symbolic link of {item.file_size} bytes")
        return Member(path, "link", target=b"".join(_pieces(archive, item)))
    if kind not in {0, stat.S_IFREG}:
        raise TreeError(f"{shown(path)} is neither a file, a folder nor a symbolic link")
    return Member(path, "file", item.file_size, bool(mode & 0o100), pieces=lambda: _pieces(archive, item))


def _name(item: zipfile.ZipInfo) -> bytes:
    """Return an entry's name: UTF-8 where it says so or is, else in the code page of old, as the specification has it."""
    name = item.orig_filename
    if not item.flag_bits & _UTF8:
        raw = name.encode("cp437")  # as it stood in the archive
        with contextlib.suppress(UnicodeDecodeError):
            name = raw.decode()
    if item.create_system in _BY_WINDOWS and "/" not in name:
        name = name.replace("\\", "/")  # Windows's own programs once parted folders so
    return name.encode()


def _pieces(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(item) as content:
        while piece := content.read(PIECE):
            yield piece
