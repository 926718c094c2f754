"""The supervisor: watches kernel, driver, clock and signals until both processes are gone, and writes down what happens."""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from reprolake_builder.errors import SandboxError
from reprolake_builder.process import printable
from reprolake_builder.progress import Step
from reprolake_builder.sandboxes.interface import Running
from reprolake_runner.documents.run import Status
from reprolake_runner.driver.protocol import (
    LINE_LIMIT,
    CellChecked,
    CellEnded,
    CellsDone,
    CellStarted,
    EndKernel,
    Event,
    Failed,
    Heard,
    Interrupt,
    KernelEnded,
    KernelReady,
    Notice,
    Said,
    Saved,
    Stop,
)
from reprolake_runner.printed import Printed
from reprolake_runner.record import Account, EventLog, Verdict, died
from reprolake_runner.signals import ending_signals
from reprolake_runner.watchdog import Guarded, out_of_memory
from reprolake_runner.watching import Watching, not_set_up, too_many_processes
from reprolake_runner.where import line_of_dump

if TYPE_CHECKING:
    from reprolake_builder.network.serving import Server  # most runs have none

_CELL_GRACE = 15.0  # beyond the cell's own limit, which the driver sees to
_KERNEL_GRACE = (
    1.0  # ipykernel locks up in a fifth of its shutdowns, after all that the user's code does at exit
)
_DRIVER_GRACE = 20.0  # for a last save of a large notebook
_TURNS = 64  # pieces read from one pipe before the others have their turn
_PIECE = 1 << 16
_LAST_WORD = 1.0  # seconds for the kernel to say where it is
_ABORTED, _NO_MEMORY = 134, "OUT OF MEMORY"  # how the socket library ends a process
_EVENTS = msgspec.json.Decoder(Event)


Told = Callable[[Said], None]


@dataclass(frozen=True, slots=True)
class Pipe:
    """The reading end of what a process prints, and the file (host path) in which at most so much of it is kept."""

    descriptor: int
    log: Path


@dataclass(frozen=True, slots=True)
class Watch:
    """Two running sandboxes and the descriptors of their pipes; times in seconds, None is unlimited.

    `begun` (monotonic seconds) is when the run began; `server` serves the kernel's sandbox. `told` is given what cells print. `tells_lines` says that the kernel prints where it is when it is aborted.
    """

    kernel: Running
    driver: Running
    notices: int
    events: int
    kernel_pipe: Pipe
    driver_pipe: Pipe
    guarded: Guarded
    begun: float
    tells_lines: bool
    timeout: float | None
    execution_timeout: float | None
    told: Told | None = None
    server: Server | None = None


