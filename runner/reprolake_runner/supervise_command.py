"""The supervisor of a command: watches its process, what it prints, clock and signals, and says how it ended."""

from __future__ import annotations

import contextlib
import selectors
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reprolake_builder.errors import NotStartedError, SandboxError
from reprolake_builder.sandboxes.interface import Running
from reprolake_builder.sandboxes.reports import NOT_STARTED
from reprolake_runner.documents.run import Status
from reprolake_runner.printed import KEPT, Printed
from reprolake_runner.record import EventLog, Verdict
from reprolake_runner.relay import Relay
from reprolake_runner.signals import ending_signals
from reprolake_runner.spoken import Spoken
from reprolake_runner.supervise import Pipe, Told
from reprolake_runner.watchdog import Guarded, out_of_memory, size
from reprolake_runner.watching import Watching, not_set_up, too_many_processes

if TYPE_CHECKING:
    from reprolake_builder.network.serving import Server  # most runs have none

_GRACE = 5.0  # seconds for a command that was asked to end
_NOT_THERE = 127  # what shells say of a command that there is not


@dataclass(frozen=True, slots=True)
class CommandWatch:
    """A running command and the pipes of what it prints; times in seconds, None is unlimited.

    `begun` (monotonic seconds) is when the run began; `told` is given what is printed. With a `relay` there is one stream,
    the terminal's. `server` serves the command's sandbox.
    """

    running: Running
    stdout: Pipe
    stderr: Pipe | None
    guarded: Guarded
    begun: float
    timeout: float | None
    told: Told | None = None
    relay: Relay | None = None
    server: Server | None = None


class CommandSupervisor(Watching):
    """Brings one command to its end; `exit_status` is its own, None when it was never started."""

    def __init__(self, watch: CommandWatch, log: EventLog) -> None:
        super().__init__(watch.running, watch.guarded, watch.begun, log)
        self._watch = watch
        self._ended: Verdict | None = None
        self._is_alive = True
        self._spoken: list[Spoken] = []
        self._printed = {"stdout": self._stream("stdout", watch.stdout)}
        if watch.stderr is not None:
            self._printed["stderr"] = self._stream("stderr", watch.stderr)
        self.exit_status: int | None = None
        self.warnings: list[str] = []
        if watch.timeout is not None:
            self._deadlines["run"] = time.monotonic() + watch.timeout

    def run(self) -> Verdict:
        """Watch until the command is gone, with all that it left behind, and return how it ended.

        Raises SandboxError when the sandbox could not be set up after all.
        """
        self._selector.register(self._watch.running, selectors.EVENT_READ, self._gone)
        for printed in self._printed.values():
            self._listen(printed)
        relay = self._watch.relay
        self._hear(self._watch.server)
        try:
            with contextlib.ExitStack() as stack:
                stack.enter_context(ending_signals(self._selector, self._signalled))
                if relay is not None:
                    stack.enter_context(relay.joined(self._selector, self._watchdog.heard))
                while self._is_alive:
                    self._turn()
        finally:
            self._watch.running.kill()
            self._read_the_rest()
            if why := self._hear_no_more():
                self.warnings.append(why)
            self._selector.close()
        self._warn()
        return self._verdict()

    def _stream(self, kind: str, pipe: Pipe) -> Printed:
        relay = self._watch.relay
        if relay is not None:
            take = relay.show
        else:
            spoken = Spoken("stdout" if kind == "stdout" else "stderr", self._log, self._watch.told)
            self._spoken.append(spoken)
            take = spoken.take

        def taken(piece: bytes) -> None:
            self._watchdog.heard()
            take(piece)

        return Printed(pipe.descriptor, pipe.log, taken)

    def _time_up(self, what: str) -> None:
        match what:
            case "look":
                self._look()
            case "run":
                self._end("timed-out", f"the command took longer than {self._watch.timeout:g} s")
            case _:
                self._log.write("command-killed", reason="it did not end in time")
                self._watch.running.kill()

    def _exceeded(self, verdict: Verdict) -> None:
        # what takes too much is not asked: it could go on taking
        self._end(verdict.status, verdict.message, number=signal.SIGKILL)

    def _signalled(self, number: int) -> None:
        if self._ended is not None:
            self._watch.running.kill()
        self._end("stopped", f"ended from outside by {signal.Signals(number).name}", number=number)

    def _end(self, status: Status, why: str, *, number: int = signal.SIGTERM) -> None:
        """End the run early: the command gets the signal, and a moment to end by itself."""
        if self._ended is not None:
            return
        self._ended = Verdict(status, why)
        self._log.write("ending", status=status, reason=why)
        if number == signal.SIGKILL or not self._watch.running.signal(number):
            self._watch.running.kill()
        self._deadlines.pop("run", None)
        self._deadlines["command"] = time.monotonic() + _GRACE

    def _gone(self) -> None:
        self._selector.unregister(self._watch.running)
        self._is_alive = False
        try:
            self.exit_status = self._watch.running.wait()
        except NotStartedError as error:
            self._read_the_rest()
            self.exit_status = _NOT_THERE
            self._ended = Verdict("failed", error.message)
        except SandboxError as error:
            complaints = self._printed.get("stderr", self._printed["stdout"])
            self._read_the_rest()
            words = complaints.last_words
            if words.startswith(NOT_STARTED):
                program, _, why = words.removeprefix(NOT_STARTED).rpartition(": ")
                self.exit_status = _NOT_THERE
                self._ended = Verdict("failed", f"the image cannot run {program}: {why}")
            else:
                raise not_set_up(error, words) from error
        self._read_the_rest()
        self._log.write("command-ended", status=self.exit_status)

    def _read_the_rest(self) -> None:
        """Take what is still in the pipes once nobody writes to them any more."""
        for printed in self._printed.values():
            printed.read()
        for spoken in self._spoken:
            spoken.end()

    def _warn(self) -> None:
        for name, printed in self._printed.items():
            if printed.dropped:
                self.warnings.append(f"{name} was longer than {size(KEPT)}: the rest of it was not kept")
        self.warnings.extend(too_many_processes(self._watch.running.usage()))

    def _verdict(self) -> Verdict:
        if self._ended is not None:
            return self._ended
        usage = self._watch.running.usage()
        if usage is not None and usage.kills:
            return Verdict("limit-exceeded", out_of_memory(self._watch.guarded.memory_bytes))
        status = self.exit_status or 0
        if status == 0:
            return Verdict("succeeded", "the command ended with status 0")
        words = self._printed["stderr"].last_words if "stderr" in self._printed else ""
        said = f"; its last words: {words}" if words else ""
        return Verdict("failed", f"the command {_how(status)}{said}")


def _how(status: int) -> str:
    with contextlib.suppress(ValueError):
        if status > 128:
            return f"ended with status {status}, which stands for {signal.Signals(status - 128).name}"
    return f"ended with status {status}"
