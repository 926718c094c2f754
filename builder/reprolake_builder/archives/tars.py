"""Tar archives, read by ourselves: Python's module keeps every header, and believes those that tell of endless ones.

Source: POSIX.1-2017, "pax Interchange Format" and "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Literal

from reprolake_builder.archives.members import LONGEST_TARGET, PIECE, Member, Stamp
from reprolake_builder.git_tree import TreeError, shown

BLOCK = 512
_LONGEST_HEADER = 1 << 20  # bytes of one extended header
_FILES = b"\x000" + b"7"  # old, new and "contiguous" ones
_HARD_LINK = "is a hard link, which a tree of files cannot hold; pack with `tar --hard-dereference`"
_REFUSED = {
    b"3": "is a character device",
    b"4": "is a block device",
    b"6": "is a named pipe",
    b"S": "is a sparse file in GNU's own form, which is not read; pack it without --sparse",
    b"M": "is the rest of a file of another volume",
}
_PAX_RECORD = re.compile(rb"(\d{1,7}) ([^=]+)=")
_MEANINGFUL = {b"path", b"linkpath", b"size"}
_STAMP = ((108, 116), (116, 124), (136, 148))  # where a header has user, group and time


class _Source:
    """The blocks of a tar stream, no more of them than `allowed` bytes."""

    def __init__(self, stream: IO[bytes], allowed: int) -> None:
        self._stream = stream
        self._allowed = allowed
        self._taken = 0

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes. Raises TreeError where the stream ends, or is too long."""
        self._taken += size
        if self._taken > self._allowed:
            raise TreeError(f"it unpacks to more than {self._allowed} bytes")
        data = self._stream.read(size)
        if len(data) != size:
            raise TreeError("the tar stream ends too early")
        return data

    def pieces(self, size: int) -> Iterator[bytes]:
        """Yield `size` bytes and pass the padding behind them."""
        left = size
        while left:
            piece = self.read(min(left, PIECE))
            left -= len(piece)
            yield piece
        self.read(-size % BLOCK)


class _Header:
    """One header block. Raises TreeError when its checksum is not right."""

    def __init__(self, block: bytes) -> None:
        told = _octal(block[148:156])
        head, tail = block[:148], block[156:]
        unsigned = sum(head) + 8 * 32 + sum(tail)
        signed = unsigned - 256 * sum(1 for byte in head + tail if byte > 127)  # some old programs
        if told not in {unsigned, signed}:
            raise TreeError("a tar header is damaged")
        self.mode = _octal(block[100:108])
        self.stamp = Stamp(self.mode, *(_octal_or_less(block[start:end]) for start, end in _STAMP))
        self.size = _octal(block[124:136])
        self.kind = block[156:157]
        self.target = block[157:257].partition(b"\0")[0]
        name = block[:100].partition(b"\0")[0]
        posix = block[257:263] == b"ustar\0"  # GNU keeps other things where the prefix is
        prefix = block[345:500].partition(b"\0")[0] if posix else b""
        self.path = prefix + b"/" + name if prefix else name


def tar_members(stream: IO[bytes], allowed: int, *, hard_links: bool = False) -> Iterator[Member]:
    """Yield what lies in a tar stream, of which no more than `allowed` bytes are read.

    Raises TreeError for what is no such stream, and for a member that is neither a file, a folder nor a symbolic link.
    """
    source = _Source(stream, allowed)
    extended: dict[bytes, bytes] = {}
    while (block := source.read(BLOCK)) != bytes(BLOCK):
        header = _Header(block)
        if header.kind in {b"x", b"g", b"L", b"K"}:
            found = _extended(header, _text(source, header.size))
            if header.kind == b"g":
                if _MEANINGFUL & found.keys():
                    raise TreeError("a global header gives all its members one name or size")
            else:
                extended |= found
            continue
        member, rest = _member(header, extended, source)
        if member is not None and member.kind == "hard link" and not hard_links:
            raise TreeError(f"{shown(member.path)} {_HARD_LINK}")
        extended = {}
        if member is not None:
            yield member
        for _ in rest:
            pass  # whoever wanted the content has read it


def pax_comment(stream: IO[bytes]) -> str:
    """Return the comment in the global header that a tar stream begins with, "" where there is none. Raises TreeError."""
    source = _Source(stream, _LONGEST_HEADER + 2 * BLOCK)
    header = _Header(source.read(BLOCK))
    if header.kind != b"g":
        return ""
    return _extended(header, _text(source, header.size)).get(b"comment", b"").decode("utf-8", "replace")


def _text(source: _Source, size: int) -> bytes:
    if size > _LONGEST_HEADER:
        raise TreeError(f"it has a header of {size} bytes")
    return b"".join(source.pieces(size))


def _member(
    header: _Header, extended: dict[bytes, bytes], source: _Source
) -> tuple[Member | None, Iterator[bytes]]:
    """Return the member, and its content to the end: both its reader and whoever goes on draw from that."""
    path = extended.get(b"path", header.path)
    if any(key.startswith(b"GNU.sparse.") for key in extended):
        raise TreeError(f"{shown(path)} {_REFUSED[b'S']}")
    size = header.size
    if b"size" in extended:
        if not re.fullmatch(rb"\d{1,18}", extended[b"size"]):
            raise TreeError(f"{shown(path)} has no size")
        size = int(extended[b"size"])
    if header.kind in {b"1", b"2"}:
        target = extended.get(b"linkpath", header.target)
        if len(target) > LONGEST_TARGET:
            raise TreeError(f"{shown(path)} is a link of {len(target)} bytes")
        kind: Literal["link", "hard link"] = "link" if header.kind == b"2" else "hard link"
        return Member(path, kind, target=target, stamp=header.stamp), iter(())
    if header.kind == b"5" or (header.kind == b"\0" and path.endswith(b"/")):
        return Member(path, "folder", stamp=header.stamp), source.pieces(size)
    if header.kind == b"V":
        return None, source.pieces(size)  # the label of a volume
    if header.kind not in {_FILES[:1], _FILES[1:2], _FILES[2:]}:
        what = _REFUSED.get(header.kind, f"is of the unknown kind {shown(header.kind)}")
        raise TreeError(f"{shown(path)} {what}")
    content = source.pieces(size)
    executable = bool(header.mode & 0o100)
    return Member(path, "file", size, executable, pieces=lambda: content, stamp=header.stamp), content


def _extended(header: _Header, text: bytes) -> dict[bytes, bytes]:
    """Return what an extended header says, by pax's names. Raises TreeError for one that cannot be read."""
    if header.kind in {b"L", b"K"}:
        return {b"path" if header.kind == b"L" else b"linkpath": text.rstrip(b"\0")}
    found = {}
    at = 0
    while at < len(text):
        record = _PAX_RECORD.match(text, at)
        end = at + int(record[1]) if record else 0
        if record is None or end <= record.end() or text[end - 1 : end] != b"\n":
            raise TreeError("an extended header is damaged")
        found[record[2]] = text[record.end() : end - 1]
        at = end
    return found


def _octal_or_less(digits: bytes) -> int:
    """Return a header's number, -1 for one below zero or none: most who read archives do not ask for it."""
    try:
        return _octal(digits)
    except TreeError:
        return -1


def _octal(digits: bytes) -> int:
    """Return a header's number: octal, or binary where its first bit says so."""
    if digits[:1] == b"\x80":
        return int.from_bytes(digits[1:])
    text = digits.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", text):
        raise TreeError("a tar header is damaged")
    return int(text or b"0", 8)
