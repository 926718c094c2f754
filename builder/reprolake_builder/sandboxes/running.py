"""A program in its sandbox: whether it lives, how it ended, and how to end it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder import process
from reprolake_builder.errors import SandboxError
from reprolake_builder.sandboxes.cgroups import Counts, Group
from reprolake_builder.sandboxes.gauge import Gauge
from reprolake_builder.sandboxes.interface import Usage
from reprolake_builder.sandboxes.launch import UNMAPPED
from reprolake_builder.sandboxes.measure import Processes
from reprolake_builder.sandboxes.reports import Begun, Report, unavailable
from reprolake_builder.sandboxes.scope import Scope

_MOST_DOORS = 250


class OwnerUnmappedError(Exception):
    """The launcher cannot give the copy-on-write's files to the program's user."""


@dataclass(frozen=True, slots=True)
class Belongings:
    """What goes with a sandbox: its copy-on-write's `scratch` (host path), its `home` in memory (sandbox path), its group.

    `memory_bytes` is its limit; `doors` is where the sockets of its loopback arrive.
    """

    scratch: Path | None
    home: str
    group: Group | Scope | None
    memory_bytes: int | None
    doors: socket.socket | None = None


class Sandboxed:
    """A program that the launcher started.

    `child` is the launcher, which becomes bubblewrap or waits for the runtime; `report` is what both say about the start.
    """

    def __init__(self, child: subprocess.Popen[bytes], report: Report, belongings: Belongings) -> None:
        self._child = child
        self._report: Report | None = report
        self._belongings = belongings
        self._gauge = Gauge(self._counts, belongings.memory_bytes)
        self._killed = False
        self._ending = threading.Lock()
        self._failure: SandboxError | None = None
        self._first: int | None = None  # the first process inside: with it everything inside ends
        self._own = os.pidfd_open(child.pid)
        begun = report.begun(child.kill)
        self._doors = _received(belongings.doors) if belongings.doors is not None else ()
        if isinstance(begun, Begun):
            with contextlib.suppress(OSError):  # it may be gone already
                if belongings.group is not None:
                    belongings.group.joined(child.pid)
                self._first = os.pidfd_open(begun.first)
                self._gauge.processes = Processes(begun.first, self._first, belongings.home, begun.program)
            return
        child.kill()
        for door in self._doors:
            door.close()
        status = child.wait()
        self._close(status)
        if begun == UNMAPPED:
            raise OwnerUnmappedError
        raise unavailable(
            process.printable(begun[1:]) or f"the launcher ended with {status} before the sandbox was there"
        )

    @property
    def doors(self) -> tuple[socket.socket, ...]:
        """The sockets that were asked for."""
        return self._doors

    def poll(self) -> int | None:
        """Exit status, or None while it runs; 128 + N when signal N ended the program.

        Raises SandboxError when the program was never started.
        """
        return None if self._child.poll() is None else self._ended()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status, as `poll` does. Raises subprocess.TimeoutExpired (seconds)."""
        self._child.wait(timeout)
        return self._ended()

    def kill(self) -> None:
        """End the program and everything it started; when this returns nothing of it runs any more."""
        self._killed = self._killed or self._child.poll() is None
        self._child.kill()
        with contextlib.suppress(SandboxError):  # that it never ran is said to those who ask for its status
            self.wait()

    def fileno(self) -> int:
        """Descriptor that becomes readable when the sandbox has ended."""
        return self._own

    def usage(self, *, anew: bool = False) -> Usage | None:
        """What it takes; `anew` begins to look for the next peak. After its end the last that was seen, None when nothing was."""
        if self._child.poll() is None:
            self._gauge.look(anew=anew)
        return self._gauge.usage

    def is_stopped(self) -> bool:
        """Whether all processes inside were stopped by a signal."""
        processes = self._gauge.processes
        return processes is not None and processes.taken(exactly=False).is_stopped

    def signal(self, number: int) -> bool:
        """Send a signal to the program itself, also when it is stopped; False when it is gone or cannot be told apart."""
        processes = self._gauge.processes
        return processes is not None and processes.signal(number)

    def _counts(self) -> Counts | None:
        if self._belongings.group is not None:
            with contextlib.suppress(OSError):
                return self._belongings.group.counts()
        return None

    def _last_counts(self) -> None:
        """Note what the group has seen until the end, and give it up."""
        counts = self._counts()
        if self._belongings.group is not None:
            self._belongings.group.remove()
        self._gauge.look_back(counts)

    def _ended(self) -> int:
        with self._ending:  # who waits and who kills may be two threads
            self._end()
        if self._failure and not self._killed:
            raise self._failure
        status = self._child.returncode
        return 128 - status if status < 0 else int(status)

    def _end(self) -> None:
        if self._first is not None:
            # it dies with bubblewrap, unless somebody inside got hold of it; with it all others of its namespace are
            # killed, and Linux reports its end only after theirs
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            select.select([self._first], [], [])
            os.close(self._first)
            self._first = None
            if (scratch := self._belongings.scratch) is not None:
                with contextlib.suppress(
                    OSError
                ):  # overlay leaves it unreadable, and then nobody could remove it
                    (scratch / "work" / "work").chmod(0o700)
        self._close(self._child.returncode)

    def _close(self, status: int) -> None:
        if self._report is None:
            return
        self._last_counts()
        self._failure = self._report.failure(status)
        self._report.close()
        self._report = None

    def __del__(self) -> None:
        for descriptor in (self._first, self._own):
            if descriptor is not None:
                os.close(descriptor)


def _received(doors: socket.socket) -> tuple[socket.socket, ...]:
    """Return the sockets that the launcher sent before it reported; none when it failed."""
    doors.setblocking(False)
    with doors, contextlib.suppress(OSError):
        return tuple(socket.socket(fileno=number) for number in socket.recv_fds(doors, 1, _MOST_DOORS)[1])
    return ()
