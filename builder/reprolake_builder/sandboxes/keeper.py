"""The small program that stays with a container: it starts the engine's client on the program's streams, and clears up.

It is a process of its own because it has to outlive ours: when that is killed, the container is. It runs in an interpreter that
imports little (`python -I -S`). What it tells, a line each: "pid N" (on this host), "failed REASON", "refused NUMBER" (of the error with which the
program could not be started), "ended STATUS KILLS REFUSED SECONDS".
"""

from __future__ import annotations

import marshal
import os
import select
import signal
import sys

TYPE_CHECKING = False  # as in typing, whose import takes time
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypedDict

    from reprolake_builder.sandboxes.cgroups import Place

    class Keeping(TypedDict):
        """What is kept: host paths, descriptors, and the engine's client with its environment.

        `alive` can be read once nobody wants the container any more. `folder` is removed with its `files` in the end.
        """

        client: str
        environment: dict[str, str]
        name: str
        id: str
        interactive: bool
        report: int
        alive: int
        pipe: str
        go: str
        folder: str


_PAUSE = 0.002  # seconds


def main() -> None:
    """Keep the container of the plan in the descriptor that is the only argument."""
    with open(int(sys.argv[1]), "rb") as stream:
        plan: Keeping = marshal.loads(stream.read())  # noqa: S302  (written by our own parent into memory)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, _go_on)  # not SIG_IGN, which a program of podman's would inherit
    os.set_inheritable(plan["report"], False)
    os.set_inheritable(plan["alive"], False)
    _Keeper(plan).keep()
    os._exit(0)


def _go_on(number: int, frame: object) -> None:
    """Do nothing: this ends with its container."""


class _Keeper:
    def __init__(self, plan: Keeping) -> None:
        self._plan = plan
        self._pipe = os.open(plan["pipe"], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._first = -1
        self._group: Mapping[str, Place] = {}

    def keep(self) -> None:
        """Stay until the program has ended, or nobody wants it any more."""
        plan = self._plan
        words = ["start", "--attach", *(["--interactive"] if plan["interactive"] else []), plan["name"]]
        if os.isatty(0):
            import fcntl
            import termios

            fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # for the client to hear of another size
        client = self._spawn(words)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        ended = os.pidfd_open(client)
        try:
            if self._is_started(ended):
                self._follow(ended)
            elif ended in self._ready(ended):
                self._never_started()
        finally:
            self._ask("rm", "--force", plan["name"])
            signal.pidfd_send_signal(ended, signal.SIGKILL)
            self._clear()

    def _ready(self, *descriptors: int, seconds: float | None = 0) -> list[int]:
        return select.select([*descriptors, self._plan["alive"]], [], [], seconds)[0]

    def _is_started(self, client: int) -> bool:
        """Wait until the first process is there, close the pipe to all others inside, and let it go on; False when it is not wanted."""
        poll = select.poll()  # unlike select it does not take a pipe for ready that nobody has opened yet
        for descriptor in (self._pipe, self._plan["alive"], client):
            poll.register(descriptor, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll()]
        if self._plan["alive"] in ready or self._pipe not in ready or os.read(self._pipe, 1) != b">":
            return False
        os.chmod(self._plan["pipe"], 0)
        while True:
            try:
                os.close(os.open(self._plan["go"], os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            except OSError:  # it has not opened its end yet
                if self._ready(client, seconds=_PAUSE):
                    return False
            else:
                os.chmod(self._plan["go"], 0)
                return True

    def _follow(self, client: int) -> None:
        """Wait for the end of the program, and tell of it with what its control group counted."""
        found = self._ask("inspect", "--format", "{{.State.Pid}}", self._plan["name"]).strip()
        if found.isdigit() and found != "0":
            self._tell(f"pid {found}")
            self._measure(int(found))
        if self._plan["alive"] in self._ready(self._pipe, seconds=None):
            return
        told = os.read(self._pipe, 2)
        if told[:1] == b"!":
            self._tell(f"refused {256 - told[1]}")
            return
        counts = self._counts()
        if self._first >= 0:
            try:
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            except OSError:
                self._ask("kill", self._plan["name"])
        else:
            self._ask("kill", self._plan["name"])
        # the client ends once it has passed on all that was printed
        if self._plan["alive"] not in self._ready(client, seconds=None):
            # without a word the first process was killed itself
            self._tell(f"ended {told[1] if told else 128 + signal.SIGKILL} {counts}")

    def _measure(self, first: int) -> None:
        from reprolake_builder.sandboxes.cgroups import (
            group_of,  # not before: it takes time, and the program runs by now
        )

        try:
            self._first = os.pidfd_open(first)
            self._group = group_of(first, self._plan["id"])
        except OSError:
            pass  # it has ended

    def _counts(self) -> str:
        """Return processes killed for want of memory, those that could not be made, and seconds of processor time."""
        if self._group:
            from reprolake_builder.sandboxes.cgroups import counted

            try:
                found = counted(self._group)
                return f"{found.kills} {found.refused} {found.cpu_seconds or 0}"
            except OSError:
                pass  # the engine has removed it already
        state = self._ask("inspect", "--format", "{{.State.OOMKilled}}", self._plan["name"]).strip()
        return f"{int(state == 'true')} 0 0"

    def _never_started(self) -> None:
        error = self._ask("inspect", "--format", "{{.State.Error}}", self._plan["name"])
        why = " ".join(error.split()) or "its engine's own words are in the program's log"
        self._tell(f"failed the container could not be started: {why}")

    def _tell(self, line: str) -> None:
        try:  # noqa: SIM105  (contextlib takes time to import)
            os.write(self._plan["report"], line.encode(errors="replace") + b"\n")
        except OSError:
            pass  # nobody is there to hear it

    def _spawn(self, words: list[str], stdout: int | None = None) -> int:
        child = os.fork()
        if child:
            return child
        try:
            if stdout is not None:
                os.dup2(stdout, 1)
            os.execve(self._plan["client"], [self._plan["client"], *words], self._plan["environment"])  # noqa: S606
        finally:
            os._exit(127)

    def _ask(self, *words: str) -> str:
        ours, theirs = os.pipe()
        child = self._spawn(list(words), theirs)
        os.close(theirs)
        with open(ours, "rb") as stream:
            said = stream.read(1 << 16)
        os.waitpid(child, 0)
        return said.decode(errors="replace")

    def _clear(self) -> None:
        folder = self._plan["folder"]
        for name in os.listdir(folder):
            os.unlink(f"{folder}/{name}")
        os.rmdir(folder)


if __name__ == "__main__":
    main()
