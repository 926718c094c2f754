"""Bodies of HTTP messages and tunnels, passed on piece by piece; nothing is held but the piece under way.

Source: RFC 9112, 6 and 7.1 (chunks).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable

from reprolake_builder.network.heads import BadMessageError, Framing

PIECE = 1 << 16
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_LINE = 4096  # bytes
_TRAILERS = 100
Count = Callable[[int], None]


async def body(reader: asyncio.StreamReader, framing: Framing, idle: float) -> AsyncIterator[bytes]:
    """Yield a body; no piece may take longer than `idle` seconds.

    Raises BadMessageError for a body that is none or that ends early, and TimeoutError.
    """
    if framing.kind == "chunks":
        async for piece in _chunks(reader, idle):
            yield piece
    elif framing.kind == "length":
        async for piece in _exactly(reader, framing.length, idle):
            yield piece
    else:
        while piece := await asyncio.wait_for(reader.read(PIECE), idle):
            yield piece


async def _exactly(reader: asyncio.StreamReader, length: int, idle: float) -> AsyncIterator[bytes]:
    while length:
        piece = await asyncio.wait_for(reader.read(min(PIECE, length)), idle)
        if not piece:
            raise BadMessageError("the body ended early", 502)
        length -= len(piece)
        yield piece


async def _chunks(reader: asyncio.StreamReader, idle: float) -> AsyncIterator[bytes]:
    while True:
        found = _CHUNK.fullmatch(await _line(reader, idle))
        if found is None:
            raise BadMessageError("a chunk of the body has no size")
        if not (length := int(found[1], 16)):
            break
        async for piece in _exactly(reader, length, idle):
            yield piece
        if await _line(reader, idle) != b"\r\n":
            raise BadMessageError("a chunk of the body is longer than its size")
    for _ in range(_TRAILERS):
        if await _line(reader, idle) == b"\r\n":
            return
    raise BadMessageError("the body has too many trailers")


async def _line(reader: asyncio.StreamReader, idle: float) -> bytes:
    try:
        line = await asyncio.wait_for(reader.readuntil(b"\r\n"), idle)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise BadMessageError("the body ended early", 502) from error
    if len(line) > _LINE:
        raise BadMessageError("a line of the body is too long")
    return line


async def send(writer: asyncio.StreamWriter, data: bytes, idle: float) -> None:
    """Send some bytes; the other side has `idle` seconds to take them. Raises TimeoutError."""
    writer.write(data)
    await asyncio.wait_for(writer.drain(), idle)


class Pair:
    """Two connections between which bytes are passed both ways, until both ended or nothing passed for `idle` seconds."""

    def __init__(
        self,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        idle: float,
    ) -> None:
        self._near = near
        self._far = far
        self._idle = idle
        self._last = 0.0
        self.sent = 0
        self.received = 0

    async def join(self) -> None:
        """Pass on until the end, whichever it is."""
        self._last = asyncio.get_running_loop().time()
        ways = [
            asyncio.ensure_future(self._pass(self._near[0], self._far[1], self._count_sent)),
            asyncio.ensure_future(self._pass(self._far[0], self._near[1], self._count_received)),
        ]
        try:
            while pending := [way for way in ways if not way.done()]:
                now = asyncio.get_running_loop().time()
                left = self._last + self._idle - now
                if left <= 0:
                    return
                await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if any(way.done() and way.exception() is not None for way in ways):
                    return
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Count) -> None:
        while piece := await reader.read(PIECE):
            count(len(piece))
            writer.write(piece)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()

    def _count_sent(self, number: int) -> None:
        self.sent += number
        self._last = asyncio.get_running_loop().time()

    def _count_received(self, number: int) -> None:
        self.received += number
        self._last = asyncio.get_running_loop().time()
