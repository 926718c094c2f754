"""Unix sockets outside, TCP on a sandbox's own loopback inside: for kernels that cannot do the former.

The TCP sockets were made inside and handed out, so that what this process connects to is in the sandbox and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence

from reprolake_builder.network.bodies import Pair

_PAUSE = 0.02  # seconds until the next attempt, while the kernel has yet to listen
_FOREVER = 10.0**9  # seconds that nothing may pass: kernels think


class Relay:
    """Joins each connection to one of `listeners` with the port of the sandbox that stands at the same place in `ports`."""

    def __init__(
        self, listeners: Sequence[socket.socket], ports: Sequence[int], dials: Sequence[socket.socket]
    ) -> None:
        self._listeners = tuple(zip(listeners, ports, strict=True))
        self._dials = list(dials)
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Serve until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for listener, port in self._listeners:
                group.create_task(self._listen(listener, port))

    async def _listen(self, listener: socket.socket, port: int) -> None:
        listener.setblocking(False)
        while True:
            near, _ = await asyncio.get_running_loop().sock_accept(listener)
            if not self._dials:
                near.close()
                continue
            task = asyncio.create_task(self._join(near, self._dials.pop(), port))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _join(self, near: socket.socket, dial: socket.socket, port: int) -> None:
        if not await self._connect(near, dial, port):
            near.close()
            self._dials.append(dial)
            return
        streams = [await asyncio.open_connection(sock=one) for one in (near, dial)]
        try:
            with contextlib.suppress(OSError):
                await Pair(streams[0], streams[1], _FOREVER).join()
        finally:
            for _, writer in streams:
                writer.transport.abort()

    async def _connect(self, near: socket.socket, dial: socket.socket, port: int) -> bool:
        """Whether the kernel could be reached while the other side still wanted it; Linux lets a refused socket try again."""
        dial.setblocking(False)
        while not _is_gone(near):
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().sock_connect(dial, ("127.0.0.1", port))
                dial.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return True
            await asyncio.sleep(_PAUSE)
        return False


def _is_gone(near: socket.socket) -> bool:
    """Whether the other side has closed its end."""
    try:
        return not near.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
