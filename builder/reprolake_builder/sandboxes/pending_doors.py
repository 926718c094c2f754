"""Sockets of a container's network, which its own first words hand out over a unix socket of ours."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from pathlib import Path

from reprolake_builder.sandboxes import door_program
from reprolake_builder.sandboxes.interface import Bind, SandboxSpec
from reprolake_builder.sandboxes.reports import unavailable
from reprolake_builder.sandboxes.unix_sockets import listening

_SECONDS = 60
_MOST = 250


class PendingDoors:
    """The doors that a specification asks for; `folder` (host path) is for the program that makes them, and for the socket."""

    def __init__(self, spec: SandboxSpec, folder: Path) -> None:
        assert spec.doors is not None
        self._number = len(spec.doors.listen) + spec.doors.dials
        self._got: tuple[socket.socket, ...] | None = None
        self._program, self._socket = folder / "doors", folder / "doors.socket"
        self._program.write_bytes(door_program.door_program(spec, spec.doors))
        self._program.chmod(0o755)
        self._listener = listening(self._socket)  # in a folder of ours alone

    @property
    def binds(self) -> tuple[Bind, ...]:
        """What the program needs to find inside."""
        return (
            Bind(self._program, door_program.PROGRAM),
            Bind(self._socket, door_program.SOCKET, writable=True),
        )

    def received(self, ended: int) -> tuple[socket.socket, ...]:
        """Return the sockets, once they are there; `ended` is a descriptor that can be read when they will never be.

        Raises SandboxError.
        """
        if self._got is None:
            with self._listener:
                self._got = self._wait(ended)
        return self._got

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _wait(self, ended: int) -> tuple[socket.socket, ...]:
        deadline = time.monotonic() + _SECONDS
        sockets: list[socket.socket] = []
        with contextlib.suppress(OSError):
            here = self._listener.fileno()
            if here in select.select([here, ended], [], [], _SECONDS)[0]:
                one, _ = self._listener.accept()
                with one:
                    one.settimeout(max(0.1, deadline - time.monotonic()))
                    numbers = socket.recv_fds(one, 1, _MOST)[1]
                sockets = [socket.socket(fileno=number) for number in numbers]
        if len(sockets) != self._number or any(one.family != socket.AF_INET for one in sockets):
            for one in sockets:
                one.close()
            raise unavailable(
                f"it did not hand out the sockets of its network{_why(self._program.parent.parent)}"
            )
        return tuple(sockets)


def _why(folder: Path) -> str:
    """Return what may have kept a program of that folder (host path) from being started, "" when nothing is known."""
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return f": nothing in {folder} can be executed; have TMPDIR name a folder where programs can be"
    return ""
