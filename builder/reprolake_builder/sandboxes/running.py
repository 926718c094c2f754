"""A program in its sandbox: whether it lives, how it ended, and how to end it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder import process
from reprolake_builder.errors import SandboxError
from reprolake_builder.sandboxes.cgroups import Counts, Group
from reprolake_builder.sandboxes.interface import Usage
from reprolake_builder.sandboxes.launch import UNMAPPED
from reprolake_builder.sandboxes.measure import Processes, Taken
from reprolake_builder.sandboxes.reports import Begun, Report
from reprolake_builder.sandboxes.scope import Scope

_MOST_DOORS = 250
_NOTHING = Counts(cpu_seconds=None, memory_bytes=None, processes=None, kills=0, refused=0)


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
        self._processes: Processes | None = None
        self._usage: Usage | None = None
        self._peak = 0
        self._killed = False
        self._failure = ""
        self._first: int | None = None  # the first process inside: with it everything inside ends
        self._own = os.pidfd_open(child.pid)
        begun = report.begun(child.kill)
        self._doors = _received(belongings.doors) if belongings.doors is not None else ()
        if isinstance(begun, Begun):
            with contextlib.suppress(OSError):  # it may be gone already
                if belongings.group is not None:
                    belongings.group.joined(child.pid)
                self._first = os.pidfd_open(begun.first)
                self._processes = Processes(begun.first, self._first, belongings.home, begun.program)
            return
        child.kill()
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
        if self._processes is not None and self._child.poll() is None:
            counts = self._counts() or _NOTHING
            taken = None
            if None in {counts.cpu_seconds, counts.memory_bytes, counts.processes}:
                taken = self._processes.taken(exactly=False)
                counts = _filled(counts, taken)
            memory = counts.memory_bytes or 0
            limit = self._belongings.memory_bytes
            if taken is not None and limit is not None and memory > limit:
                # what processes share was counted for each of them
                memory = self._processes.taken(exactly=True).memory_bytes
            self._peak = max(self._peak, memory, self._processes.highest(anew=anew))
            self._usage = Usage(
                cpu_seconds=counts.cpu_seconds or 0.0,
                memory_bytes=memory,
                peak_bytes=self._peak,
                processes=counts.processes or 0,
                kills=counts.kills,
                refused=counts.refused,
            )
            if anew:
                self._peak = memory
        return self._usage

    def is_stopped(self) -> bool:
        """Whether all processes inside were stopped by a signal."""
        return self._processes is not None and self._processes.taken(exactly=False).is_stopped

    def signal(self, number: int) -> bool:
        """Send a signal to the program itself, also when it is stopped; False when it is gone or cannot be told apart."""
        return self._processes is not None and self._processes.signal(number)

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
        if counts is not None:
            seen = self._usage or Usage(cpu_seconds=0.0, memory_bytes=0, peak_bytes=0, processes=0)
            self._usage = dataclasses.replace(
                seen,
                cpu_seconds=max(seen.cpu_seconds, counts.cpu_seconds or 0.0),
                kills=counts.kills,
                refused=counts.refused,
            )

    def _ended(self) -> int:
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
        status = self._child.returncode
        self._close(status)
        if self._failure and not self._killed:
            raise unavailable(self._failure)
        return 128 - status if status < 0 else int(status)

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


def _filled(counts: Counts, taken: Taken) -> Counts:
    """Return what the group counted and, where it did not, what the processes say."""
    return dataclasses.replace(
        counts,
        cpu_seconds=taken.cpu_seconds if counts.cpu_seconds is None else counts.cpu_seconds,
        memory_bytes=taken.memory_bytes if counts.memory_bytes is None else counts.memory_bytes,
        processes=taken.processes if counts.processes is None else counts.processes,
    )


def unavailable(reason: str) -> SandboxError:
    """Return the error that says why the sandbox cannot be had; nothing is run without it."""
    return SandboxError(
        f"the sandbox cannot be set up: {reason}", hint="`reprolake doctor` says what this host lacks"
    )
