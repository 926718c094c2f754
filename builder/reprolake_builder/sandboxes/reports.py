"""What a sandbox says of its start, and of why there was none."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from reprolake_builder import process
from reprolake_builder.errors import NotStartedError, SandboxError
from reprolake_builder.sandboxes.first_program import FIRST, PROGRAM

NOT_STARTED = "bwrap: execvp "
"""How bubblewrap's own words begin, in the program's log, where its root has no such program or cannot run it."""
_START_SECONDS = 60
_CREDENTIALS = struct.Struct("=iII")
_GO = b"g"
_BOTH = {FIRST, PROGRAM}


@dataclass(frozen=True, slots=True)
class Begun:
    """Numbers, on this host, of the first process inside and of the program itself, which is 0 where that is not known yet."""

    first: int
    program: int = 0


class Report(Protocol):
    """Our end of what a sandbox reports by; `theirs` is the descriptor that it is given."""

    theirs: int

    def begun(self, expire: Callable[[], object]) -> Begun | str:
        """Wait for the start; without one, return in words what the launcher said. `expire` ends a start that takes too long."""

    def failure(self, status: int) -> SandboxError | None:
        """Return why the program never ran though its sandbox ended with `status`, None when it did; nothing is said after that."""

    def close(self) -> None:
        """Give up our end."""


class PipeReport:
    """Bubblewrap's: lines of JSON."""

    def __init__(self) -> None:
        read, self.theirs = os.pipe()
        self._stream = os.fdopen(read, "rb", buffering=0)

    def begun(self, expire: Callable[[], object]) -> Begun | str:
        """Wait for the first line."""
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self._stream], [], [], _START_SECONDS)[0]:
                expire()
            piece = self._stream.read(1)
            if not piece:
                break
            line += piece
        if line.startswith(b"{"):
            return Begun(int(json.loads(line)["child-pid"]))
        return line.decode(errors="replace").strip()

    def failure(self, status: int) -> SandboxError | None:
        """Tell bubblewrap's own failures from a program that ended with 1."""
        told = b""
        while piece := self._stream.read(4096):
            told += piece
        if status == 1 and b"exit-code" not in told:
            return unavailable(
                "bubblewrap could not set the sandbox up; its own words are in the program's log"
            )
        return None

    def close(self) -> None:
        """Give up our end."""
        self._stream.close()


class SocketReport:
    """That of our first program: one word at a time, and the kernel says who sends it. Source: unix(7), SO_PASSCRED.

    `runtime` is the name of what starts it, `program` that of the program; `admit` is called with the numbers of both processes,
    before anything of the image runs.
    """

    def __init__(self, runtime: str, program: str, admit: Callable[[int], object]) -> None:
        self._ours, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.theirs = there.detach()
        self._runtime = runtime
        self._program = program
        self._admit = admit

    def begun(self, expire: Callable[[], object]) -> Begun | str:
        """Wait for both processes, and let the program begin."""
        found: dict[bytes, int] = {}
        while len(found) < len(_BOTH):
            word, number = self._next(expire)
            if len(word) == 1:
                return f"!its first program could not limit and filter itself: {os.strerror(word[0])}"
            if word not in _BOTH:
                return word.decode(errors="replace").strip() or self._broken()
            found[word] = number
            try:
                self._admit(number)
            except OSError as error:
                return f"!its control group cannot be joined: {error.strerror}"
        self._ours.send(_GO)
        return Begun(found[FIRST], found[PROGRAM])

    def _next(self, expire: Callable[[], object]) -> tuple[bytes, int]:
        if not select.select([self._ours], [], [], _START_SECONDS)[0]:
            expire()
        try:
            word, extra, _, _ = self._ours.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
        except ConnectionResetError:
            return b"", 0
        for level, kind, content in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                return word, _CREDENTIALS.unpack(content)[0]
        return word, 0

    def _broken(self) -> str:
        return f"!{self._runtime} could not set it up; its own words are in the program's log"

    def failure(self, status: int) -> SandboxError | None:
        """Tell a program that could not be started."""
        del status
        word, _ = self._next(lambda: None)
        if len(word) != 1:
            return None
        return not_started(self._program, word[0])

    def close(self) -> None:
        """Give up our end."""
        self._ours.close()


def not_started(program: str, error: int) -> NotStartedError:
    """Return the error that says why (by its number) a program did not start in a sandbox that was there."""
    return NotStartedError(
        f"the image cannot run {process.printable(program)}: {os.strerror(error)}",
        hint="give a program of the image, by its name or its path there",
    )


def unavailable(reason: str) -> SandboxError:
    """Return the error that says why the sandbox cannot be had; nothing is run without it."""
    return SandboxError(
        f"the sandbox cannot be set up: {reason}", hint="`reprolake doctor` says what this host lacks"
    )
