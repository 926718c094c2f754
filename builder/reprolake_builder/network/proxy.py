"""The filtering proxy: CONNECT, and requests with an absolute address; one request a connection.

Whoever asks is hostile: heads, their time and the number of connections are limited, and the next thing after a request is the
end. What is passed on is written anew from what was understood, so that the server understands the same.
Source: RFC 9110, 7.6 and 9.3.6 (CONNECT); RFC 9112, 3.2.2 (absolute form).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from reprolake_builder.network import heads
from reprolake_builder.network.bodies import PIECE, Pair, body, send
from reprolake_builder.network.dialing import Dialer, RefusedError, Streams, UnreachableError, Upstream
from reprolake_builder.network.heads import Answer, BadMessageError, Fields, Request
from reprolake_builder.network.traffic import Event, Passage, Refusal

_HINT = "\n\nReprolake's sandbox reaches what --network allows: none, all, or allow=HOST[:PORT],...\n"
_AT_ONCE = struct.pack("ii", 1, 0)  # a reset, and no end
_LINGER, _LINGER_BYTES = 2.0, 1 << 20  # seconds and bytes
_MOST_HINTS = 20  # answers before the one that counts


@dataclass(frozen=True, slots=True)
class Times:
    """How long things may take, in seconds: the head of a request, the head of an answer, and no byte at all."""

    head: float = 20
    answer: float = 600
    idle: float = 900


@dataclass(slots=True)
class _Exchange:
    """What is known of a connection so far."""

    begun: float
    request: Request | None = None
    sent: int = 0
    received: int = 0
    status: int = 0
    sha256: str = ""
    passed: bool = False
    answered: bool = field(default=False)


class Proxy:
    """Serves a listening socket; `tell` is given an event for each request once it ended."""

    def __init__(
        self, dialer: Dialer, tell: Callable[[Event], None], *, digests: bool, times: Times, most: int
    ) -> None:
        self._dialer = dialer
        self._tell = tell
        self._digests = digests
        self._times = times
        self._places = asyncio.Semaphore(most)
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        """Serve until it is cancelled; what is under way then is ended and told of."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        try:
            while True:
                await self._places.acquire()
                try:
                    near, _ = await loop.sock_accept(listener)
                except OSError:  # of the connection, which is gone already, or of the sandbox
                    self._places.release()
                    await asyncio.sleep(0.05)
                    continue
                task = asyncio.create_task(self._connection(near))
                self._tasks.add(task)
                task.add_done_callback(self._done)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._places.release()
        if not task.cancelled():
            task.exception()  # an end of a connection that nobody waits for

    async def _connection(self, near: socket.socket) -> None:
        try:
            streams = await asyncio.open_connection(sock=near, limit=heads.HEAD_BYTES)
        except BaseException:
            near.close()
            raise
        exchange = _Exchange(time.monotonic())
        problem = "it was under way when everything ended"
        try:
            problem = await self._outcome(streams, exchange)
        finally:
            self._report(exchange, problem)
            if problem and exchange.answered:
                _break_off(streams[1])
            else:
                await _close(streams)

    async def _outcome(self, near: Streams, exchange: _Exchange) -> str:
        """Bring an exchange to its end, and return what went wrong."""
        try:
            await self._exchange(near, exchange)
        except RefusedError as error:
            self._refused(exchange, str(error))
            await _complain(near[1], 403, str(error), exchange)
        except BadMessageError as error:
            self._refused(exchange, str(error))
            await _complain(near[1], error.status, str(error), exchange)
            return str(error)
        except UnreachableError as error:
            exchange.passed = True
            await _complain(near[1], 502, str(error), exchange)
            return str(error)
        except (OSError, asyncio.IncompleteReadError) as error:
            return str(error) or "the connection broke"
        except Exception as error:  # noqa: BLE001  (a mistake of ours: it ends one connection, and stands in the record)
            await _complain(near[1], 500, f"{type(error).__name__} in the proxy", exchange)
            return f"{type(error).__name__} in the proxy: {error}"
        return ""

    async def _exchange(self, near: Streams, exchange: _Exchange) -> None:
        reader, _ = near
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self._times.head)
        except asyncio.LimitOverrunError as error:
            raise BadMessageError("the head is too long", 431) from error
        except asyncio.IncompleteReadError as error:
            if not error.partial:
                return  # somebody looked whether anything listens
            raise BadMessageError("the head ended early") from error
        except TimeoutError as error:
            raise BadMessageError("the head took too long", 408) from error
        request = exchange.request = heads.request(head)
        if request.method == "CONNECT":
            await self._tunnel(request, near, exchange)
        else:
            await self._forward(request, near, exchange)

    async def _tunnel(self, request: Request, near: Streams, exchange: _Exchange) -> None:
        far = await self._dialer.tunnel(request.host, request.port)
        exchange.passed = True
        pair = Pair(near, far, self._times.idle)
        try:
            exchange.answered = True
            await send(near[1], b"HTTP/1.1 200 Connection established\r\n\r\n", self._times.idle)
            await pair.join()
        finally:
            exchange.sent, exchange.received = pair.sent, pair.received
            far[1].transport.abort()

    async def _forward(self, request: Request, near: Streams, exchange: _Exchange) -> None:
        (reader, writer), upstream = await self._dialer.open("http", request.host, request.port)
        exchange.passed = True
        sending = asyncio.ensure_future(self._send(request, near, (reader, writer), upstream, exchange))
        try:
            answer = await self._answer(request, reader)
            exchange.status = answer.status
            await self._give_back(request, answer, reader, near[1], exchange)
        except BadMessageError:
            if sending.done() and not sending.cancelled() and sending.exception() is not None:
                sending.result()  # what was wrong with the request explains the answer
            raise
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.transport.abort()

    async def _send(
        self, request: Request, near: Streams, far: Streams, upstream: Upstream | None, exchange: _Exchange
    ) -> None:
        """Send the request as it was understood."""
        kind = "length" if heads.value_of(request.fields, "content-length") else ""
        framed = _framed(request.body, kind)
        fields = [("Host", request.authority), *heads.passed_on(request.fields, ("host",)), *framed]
        fields.append(("Connection", "close"))
        if upstream is not None and upstream.login:
            fields.append(("Proxy-Authorization", upstream.login))
        target = f"http://{request.authority}{request.path}" if upstream is not None else request.path
        try:
            await send(far[1], heads.head(f"{request.method} {target} HTTP/1.1", fields), self._times.idle)
            if heads.value_of(request.fields, "expect").lower() == "100-continue":
                await send(near[1], b"HTTP/1.1 100 Continue\r\n\r\n", self._times.idle)
            async for piece in body(near[0], request.body, self._times.idle):
                exchange.sent += len(piece)
                await send(far[1], _framed_piece(request.body.kind, piece), self._times.idle)
            if request.body.kind == "chunks":
                await send(far[1], b"0\r\n\r\n", self._times.idle)
        except BaseException:
            far[1].transport.abort()  # half of a request must not look whole
            raise

    async def _answer(self, request: Request, reader: asyncio.StreamReader) -> Answer:
        for _ in range(_MOST_HINTS):
            try:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self._times.answer)
            except (asyncio.LimitOverrunError, asyncio.IncompleteReadError, OSError) as error:
                raise BadMessageError("the server gives no answer", 502) from error
            answer = heads.answer(head, request.method)
            if answer.status == 101:
                raise BadMessageError("the server changes to another protocol", 502)
            if answer.status >= 200:
                return answer
        raise BadMessageError("the server never comes to its answer", 502)

    async def _give_back(
        self,
        request: Request,
        answer: Answer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        exchange: _Exchange,
    ) -> None:
        exchange.answered = True
        kind = "connection" if request.is_old and answer.body.kind == "chunks" else answer.body.kind
        bare = request.method == "HEAD" or answer.status in {204, 304}
        length: Fields = tuple(
            (name, value) for name, value in answer.fields if name.lower() == "content-length"
        )[:1]
        fields = [*heads.passed_on(answer.fields), *(length if bare else _framed(answer.body, kind))]
        first = f"HTTP/1.1 {answer.status} {answer.reason}"
        await send(writer, heads.head(first, [*fields, ("Connection", "close")]), self._times.idle)
        digest = hashlib.sha256()
        async for piece in body(reader, answer.body, self._times.idle):
            exchange.received += len(piece)
            if self._digests:
                digest.update(piece)
            await send(writer, _framed_piece(kind, piece), self._times.idle)
        if kind == "chunks":
            await send(writer, b"0\r\n\r\n", self._times.idle)
        exchange.sha256 = digest.hexdigest() if self._digests else ""

    def _refused(self, exchange: _Exchange, reason: str) -> None:
        request = exchange.request
        if not exchange.passed:
            host, port, method = (request.host, request.port, request.method) if request else ("", 0, "")
            self._tell(Refusal(host=host, port=port, method=method, reason=reason))

    def _report(self, exchange: _Exchange, problem: str) -> None:
        request = exchange.request
        if request is None or not exchange.passed:
            return
        is_plain = request.method != "CONNECT"
        self._tell(
            Passage(
                host=request.host,
                port=request.port,
                method=request.method,
                sent=exchange.sent,
                received=exchange.received,
                seconds=round(time.monotonic() - exchange.begun, 3),
                status=exchange.status,
                url=f"http://{request.authority}{request.path}" if is_plain and self._digests else "",
                sha256="" if problem else exchange.sha256,
                problem=problem,
            )
        )


