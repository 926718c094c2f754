"""The supervisor: watches kernel, driver, clock and signals until both processes are gone, and writes down what happens."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import msgspec

from reprolake_builder.errors import SandboxError
from reprolake_builder.process import printable
from reprolake_builder.progress import Step
from reprolake_builder.sandboxes.interface import Running
from reprolake_runner.driver.protocol import (
    LINE_LIMIT,
    CellEnded,
    CellsDone,
    CellStarted,
    EndKernel,
    Event,
    Failed,
    KernelEnded,
    KernelReady,
    Notice,
    Saved,
    Stop,
)
from reprolake_runner.record import Account, EventLog, Verdict, died

_CELL_GRACE = 15.0  # beyond the cell's own limit, which the driver sees to
_KERNEL_GRACE = (
    1.0  # ipykernel locks up in a fifth of its shutdowns, after all that the user's code does at exit
)
_DRIVER_GRACE = 20.0  # for a last save of a large notebook
_TURNS = 64  # pieces read from one pipe before the others have their turn
_LOG_LIMIT = 16 << 20
_PIECE = 1 << 16
_ABORTED, _NO_MEMORY = 134, "OUT OF MEMORY"  # how the socket library ends a process
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EVENTS = msgspec.json.Decoder(Event)


@dataclass(frozen=True, slots=True)
class Pipe:
    """The reading end of what a process prints, and the file (host path) in which at most so much of it is kept."""

    descriptor: int
    log: Path


@dataclass(frozen=True, slots=True)
class Watch:
    """Two running sandboxes and the descriptors of their pipes; times in seconds, None is unlimited."""

    kernel: Running
    driver: Running
    notices: int
    events: int
    logs: tuple[Pipe, ...]
    timeout: float | None
    execution_timeout: float | None


class Supervisor:
    """Brings one run to its end."""

    def __init__(self, watch: Watch, account: Account, log: EventLog, step: Step) -> None:
        self._watch = watch
        self._account = account
        self._log = log
        self._step = step
        self._selector = selectors.DefaultSelector()
        self._begun = b""
        self._alive = {"kernel", "driver"}
        self._deadlines: dict[str, float] = {}
        self._kept = dict.fromkeys((pipe.descriptor for pipe in watch.logs), _LOG_LIMIT)
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
        for pipe in watch.logs:
            os.set_blocking(pipe.descriptor, False)
            self._selector.register(pipe.descriptor, selectors.EVENT_READ, _reader(self._read_log, pipe))
        try:
            with _signals(self._selector, self._signalled):
                while self._alive:
                    self._turn()
        finally:
            watch.kernel.kill()
            watch.driver.kill()
            self._read_events()
            for pipe in watch.logs:
                self._read_log(pipe)
            self._selector.close()

    def _turn(self) -> None:
        now = time.monotonic()
        nearest = min(self._deadlines.values(), default=None)
        for key, _ in self._selector.select(None if nearest is None else max(0, nearest - now)):
            key.data()
        now = time.monotonic()
        for name in [name for name, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[name]
            self._time_up(name)

    def _time_up(self, what: str) -> None:
        match what:
            case "run":
                limit = self._watch.timeout
                self._end(
                    Verdict("timed-out", f"the run took longer than {limit:g} s, {self._account.place}")
                )
            case "cell":
                limit = self._watch.execution_timeout
                place = self._account.place
                self._end(
                    Verdict("timed-out", f"longer than {limit:g} s {place}, and the kernel did not react")
                )
            case "kernel":
                self._log.write("kernel-killed", reason="it did not shut down in time")
                self._watch.kernel.kill()
            case _:
                self._log.write("driver-killed", reason="it did not end in time")
                self._watch.driver.kill()

    def _signalled(self, number: int) -> None:
        self._end(
            Verdict("stopped", f"ended from outside by {signal.Signals(number).name} {self._account.place}")
        )

    def _end(self, verdict: Verdict) -> None:
        """End the run early: the kernel at once, the driver after it saved the notebook."""
        if self._account.ended is not None:
            return
        self._account.ended = verdict
        self._log.write("ending", status=verdict.status, reason=verdict.message)
        self._watch.kernel.kill()
        self._tell(Stop())
        self._deadlines = {"driver": time.monotonic() + _DRIVER_GRACE}

    def _tell(self, notice: Notice) -> None:
        with contextlib.suppress(BrokenPipeError):  # then its end is noticed anyway
            os.write(self._watch.notices, msgspec.json.encode(notice) + b"\n")

    # ------------------------------------------------------------------ ends of processes
    def _kernel_gone(self) -> None:
        status = self._status(self._watch.kernel, self._watch.logs[0].log)
        self._read_events()  # what was told before the end counts
        self._read_log(self._watch.logs[0])
        self._selector.unregister(self._watch.kernel)
        self._alive.discard("kernel")
        self._deadlines.pop("kernel", None)
        self._account.kernel_status = status
        self._log.write("kernel-ended", status=status)
        account = self._account
        if "driver" not in self._alive or account.alive_at_end or account.ended or account.failed:
            return
        account.ended = died(status, account.place, last_words(self._watch.logs[0].log))
        self._tell(KernelEnded())
        self._deadlines = {"driver": time.monotonic() + _DRIVER_GRACE}

    def _driver_gone(self) -> None:
        status = self._status(self._watch.driver, self._watch.logs[1].log)
        self._read_events()
        self._read_log(self._watch.logs[1])
        self._selector.unregister(self._watch.driver)
        self._alive.discard("driver")
        self._account.driver_status = status
        self._log.write("driver-ended", status=status)
        for name in ("driver", "cell", "run"):
            self._deadlines.pop(name, None)
        if (
            status == _ABORTED
            and _NO_MEMORY in last_words(self._watch.logs[1].log)
            and not self._account.ended
        ):
            message = (
                f"the outputs of the notebook need more memory than the driver has, {self._account.place}"
            )
            self._account.ended = Verdict("limit-exceeded", message)
        if "kernel" in self._alive and not self._account.alive_at_end:
            self._watch.kernel.kill()

    def _status(self, running: Running, log: Path) -> int:
        try:
            return running.wait()
        except SandboxError as error:
            for pipe in self._watch.logs:
                self._read_log(pipe)
            raise SandboxError(f"{error.message}: {last_words(log)}", hint=error.hint) from error

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
            self._end(
                Verdict(
                    "broken", f"the driver told nonsense: {printable(line[:100].decode(errors='replace'))}"
                )
            )

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
                log.write("cell-started", index=event.index)
                if self._watch.execution_timeout is not None:
                    self._deadlines["cell"] = time.monotonic() + self._watch.execution_timeout + _CELL_GRACE
                return account.start(event.index)
            case CellEnded():
                self._deadlines.pop("cell", None)
                log.write("cell-ended", **msgspec.structs.asdict(event))
                self._step.advance()
                return account.end(event)
            case CellsDone():
                self._cells_done()
            case Saved():
                account.saved = event.sha256
                log.write("notebook-saved", sha256=event.sha256)
            case Failed():
                account.failed = event
                log.write("driver-gave-up", reason=event.reason, message=event.message)
                self._watch.kernel.kill()
                self._deadlines = {"driver": time.monotonic() + _DRIVER_GRACE}
        return True

    def _cells_done(self) -> None:
        self.times["cells"] = time.monotonic()
        self._account.alive_at_end = self._watch.kernel.poll() is None
        self._log.write("cells-done", kernel_alive=self._account.alive_at_end)
        if self._account.alive_at_end:
            self._tell(EndKernel())
            now = time.monotonic()
            self._deadlines = {"kernel": now + _KERNEL_GRACE, "driver": now + _DRIVER_GRACE}

    def _read_log(self, pipe: Pipe) -> None:
        """Keep what a process printed, up to a limit; what is beyond it is read and dropped."""
        for _ in range(_TURNS):
            try:
                piece = os.read(pipe.descriptor, _PIECE)
            except BlockingIOError:
                return
            if not piece:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(pipe.descriptor)
                return
            kept = piece[: self._kept[pipe.descriptor]]
            self._kept[pipe.descriptor] -= len(kept)
            with pipe.log.open("ab") as stream:
                stream.write(kept)


def last_words(log: Path) -> str:
    """Return the last line that a process printed, shortened and harmless to print."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - 2000))
            lines = stream.read().decode(errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return printable(lines[-1])[:300] if lines else ""


def _reader(read: Callable[[Pipe], None], pipe: Pipe) -> Callable[[], None]:
    return lambda: read(pipe)


@contextlib.contextmanager
def _signals(selector: selectors.BaseSelector, tell: Callable[[int], None]) -> Iterator[None]:
    """Have signals end the run while this lasts; outside the main thread Python does not deliver any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting, waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame  # the number arrives through the pipe, where it cannot interrupt anything

    def arrived() -> None:
        for number in os.read(waiting, 64):
            if number in _SIGNALS:
                tell(number)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    woken = signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    selector.register(waiting, selectors.EVENT_READ, arrived)
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        selector.unregister(waiting)
        os.close(waiting)
        os.close(waking)