class Supervisor(Watching):
    """Brings one run to its end."""

    def __init__(self, watch: Watch, account: Account, log: EventLog, step: Step) -> None:
        super().__init__(watch.kernel, watch.guarded, watch.begun, log)
        self._watch = watch
        self._account = account
        self._step = step
        self._begun = b""
        self._interrupted = False
        self._alive = {"kernel", "driver"}
        self._said = Printed(watch.kernel_pipe.descriptor, watch.kernel_pipe.log)
        self._complaints = Printed(watch.driver_pipe.descriptor, watch.driver_pipe.log)
        self.times: dict[str, float] = {}
        if watch.timeout is not None:
            self._deadlines["run"] = time.monotonic() + watch.timeout

    def run(self) -> None:
        """Watch until both processes are gone; whatever happens, neither outlives this call.

        Raises SandboxError when a sandbox could not be set up after all.
        """
        watch = self._watch
        os.set_blocking(watch.events, False)
        self._selector.register(watch.events, selectors.EVENT_READ, self._read_events)
        self._selector.register(watch.kernel, selectors.EVENT_READ, self._kernel_gone)
        self._selector.register(watch.driver, selectors.EVENT_READ, self._driver_gone)
        for printed in (self._said, self._complaints):
            self._listen(printed)
        self._hear(watch.server)
        try:
            with ending_signals(self._selector, self._signalled):
                while self._alive:
                    self._turn()
        finally:
            watch.kernel.kill()
            watch.driver.kill()
            self._read_events()
            self._said.read()
            self._complaints.read()
            if why := self._hear_no_more():
                self._account.warnings.append(why)
            self._selector.close()
            self._account.warnings.extend(too_many_processes(self.meter.look()))

    def _time_up(self, what: str) -> None:
        match what:
            case "look":
                self._look()
            case "run":
                self._end("timed-out", f"the run took longer than {self._watch.timeout:g} s", locate=True)
            case "cell":
                limit = self._watch.execution_timeout
                why = f"a cell took longer than {limit:g} s and the kernel did not react"
                self._end("timed-out", why, locate=True)
            case "kernel":
                self._log.write("kernel-killed", reason="it did not shut down in time")
                self._watch.kernel.kill()
            case _:
                self._log.write("driver-killed", reason="it did not end in time")
                self._watch.driver.kill()

    def _exceeded(self, verdict: Verdict) -> None:
        self._end(verdict.status, verdict.message, locate=verdict.status == "timed-out")

    def _see_kills(self) -> None:
        """End the run when anything in it was killed for want of memory, also when the cell went on without it."""
        if (usage := self.meter.usage) is not None and usage.kills:
            self._end("limit-exceeded", out_of_memory(self._watch.guarded.memory_bytes))

    def _signalled(self, number: int) -> None:
        self._end("stopped", f"ended from outside by {signal.Signals(number).name}", locate=True)

    def _end(self, status: Status, why: str, *, locate: bool = False) -> None:
        """End the run early: the kernel at once, the driver after it saved the notebook."""
        account = self._account
        if account.ended is not None:
            return
        if locate:
            self._locate()
        account.ended = Verdict(status, f"{why}, {account.place}")
        self._log.write("ending", status=status, reason=account.ended.message)
        self._watch.kernel.kill()
        self._tell(Stop())
        self._deadlines = {"driver": time.monotonic() + _DRIVER_GRACE}

    def _locate(self) -> None:
        """Have the kernel say at which line of the cell it is, if it can; it does not come back from that."""
        watch, said = self._watch, self._said
        if not watch.tells_lines or not self._account.is_to_be_located or "kernel" not in self._alive:
            return
        said.read()
        said.tail = b""
        deadline = time.monotonic() + _LAST_WORD
        if not watch.kernel.signal(signal.SIGABRT):
            return
        while watch.kernel.poll() is None and (left := deadline - time.monotonic()) > 0:
            select.select([watch.kernel.fileno(), said.descriptor], [], [], left)
            said.read()
        said.read()
        self._account.locate(line_of_dump(said.tail))

    def _tell(self, notice: Notice) -> None:
        with contextlib.suppress(BrokenPipeError):  # then its end is noticed anyway
            os.write(self._watch.notices, msgspec.json.encode(notice) + b"\n")

    # ------------------------------------------------------------------ ends of processes
    def _kernel_gone(self) -> None:
        status = self._status(self._watch.kernel, self._said)
        self._read_events()  # what was told before the end counts
        self._said.read()
        self._selector.unregister(self._watch.kernel)
        self._alive.discard("kernel")
        self._deadlines.pop("kernel", None)
        self._log.write("kernel-ended", status=status)
        account = self._account
        if "driver" not in self._alive or account.alive_at_end or account.ended or account.failed:
            return
        usage = self._watch.kernel.usage()
        if usage is not None and usage.kills:
            why = out_of_memory(self._watch.guarded.memory_bytes)
            account.ended = Verdict("limit-exceeded", f"{why}, {account.place}")
        elif not self._interrupted:  # else the driver has yet to say why it had the kernel interrupted
            account.locate(line_of_dump(self._said.tail))
            account.ended = died(status, account.place, self._said.last_words)
        self._tell(KernelEnded())
        self._deadlines = {"driver": time.monotonic() + _DRIVER_GRACE}

    def _driver_gone(self) -> None:
        status = self._status(self._watch.driver, self._complaints)
        self._read_events()
        self._complaints.read()
        self._selector.unregister(self._watch.driver)
        self._alive.discard("driver")
        self._account.driver_status = status
        self._log.write("driver-ended", status=status)
        for name in ("driver", "cell", "run", "look"):
            self._deadlines.pop(name, None)
        if status == _ABORTED and _NO_MEMORY in self._complaints.last_words and not self._account.ended:
            message = (
                f"the outputs of the notebook need more memory than the driver has, {self._account.place}"
            )
            self._account.ended = Verdict("limit-exceeded", message)
        if "kernel" in self._alive and not self._account.alive_at_end:
            self._watch.kernel.kill()

    def _status(self, running: Running, printed: Printed) -> int:
        try:
            return running.wait()
        except SandboxError as error:
            printed.read()
            raise not_set_up(error, printed.last_words) from error

    # ------------------------------------------------------------------ what the driver tells
    def _read_events(self) -> None:
        for _ in range(_TURNS):
            if self._watch.events not in self._selector.get_map():
                return
            try:
                piece = os.read(self._watch.events, _PIECE)
            except BlockingIOError:
                return
            if not piece:
                self._selector.unregister(self._watch.events)
                return
            *lines, self._begun = (self._begun + piece).split(b"\n")
            if len(self._begun) > LINE_LIMIT:
                lines, self._begun = [*lines, self._begun], b""
            for line in lines:
                self._believe(line)

    def _believe(self, line: bytes) -> None:
        """Take one line of the driver for what it is; nonsense ends the run."""
        try:
            event = _EVENTS.decode(line) if len(line) <= LINE_LIMIT else None
        except msgspec.DecodeError:
            event = None
        if event is None or not self._note(event):
            told = printable(line[:100].decode(errors="replace"))
            self._end("broken", f"the driver told nonsense: {told}")

    def _note(self, event: Event) -> bool:
        """Write down what happened; False when it cannot be."""
        account, log = self._account, self._log
        match event:
            case KernelReady():
                if account.ready is not None:
                    return False
                account.begin(event)
                self.times["ready"] = time.monotonic()
                log.write("kernel-ready", info=event.info, cells=len(event.cells))
            case CellStarted():
                begun = self.meter.cell_begins()
                self._watchdog.heard()
                log.write("cell-started", index=event.index)
                if self._watch.execution_timeout is not None:
                    self._deadlines["cell"] = time.monotonic() + self._watch.execution_timeout + _CELL_GRACE
                return account.start(event.index, begun)
            case CellEnded():
                return self._cell_ended(event)
            case CellChecked():
                self._watchdog.heard()
                log.write("cell-checked", **msgspec.structs.asdict(event.check))
                return account.check(event.check)
            case Said():
                self._watchdog.heard()
                if self._watch.told is not None:
                    self._watch.told(event)
            case Heard():
                self._watchdog.heard()
            case Interrupt():
                self._interrupted = True
                sent = event.signal and self._watch.kernel.signal(signal.SIGINT)
                log.write("kernel-interrupted", signalled=sent)
            case CellsDone():
                self._cells_done()
            case Saved():
                account.saved = event.sha256
                log.write("notebook-saved", sha256=event.sha256)
            case Failed():
                account.give_up(event)
                if event.reason == "timed-out":
                    self._locate()
                log.write("driver-gave-up", reason=event.reason, message=event.message)
                self._watch.kernel.kill()
                self._deadlines = {"driver": time.monotonic() + _DRIVER_GRACE}
        return True

    def _cell_ended(self, event: CellEnded) -> bool:
        self._deadlines.pop("cell", None)
        self._watchdog.heard()
        use = self.meter.cell_ends() if event.state != "skipped" else None
        self._see_kills()
        taken = {"cpu_seconds": use.cpu_seconds, "peak_bytes": use.peak_bytes} if use else {}
        self._log.write("cell-ended", **msgspec.structs.asdict(event), **taken)
        self._step.advance()
        return self._account.end(event, use)

    def _cells_done(self) -> None:
        self.times["cells"] = time.monotonic()
        self._account.alive_at_end = self._watch.kernel.poll() is None
        self._log.write("cells-done", kernel_alive=self._account.alive_at_end)
        if self._account.alive_at_end:
            self._tell(EndKernel())
            now = time.monotonic()
            self._deadlines = {"kernel": now + _KERNEL_GRACE, "driver": now + _DRIVER_GRACE}