def _framed(framing: heads.Framing, kind: str = "") -> Fields:
    match kind or framing.kind:
        case "chunks":
            return (("Transfer-Encoding", "chunked"),)
        case "length":
            return (("Content-Length", str(framing.length)),) if framing.length or kind else ()
        case _:
            return ()


def _framed_piece(kind: str, piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece) if kind == "chunks" else piece


async def _complain(writer: asyncio.StreamWriter, status: int, reason: str, exchange: _Exchange) -> None:
    """Answer with a refusal, unless another answer is under way; the reason stands where people see it: in the first line."""
    if exchange.answered:
        return
    text = f"Reprolake: {reason}{_HINT if status == 403 else chr(10)}".encode()
    phrase = " ".join(reason.encode("ascii", "replace").decode().split())[:200]
    fields = [("Content-Type", "text/plain"), ("Content-Length", str(len(text))), ("Connection", "close")]
    with contextlib.suppress(OSError):
        await send(writer, heads.head(f"HTTP/1.1 {status} {phrase}", fields) + text, 5)


def _break_off(writer: asyncio.StreamWriter) -> None:
    """End a connection so that nobody takes a part of an answer for the whole."""
    one = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()


async def _close(near: Streams) -> None:
    """Close a connection after what was said, which a client that is still sending could miss otherwise."""
    reader, writer = near
    try:
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_LINGER):
                await writer.drain()
                writer.write_eof()
                left = _LINGER_BYTES
                while left > 0 and (piece := await reader.read(PIECE)):
                    left -= len(piece)
    finally:
        writer.transport.abort()
