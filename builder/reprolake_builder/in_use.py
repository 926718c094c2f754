"""What processes use of a store, marked so that nothing else removes it: a mark ends with its process, however that ends.

All marks are locks on one file: a shared one on the byte that a name stands for says "in use", an exclusive one "alone".
Two names that share a byte by chance only make the pruner more careful. Source: fcntl(2), open file description locks.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

_FLOCK = struct.Struct("hhqqi4x")  # struct flock: type, whence, start, length, pid
_BYTES = 1 << 60


class Marks:
    """The marks of one process in the file `path` (host path), made when it is missing, its folder can be written and `make` is set.

    Where locks cannot be had (some network file systems) there are no marks, and nobody is ever alone.
    """

    def __init__(self, path: Path, *, make: bool = True) -> None:
        self._path = path
        # Who may only read can mark, but not remove.
        self._ways = (os.O_RDWR | os.O_CREAT, os.O_RDONLY) if make else (os.O_RDONLY,)
        self._descriptor: int | None = None
        self._marked: set[str] = set()
        self._opening = threading.Lock()

    def mark(self, name: str) -> None:
        """Mark what is called `name` as in use until `close`; waits for who is removing it at this moment."""
        if name in self._marked or (descriptor := self._opened()) is None:
            return
        with contextlib.suppress(OSError):
            _lock(descriptor, name, fcntl.F_RDLCK, fcntl.F_OFD_SETLKW)
            self._marked.add(name)

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Yield whether no process but this one uses what is called `name`; none begins to while the block lasts."""
        descriptor = self._opened()
        try:
            if descriptor is None:
                raise OSError
            _lock(descriptor, name, fcntl.F_WRLCK, fcntl.F_OFD_SETLK)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            self._marked.discard(name)
            _lock(descriptor, name, fcntl.F_UNLCK, fcntl.F_OFD_SETLK)

    def close(self) -> None:
        """End all marks of this process."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None
        self._marked.clear()

    def _opened(self) -> int | None:
        with self._opening:
            if self._descriptor is None:
                for flags in self._ways:
                    with contextlib.suppress(OSError):
                        self._descriptor = os.open(self._path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
                        break
            return self._descriptor


def _lock(descriptor: int, name: str, kind: int, command: int) -> None:
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % _BYTES
    fcntl.fcntl(descriptor, command, _FLOCK.pack(kind, os.SEEK_SET, place, 1, 0))
