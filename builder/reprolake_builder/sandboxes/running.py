"""A program in bubblewrap: whether it lives, how it ended, and how to end it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
from pathlib import Path
from typing import IO

from reprolake_builder import process
from reprolake_builder.errors import SandboxError
from reprolake_builder.sandboxes.launch import UNMAPPED

_START_SECONDS = 60


class OwnerUnmappedError(Exception):
    """The launcher cannot give the copy-on-write's files to the program's user."""


class Sandboxed:
    """A program in bubblewrap.

    `child` is the launcher, which becomes bubblewrap; `report` is what both say about the start; `scratch` (host path)
    belongs to a copy-on-write.
    """

    def __init__(self, child: subprocess.Popen[bytes], report: IO[bytes], scratch: Path | None) -> None:
        self._child = child
        self._report = report
        self._scratch = scratch
        self._killed = False
        self._told = b""
        self._first: int | None = None  # the first process inside: with it everything inside ends
        self._own = os.pidfd_open(child.pid)
        line = self._first_line()
        if line.startswith(b"{"):
            with contextlib.suppress(OSError):  # it may be gone already
                self._first = os.pidfd_open(int(json.loads(line)["child-pid"]))
            return
        status = child.wait()
        self._close()
        if line.strip() == UNMAPPED.encode():
            raise OwnerUnmappedError
        reason = process.printable(line[1:].decode(errors="replace").strip())
        raise unavailable(reason or f"the launcher ended with {status} before it became bubblewrap")

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

    def _ended(self) -> int:
        if self._first is not None:
            # it dies with bubblewrap, unless somebody inside got hold of it; with it all others of its namespace are
            # killed, and Linux reports its end only after theirs
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            select.select([self._first], [], [])
            os.close(self._first)
            self._first = None
            if self._scratch is not None:
                with contextlib.suppress(
                    OSError
                ):  # overlay leaves it unreadable, and then nobody could remove it
                    (self._scratch / "work" / "work").chmod(0o700)
        self._close()
        status = self._child.returncode
        if status == 1 and not self._killed and b"exit-code" not in self._told:
            raise unavailable(
                "bubblewrap could not set the sandbox up; its own words are in the program's log"
            )
        return 128 - status if status < 0 else int(status)

    def _first_line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self._report], [], [], _START_SECONDS)[0]:
                self._child.kill()
            piece = self._report.read(1)
            if not piece:
                break
            line += piece
        return line

    def _close(self) -> None:
        if self._report.closed:
            return
        while piece := self._report.read(4096):
            self._told += piece
        self._report.close()

    def __del__(self) -> None:
        for descriptor in (self._first, self._own):
            if descriptor is not None:
                os.close(descriptor)


def unavailable(reason: str) -> SandboxError:
    """Return the error that says why the sandbox cannot be had; nothing is run without it."""
    return SandboxError(
        f"the sandbox cannot be set up: {reason}", hint="`reprolake doctor` says what this host lacks"
    )
