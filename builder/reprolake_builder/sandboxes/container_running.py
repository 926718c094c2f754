"""A program in a container: whether it lives, how it ended, and how to end it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.errors import SandboxError
from reprolake_builder.process import printable
from reprolake_builder.sandboxes import init_program
from reprolake_builder.sandboxes.cgroups import Counts, Place, counted, group_of
from reprolake_builder.sandboxes.gauge import Gauge
from reprolake_builder.sandboxes.interface import Usage
from reprolake_builder.sandboxes.measure import Processes
from reprolake_builder.sandboxes.pending_doors import PendingDoors
from reprolake_builder.sandboxes.reports import not_started, unavailable

_KILL_SECONDS = 60
_PIECE = 1 << 16
_NO_PROGRAM = {
    errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.E2BIG, errno.ELIBBAD,
}  # fmt: skip
"""What execve(2) says of a program that is none; the filter of system calls fails with others."""


@dataclass(frozen=True, slots=True)
class Made:
    """A container that was made: its id and `program`, the folder in memory that is its `home` (sandbox path), its limit on memory in bytes.

    `doors` are those that it will hand out. `remove` has the engine remove it, whatever it does, and clears up after it.
    """

    id: str
    program: str
    home: str
    memory_bytes: int | None
    remove: Callable[[], object]
    doors: PendingDoors | None = None


class Contained:
    """A program in a container; `keeper` stays with it, tells of it by `report`, and clears up once `alive` is closed."""

    def __init__(self, keeper: subprocess.Popen[bytes], report: int, alive: int, made: Made) -> None:
        self._keeper = keeper
        self._report = report
        self._alive: int | None = alive
        self._made = made
        self._told = b""
        self._failure: SandboxError | None = None
        self._end: int | None = None
        self._killed = False
        self._first: int | None = None
        self._group: Mapping[str, Place] = {}
        self._gauge = Gauge(self._counts, made.memory_bytes)
        self._own = os.pidfd_open(keeper.pid)
        os.set_blocking(report, False)

    @property
    def doors(self) -> tuple[socket.socket, ...]:
        """The sockets that were asked for, once they are there. Raises SandboxError when they never will be."""
        return self._made.doors.received(self._own) if self._made.doors is not None else ()

    def poll(self) -> int | None:
        """Exit status, or None while it runs; 128 + N when signal N ended the program.

        Raises SandboxError when the program was never started.
        """
        return None if self._keeper.poll() is None else self._ended()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status, as `poll` does. Raises subprocess.TimeoutExpired (seconds)."""
        self._keeper.wait(timeout)
        return self._ended()

    def kill(self) -> None:
        """End the program and everything it started; when this returns nothing of it runs any more."""
        if self._keeper.poll() is None:
            self._killed = True
            self._listen()
            if self._first is not None:
                # all that is inside ends with its first process; the engine, which may be slow, clears up
                with contextlib.suppress(OSError):
                    signal.pidfd_send_signal(self._first, signal.SIGKILL)
            self._let_go()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._keeper.wait(_KILL_SECONDS)
        if self._keeper.poll() is None:
            self._keeper.kill()
            self._keeper.wait()
        if self._end is None:
            self._listen()
            if self._end is None and not self._failure:
                self._made.remove()  # what its keeper should have done

    def fileno(self) -> int:
        """Descriptor that becomes readable when the sandbox has ended."""
        return self._own

    def usage(self, *, anew: bool = False) -> Usage | None:
        """What it takes; `anew` begins to look for the next peak. After its end the last that was seen, None when nothing was."""
        self._listen()
        if self._end is None and self._keeper.poll() is None:
            self._gauge.look(anew=anew)
        return self._gauge.usage

    def is_stopped(self) -> bool:
        """Whether all processes inside were stopped by a signal."""
        self._listen()
        processes = self._gauge.processes
        return processes is not None and processes.taken(exactly=False).is_stopped

    def signal(self, number: int) -> bool:
        """Send a signal to the program itself, also when it is stopped; False when it is gone or cannot be told apart."""
        self._listen()
        processes = self._gauge.processes
        return processes is not None and processes.signal(number)

    def _let_go(self) -> None:
        alive, self._alive = self._alive, None
        if alive is not None:
            os.close(alive)

    def _ended(self) -> int:
        self._listen()
        self._let_go()
        if self._killed:
            return 128 + signal.SIGKILL
        if self._failure:
            raise self._failure
        if self._end is None:
            self._made.remove()
            raise unavailable("the process that kept its container was ended")
        return self._end

    def _listen(self) -> None:
        """Take in what the keeper has told by now."""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._report, _PIECE):
                self._told += piece
        *lines, self._told = self._told.split(b"\n")
        for line in lines:
            word, _, rest = line.decode(errors="replace").partition(" ")
            match word:
                case "pid":
                    self._measure(int(rest))
                case "failed":
                    self._failure = self._failure or unavailable(printable(rest) or "it was never started")
                case "refused":
                    number = int(rest)
                    self._failure = (
                        not_started(self._made.program, number)
                        if number in _NO_PROGRAM
                        else unavailable(os.strerror(number))
                    )
                case "":
                    pass
                case _:
                    status, kills, refused, seconds = rest.split()
                    self._end = int(status)
                    self._gauge.look_back(
                        Counts(
                            cpu_seconds=float(seconds),
                            memory_bytes=None,
                            processes=None,
                            kills=int(kills),
                            refused=int(refused),
                        )
                    )

    def _measure(self, first: int) -> None:
        try:
            descriptor = os.pidfd_open(first)
            if not Path(f"/proc/{first}/cmdline").read_bytes().startswith(init_program.PATH.encode() + b"\0"):
                os.close(descriptor)  # it has ended, and its number is another's by now
                return
            group = group_of(first, self._made.id)
            program = _program_of(first)
        except OSError:
            return
        self._first, self._group = descriptor, group
        self._gauge.processes = Processes(first, descriptor, self._made.home, program)

    def _counts(self) -> Counts | None:
        try:
            return counted(self._group)
        except OSError:
            return None

    def __del__(self) -> None:
        self._let_go()
        for descriptor in (self._first, self._own, self._report):
            if descriptor is not None:
                os.close(descriptor)


def _program_of(first: int) -> int:
    """Return the number of the program: the oldest child of the first process. Raises OSError."""
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    inside = {}
    for child in children:
        with contextlib.suppress(OSError, IndexError, ValueError):
            line = Path(f"/proc/{child}/status").read_text().partition("NSpid:")[2].split("\n")[0]
            inside[int(line.split()[-1])] = int(child)
    return inside[min(inside)] if inside else 0
