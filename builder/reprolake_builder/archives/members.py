"""What lies in an archive, one by one, and how much of it is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from reprolake_builder.git_tree import MOST_BYTES, MOST_ENTRIES

PIECE = 1 << 20  # bytes read at a time
LONGEST_TARGET = 4095  # bytes: Linux follows no longer one


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may hold: entries, and bytes of all of them.

    Beyond `free` bytes it may not be more than `ratio` times as large as the archive: scientists' tables of zeros are
    hardly ever, bombs are.
    """

    entries: int = MOST_ENTRIES
    size: int = MOST_BYTES
    ratio: int = 250
    free: int = 2 << 30

    def allowed(self, archive: int) -> int:
        """Return the bytes to which an archive of that size (bytes) may unpack."""
        return min(self.size, max(self.free, self.ratio * archive))


LIMITS = Limits()


def _nothing() -> Iterator[bytes]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Stamp:
    """Mode, owner and time (seconds after 1970) of an entry, as the header of a tar has them; -1 for what is no number."""

    mode: int
    uid: int
    gid: int
    time: int


@dataclass(frozen=True, slots=True)
class Member:
    """An entry as the archive has it: `path` is not checked yet, `size` in bytes, `target` that of a link,
    or the path of the file that a hard link is another name of.

    `pieces` gives a file's content, before the next member is asked for. `stamp` is what a tar says besides.
    """

    path: bytes
    kind: Literal["file", "folder", "link", "hard link"]
    size: int = 0
    executable: bool = False
    target: bytes = b""
    pieces: Callable[[], Iterator[bytes]] = _nothing
    stamp: Stamp | None = None
