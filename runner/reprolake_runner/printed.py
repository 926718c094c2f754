"""What a process prints: kept in a file up to a limit, the end of it in memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from reprolake_builder.process import printable
from reprolake_runner.where import before_dump

KEPT = 16 << 20
"""Bytes that are kept in the file."""
_PIECE = 1 << 16
_TURNS = 64  # pieces read before others have their turn
_TAIL = 1 << 17
_LAST = 2000
_SHOWN = 300


class Printed:
    """Reads `descriptor`, the end of a pipe or a terminal, and appends to `log` (host path) as long as that is not too long.

    `taker` is given every piece, also of what is not kept. `dropped` counts the bytes that are not.
    """

    def __init__(self, descriptor: int, log: Path, taker: Callable[[bytes], None] | None = None) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._log = log
        self._left = KEPT
        self._taker = taker
        self.tail = b""
        self.dropped = 0

    def read(self) -> bool:
        """Take what is there; what is beyond the limit is dropped. Return False when nothing will follow."""
        for _ in range(_TURNS):
            try:
                piece = os.read(self.descriptor, _PIECE)
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno != errno.EIO:  # which is how a terminal says that nobody is at its other end
                    raise
                return False
            if not piece:
                return False
            if self._taker is not None:
                self._taker(piece)
            self.tail = (self.tail + piece)[-_TAIL:]
            kept = piece[: self._left]
            self._left -= len(kept)
            self.dropped += len(piece) - len(kept)
            if kept:
                with self._log.open("ab") as stream:
                    stream.write(kept)
        return True

    @property
    def last_words(self) -> str:
        """The last line, shortened and harmless to print; not of a traceback that Python printed as it was ended."""
        text = before_dump(self.tail.decode(errors="replace"))[-_LAST:]
        lines = text.strip().splitlines()
        return printable(lines[-1])[:_SHOWN] if lines else ""
