"""The proxy and the relay as a process beside a sandbox: how to start it, hear of what passed, and end it.

`sandboxes.networked` shows how the two come together.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import reprolake_builder
from reprolake_builder.errors import SandboxError
from reprolake_builder.network.plan import ServerPlan
from reprolake_builder.network.policy import Policy
from reprolake_builder.network.traffic import Event, NetworkRecord, Ready, Traffic

PORT = 3128
"""Of the sandbox's loopback, where the proxy answers."""
CERTIFICATES = "/run/certificates.pem"
"""Sandbox path of the site's certificates."""
_PACKAGES = str(Path(reprolake_builder.__file__).parent.parent)
_MAIN = f"import sys; sys.path.append({_PACKAGES!r}); from reprolake_builder.network.main import main; main()"
_START_SECONDS = 30.0
_END_SECONDS = 5.0
_PIECE = 1 << 16
_LONGEST = 1 << 20  # bytes of an event
_EVENTS = msgspec.json.Decoder(Event)
_BUNDLES = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS",
)  # fmt: skip
_OWN = "localhost,127.0.0.1,::1"


@dataclass(frozen=True, slots=True)
class Serving:
    """What the proxy lets pass and by which way; see ServerPlan. `user` is a user number of its own where we are root."""

    policy: Policy
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    no_proxy: tuple[str, ...] = ()
    digests: bool = False
    user: int = -1


@dataclass(frozen=True, slots=True)
class Relayed:
    """What the relay joins: unix sockets that listen outside, ports inside, and sockets of the sandbox to connect with."""

    listeners: Sequence[socket.socket]
    ports: tuple[int, ...]
    dials: Sequence[socket.socket]


def surroundings(bundle: str) -> dict[str, str]:
    """Return the variables by which programs find the proxy, and certificates if there are any (sandbox path)."""
    here = f"http://127.0.0.1:{PORT}"
    found = {"http_proxy": here, "https_proxy": here, "no_proxy": _OWN}
    found |= {name.upper(): value for name, value in found.items()}
    return found | (dict.fromkeys(_BUNDLES, bundle) if bundle else {})


class Server:
    """A process that serves; with this one it ends, and so it does when its control socket is closed."""

    def __init__(self, child: subprocess.Popen[bytes], control: socket.socket, policy: Policy) -> None:
        self._child = child
        self._control = control
        self._policy = policy
        self._begun = b""
        self._traffic = Traffic()
        self.has_ended = False

    @classmethod
    def start(
        cls, serving: Serving, *, listener: socket.socket | None = None, relayed: Relayed | None = None
    ) -> Server:
        """Start it with the proxy's listening socket, or none, and what the relay joins, or none; both are closed here.

        Raises SandboxError when it does not come up.
        """
        ours, theirs = socket.socketpair()
        child = subprocess.Popen(
            [sys.executable, "-I", "-c", _MAIN],
            env={},
            cwd="/",
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        sockets = [
            *([listener] if listener else []),
            *((*relayed.listeners, *relayed.dials) if relayed else ()),
        ]
        plan = ServerPlan(
            policy=serving.policy,
            user=serving.user,
            parent=os.getpid(),
            is_proxy=listener is not None,
            digests=serving.digests,
            proxies=dict(serving.proxies),
            no_proxy=serving.no_proxy,
            ports=relayed.ports if relayed else (),
        )
        server = cls(child, ours, serving.policy)
        try:
            line = msgspec.json.encode(plan) + b"\n"
            sent = socket.send_fds(ours, [line], [one.fileno() for one in sockets])
            ours.sendall(line[sent:])
            for one in sockets:
                one.close()
        except OSError as error:
            server.stop()
            raise SandboxError(f"the network's proxy cannot be started: {error.strerror}") from error
        return server

    def fileno(self) -> int:
        """Descriptor that becomes readable when there is something to read."""
        return self._control.fileno()

    def read(self) -> tuple[Event, ...]:
        """Return what was told since the last call, without waiting for more; () also when it has ended (`has_ended`)."""
        events: list[Event] = []
        while not self.has_ended and select.select([self._control], [], [], 0)[0]:
            piece = self._piece()
            self.has_ended = not piece or len(self._begun) > _LONGEST
            *lines, self._begun = (self._begun + piece).split(b"\n")
            try:
                events += [_EVENTS.decode(line) for line in lines]
            except msgspec.DecodeError:
                self.has_ended = True  # it is not itself any more: nothing of what it says counts
        for event in events:
            self._traffic.note(event)
        return tuple(event for event in events if not isinstance(event, Ready))

    def wait_until_ready(self) -> None:
        """Wait until it answers. Raises SandboxError when it does not."""
        deadline = time.monotonic() + _START_SECONDS
        while not self.has_ended and b"\n" not in self._begun:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._control], [], [], left)[0]:
                break
            piece = self._piece()
            self._begun += piece
            self.has_ended = not piece
        if b"\n" not in self._begun:
            raise SandboxError("the network's proxy does not come up")

    def stop(self, told: Callable[[Event], object] = lambda _: None) -> NetworkRecord:
        """End it and return what passed; what is told at the end goes to `told`, too. Harmless when it has ended."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + _END_SECONDS
        while not self.has_ended and (left := deadline - time.monotonic()) > 0:
            if select.select([self._control], [], [], left)[0]:
                for event in self.read():
                    told(event)
        self._child.kill()
        self._child.wait()
        self._control.close()
        self.has_ended = True
        return self._traffic.record(str(self._policy), self._policy.inward)

    def _piece(self) -> bytes:
        try:
            return self._control.recv(_PIECE)
        except OSError:
            return b""
