"""gzip whose bytes are the same on every machine.

libdeflate's output depends on its version and level only, whatever the CPU (isa-l and zlib-ng differ between CPUs). It
wants whole buffers, so the stream is cut into pieces of fixed size, each a gzip member of its own; RFC 1952, section 2.2,
makes their sequence one gzip file. Pieces are compressed side by side.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import deflate

LEVEL = 1
PIECE = 1 << 20


class GzipWriter:
    """Compresses what is written to it and passes the result on, in order."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._buffer = bytearray()
        self._workers = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._workers)
        self._waiting: deque[Future[bytes]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self._buffer:
                    self._submit(bytes(self._buffer))
                while self._waiting:
                    self._write(self._waiting.popleft().result())
        finally:
            self._pool.shutdown(cancel_futures=True)

    def write(self, data: bytes) -> None:
        """Take more of the stream."""
        self._buffer += data
        while len(self._buffer) >= PIECE:
            self._submit(bytes(self._buffer[:PIECE]))
            del self._buffer[:PIECE]

    def _submit(self, piece: bytes) -> None:
        while len(self._waiting) > 2 * self._workers:
            self._write(self._waiting.popleft().result())
        self._waiting.append(self._pool.submit(_compress, piece))


def _compress(piece: bytes) -> bytes:
    return bytes(deflate.gzip_compress(piece, LEVEL))
