"""The filtering proxy in a thread of the tests' own, and servers that answer with given bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from reprolake_builder.network.dialing import Dialer
from reprolake_builder.network.policy import parse
from reprolake_builder.network.proxy import Proxy, Times
from reprolake_builder.network.traffic import Passage, Refusal


@dataclass
class Canned:
    """A server that takes whatever is sent until `until` came, and then sends `answer`; what it got is in `got` when it has ended.

    `broken` is how many were broken off and not ended.
    """

    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    until: bytes = b"\r\n\r\n"
    stays: bool = False
    got: list[bytes] = field(default_factory=list)
    broken: int = 0
    port: int = 0


@contextlib.contextmanager
def canned(**settings) -> Iterator[Canned]:
    """Yield a running server on the loopback."""
    made = Canned(**settings)
    ended = threading.Event()
    talks: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made.port = listener.getsockname()[1]

        def talk(one: socket.socket) -> None:
            got = b""
            try:
                with one:
                    one.settimeout(60)
                    while made.until not in got and (piece := one.recv(1 << 16)):
                        got += piece
                    one.sendall(made.answer)
                    if made.stays:
                        ended.wait(100)
                    else:
                        one.shutdown(socket.SHUT_WR)
                    while piece := one.recv(1 << 16):
                        got += piece
            except OSError:
                made.broken += 1
            made.got.append(got)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    one, _ = listener.accept()
                    talks.append(threading.Thread(target=talk, args=(one,), daemon=True))
                    talks[-1].start()

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        try:
            yield made
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            serving.join(60)
            for one in talks:  # what they got is in `got` then
                one.join(60)


@dataclass
class Served:
    """A running proxy: its port and what it told."""

    port: int
    told: list

    @property
    def passed(self) -> list[Passage]:
        """What passed."""
        return [one for one in self.told if isinstance(one, Passage)]

    @property
    def refused(self) -> list[Refusal]:
        """What did not."""
        return [one for one in self.told if isinstance(one, Refusal)]

    def send(self, data: bytes, *, half: bool = False) -> socket.socket:
        """Open a connection and send something; with `half` nothing will follow."""
        one = socket.create_connection(("127.0.0.1", self.port), 60)
        one.sendall(data)
        if half:
            one.shutdown(socket.SHUT_WR)
        return one

    def ask(self, *lines: str, body: bytes = b"", half: bool = False) -> bytes:
        """Send a head and a body and return all that comes back."""
        with self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body, half=half) as one:
            return everything(one)


def everything(one: socket.socket) -> bytes:
    """What comes until the end; `BROKEN` behind it when the end was none."""
    got = b""
    try:
        while piece := one.recv(1 << 16):
            got += piece
    except ConnectionResetError:
        return got + b"BROKEN"
    return got


@contextlib.contextmanager
def proxy(
    said: str = "all",
    inward: tuple[str, ...] = (),
    *,
    names: dict[str, list[tuple[str, ...]]] | None = None,
    upstreams: dict[str, str] | None = None,
    times: Times | None = None,
    most: int = 50,
) -> Iterator[Served]:
    """Yield a running proxy. `names` are what look-ups of a host answer, one after the other, and then nothing."""

    async def look_up(host: str) -> tuple[str, ...]:
        if names is None or host.replace(".", "").isdigit() or ":" in host:
            return (host,)
        answers = names.get(host, [])
        if not answers:
            raise OSError("no such host")
        return answers.pop(0)

    told: list = []
    listener = socket.create_server(("127.0.0.1", 0))
    loop = asyncio.new_event_loop()
    made = Proxy(
        Dialer(parse(said, inward), upstreams or {}, (), look_up),
        told.append,
        digests=True,
        times=times or Times(),
        most=most,
    )
    task = loop.create_task(made.serve(listener))

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.run_until_complete(asyncio.sleep(0.01))  # transports close in the next turn
        loop.run_until_complete(loop.shutdown_asyncgens())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield Served(listener.getsockname()[1], told)
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(60)
        loop.close()
        listener.close()
