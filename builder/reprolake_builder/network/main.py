"""The process that proxy and relay run in: no privileges, a few descriptors, and it ends with whoever started it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import encodings.idna  # noqa: F401  (looks names up, when this file system can no longer be read)
import os
import resource
import socket
import sys
from concurrent.futures.thread import ThreadPoolExecutor

import msgspec

from reprolake_builder.documents.base import decode
from reprolake_builder.network.dialing import LOOK_UPS, Dialer
from reprolake_builder.network.plan import ServerPlan
from reprolake_builder.network.proxy import Proxy, Times
from reprolake_builder.network.relay import Relay
from reprolake_builder.network.traffic import Event, Ready, Silence

MOST = 1000
"""Connections that are served at a time; those beyond it wait."""
_TOLD = 20_000  # events that are told one by one
_MEMORY = 1 << 30  # bytes of address space beyond what is taken at the start
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE, _SIGKILL = 1, 38, 4, 9
_MOST_DESCRIPTORS = 250  # in one message


def main() -> None:
    """Serve what the plan says that comes over standard input (a unix socket), until that is closed."""
    control = socket.socket(fileno=os.dup(0))
    data, descriptors = _plan(control)
    plan = decode(data, ServerPlan)
    _confine(plan)
    sockets = [socket.socket(fileno=number) for number in descriptors]
    asyncio.run(_serve(plan, control, sockets))


def _plan(control: socket.socket) -> tuple[bytes, list[int]]:
    data, descriptors, _, _ = socket.recv_fds(control, 1 << 16, _MOST_DESCRIPTORS)
    while not data.endswith(b"\n"):
        piece = control.recv(1 << 16)
        if not piece:
            sys.exit(1)
        data += piece
    return data, descriptors


def _confine(plan: ServerPlan) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if plan.user >= 0:
        os.setgroups([])
        os.setresgid(plan.user, plan.user, plan.user)
        os.setresuid(plan.user, plan.user, plan.user)
    for option, value in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_DUMPABLE, 0), (_PR_SET_PDEATHSIG, _SIGKILL)):
        libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0)
    if os.getppid() != plan.parent:
        sys.exit(1)
    files = 2 * MOST + 100 + 4 * len(plan.ports)
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_DATA, _MEMORY),
    ):
        hard = resource.getrlimit(kind)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (value, value))


async def _serve(plan: ServerPlan, control: socket.socket, sockets: list[socket.socket]) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(LOOK_UPS))
    reader, writer = await asyncio.open_connection(sock=control)
    teller = _Teller(writer)
    tasks = []
    if plan.is_proxy:
        dialer = Dialer(plan.policy, plan.proxies, plan.no_proxy)
        proxy = Proxy(dialer, teller.tell, digests=plan.digests, times=Times(), most=MOST)
        tasks.append(asyncio.create_task(proxy.serve(sockets.pop(0))))
    if plan.ports:
        count = len(plan.ports)
        relay = Relay(sockets[:count], plan.ports, sockets[count:])
        tasks.append(asyncio.create_task(relay.serve()))
    teller.write(Ready())
    with contextlib.suppress(OSError):
        await reader.read()  # until nobody wants this any more
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    teller.end()
    with contextlib.suppress(OSError):
        await writer.drain()
    writer.close()


class _Teller:
    """Tells events, a line each; so many of them, and then only how many more there were."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._left = _TOLD
        self._untold = 0

    def tell(self, event: Event) -> None:
        if self._left:
            self._left -= 1
            self.write(event)
        else:
            self._untold += 1

    def end(self) -> None:
        if self._untold:
            self.write(Silence(number=self._untold))

    def write(self, event: Event) -> None:
        self._writer.write(msgspec.json.encode(event) + b"\n")
