"""The rows of a commit's tree and the content of its blobs, read from git without holding either."""

from __future__ import annotations

import io
import os
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, cast

from reprolake_builder.git_tree import PIECE, TreeError, shown
from reprolake_builder.providers.git.command import Git

_PATIENCE = (
    300  # seconds that git may take to list a tree, all in all: with empty folders it can be busy for ever
)
_LISTING = 1 << 16  # bytes
_LONGEST_LINE = 1 << 16  # bytes: no file system takes such a path


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `git ls-tree --long`: `size` is a blob's in bytes, 0 for a submodule."""

    mode: int
    name: bytes
    object_id: bytes
    size: int


class Patient(io.RawIOBase):
    """What git prints, as long as it does not take too long over it: what the reader takes is not counted.

    Reading raises TreeError.
    """

    def __init__(self, printed: IO[bytes]) -> None:
        super().__init__()
        self._number = printed.fileno()
        self._waited = 0.0

    def readable(self) -> bool:
        """Return True: that is what it is for."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill `buffer`, or a part of it, and return how many bytes that were."""
        view = memoryview(cast("bytearray", buffer))
        begun = time.monotonic()
        if not select.select([self._number], [], [], max(0.0, _PATIENCE - self._waited))[0]:
            raise TreeError("it takes git too long to list it")
        self._waited += time.monotonic() - begun
        piece = os.read(self._number, len(view))
        view[: len(piece)] = piece
        return len(piece)


def rows(git: Git, tree: str) -> Iterator[Row]:
    """Yield all that a tree holds, at any depth. Raises TreeError."""
    with git.converse("ls-tree", "-r", "-z", "--long", "--full-tree", tree) as (_, listing):
        rest = b""
        patient = Patient(listing)
        while piece := patient.read(_LISTING):
            *lines, rest = (rest + piece).split(b"\0")
            if len(rest) > _LONGEST_LINE:
                raise TreeError(f"the name {shown(rest[:80])}... is too long for a file system")
            for line in lines:
                head, _, name = line.partition(b"\t")
                mode, _, object_id, size = head.split()
                yield Row(int(mode, 8), name, object_id, 0 if size == b"-" else int(size))
        if rest:
            raise TreeError("git could not list all of the tree")


class Blobs:
    """A conversation with `git cat-file --batch`: one blob after the other."""

    def __init__(self, ask: IO[bytes], answer: IO[bytes]) -> None:
        self._ask = ask
        self._answer = answer

    def pieces(self, row: Row) -> Iterator[bytes]:
        """Yield the content of a row's blob, all of which must be taken. Raises TreeError when it is missing or damaged."""
        self._ask.write(row.object_id + b"\n")
        self._ask.flush()
        if self._answer.readline() != b"%s blob %d\n" % (row.object_id, row.size):
            raise TreeError(f"the content of {shown(row.name)} is missing or damaged")
        left = row.size
        while left:
            piece = self._read(min(left, PIECE))
            left -= len(piece)
            yield piece
        self._read(1)

    def content(self, row: Row) -> bytes:
        """Return the content of a small blob. Raises TreeError."""
        return b"".join(self.pieces(row))

    def _read(self, size: int) -> bytes:
        piece = self._answer.read(size)
        if len(piece) != size:
            raise TreeError("git ended while it gave a file's content")
        return piece
