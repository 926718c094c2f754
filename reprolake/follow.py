"""The event log of a run, finished or not, in words for people; following it while it grows.

It may lie in a result that a stranger staged: only plain files are opened, and everything that is shown is made printable.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from reprolake.options import UsageError
from reprolake_builder.plain_files import open_plain
from reprolake_builder.process import printable
from reprolake_runner.documents.run import cell_name
from reprolake_runner.staged import is_run_id
from reprolake_runner.watchdog import size

EVENTS = "events.jsonl"
_LONGEST = 1 << 21  # bytes of a line
_PAUSE = 0.2
_QUIET = 10.0  # seconds without an event after which a running cell is told of
_ENDED = "run-ended"


class Event(msgspec.Struct, frozen=True):
    """What the words are made of; an event may say more."""

    time: str = ""
    event: str = ""
    index: int = 0
    execution_count: int | None = None
    state: str = ""
    verdict: str = ""
    status: str | int = ""
    seconds: float = 0
    cpu_seconds: float = 0
    memory_bytes: int = 0
    peak_bytes: int = 0
    cells: int = 0
    at: float = 0
    run: str = ""
    kernel: str = ""
    command: str = ""
    stream: str = ""
    text: str = ""
    error: str = ""
    reason: str = ""
    message: str = ""
    warnings: tuple[str, ...] = ()
    host: str = ""
    port: int = 0
    method: str = ""
    sent: int = 0
    received: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """The event log of a run (host path); `owner` is the lock file of the process that works on it, None when it is staged."""

    path: Path
    owner: Path | None


def find_log(run: str, store: Path, stage: Path) -> Log:
    """Return the log of a run that goes on with this store, was staged in `stage`, or lies in the folder `run` (host paths).

    "" stands for the only run that goes on. Raises UsageError.
    """
    begun = dict(_begun(store, run if is_run_id(run) else "*"))
    if run in begun:
        return begun[run]
    going = {name: log for name, log in begun.items() if log.owner is not None and _lives(log.owner)}
    if not run:
        if len(going) == 1:
            return next(iter(going.values()))
        raise UsageError(
            f"{len(going)} runs go on here" if going else "no run goes on here",
            hint=f"name one of them: {', '.join(sorted(going))}" if going else "name the folder of a result",
        )
    for folder in (Path(run), *([stage / run] if is_run_id(run) else [])):
        if (folder / EVENTS).is_file():
            return Log(folder / EVENTS, None)
    raise UsageError(
        f"{printable(run)} is no run that goes on here, and no staged result",
        hint="give the id that `reprolake run` told, with its --store or --stage, or the folder of a result",
    )


def _begun(store: Path, run: str) -> Iterator[tuple[str, Log]]:
    """Yield the runs of this store that are not staged yet, or never were, by id; `run` is one, or "*"."""
    for path in (store / "tmp").glob(f"*/*/{run}/{EVENTS}"):
        session = path.relative_to(store / "tmp").parts[0]
        yield path.parent.name, Log(path, store / "tmp" / f"{session}.lock")


def lines(log: Log, *, follow: bool) -> Iterator[bytes]:
    """Yield the lines of a log that are events; with `follow` wait for more until the run ended or its process is gone."""
    try:
        stream = open_plain(log.path)
    except OSError as error:
        raise UsageError(f"{log.path} cannot be read: {error.strerror}") from error
    with stream:
        begun = b""
        while True:
            is_last = not follow or log.owner is None or not _lives(log.owner)
            while piece := stream.readline(_LONGEST):
                begun += piece
                if begun.endswith(b"\n") or len(begun) >= _LONGEST:
                    if (event := _parsed(begun)) is not None:
                        yield begun
                        if event.event == _ENDED:
                            return
                    begun = b""
            if is_last:
                return
            time.sleep(_PAUSE)


def _lives(owner: Path) -> bool:
    """Whether the process that holds the lock is still there."""
    try:
        with owner.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _parsed(line: bytes) -> Event | None:
    """Return the event that a line is; None for one that is none, and so may hold anything that drives a terminal."""
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        return msgspec.json.decode(line, type=Event)
    return None


class Words:
    """Turns events into words; remembers which cell runs."""

    def __init__(self) -> None:
        self._cell: tuple[str, float] | None = None
        self._at = 0.0
        self._told = 0.0
        self._cpu = 0.0
        self.is_over = False

    def of(self, line: bytes) -> str:
        """Return the words for one event, "" for one that says nothing to people."""
        event = _parsed(line) or Event()
        said = event.text.splitlines() if event.event == "output" else [self._words(event)]
        words = [printable(one) for one in said if one]
        if not words:
            return ""
        self._told = self._at
        return "\n".join(f"{printable(event.time[11:19])}  {one}" for one in words)

    def _words(self, event: Event) -> str:
        match event.event:
            case "run-started":
                return f"run {event.run}{f' with the kernel {event.kernel}' if event.kernel else f': {event.command}'}"
            case "kernel-ready":
                return f"the kernel answered; {event.cells} code cells"
            case "cell-started":
                self._cell = (cell_name(event.index), self._at)
                return f"{cell_name(event.index)} runs"
            case "cell-ended":
                self._cell = None
                return _cell_ended(event)
            case "cell-checked":
                return _cell_checked(event)
            case "resources":
                return self._resources(event)
            case "ending":
                return f"being ended: {event.reason}"
            case "kernel-ended" | "command-ended":
                return f"the {event.event.partition('-')[0]} ended with status {event.status}"
            case "network-passed":
                what = event.problem or f"{size(event.sent)} out, {size(event.received)} in"
                return f"network: {event.method} {event.host}:{event.port}: {what}"
            case "network-refused":
                return f"network: refused {event.method} {event.host}:{event.port}: {event.reason}"
            case "output-cut":
                return f"more of {event.stream} is only in the result"
            case "log-cut":
                return "more happens than the log can hold; its next line is how the run ended"
            case "run-ended":
                self.is_over = True
                return f"{event.status}: {event.message}"
            case _:
                return ""

    def _resources(self, event: Event) -> str:
        """Tell of a cell that takes its time, now and then."""
        before, self._at = self._at, event.at
        busy = (event.cpu_seconds - self._cpu) / max(0.001, event.at - before)
        self._cpu = event.cpu_seconds
        if self._cell is None or event.at - self._told < _QUIET:
            return ""
        name, since = self._cell
        return f"{name} has run for {event.at - since:.0f} s, {busy:.1f} processors at work, {size(event.memory_bytes)}"


def _cell_checked(event: Event) -> str:
    """Return the words for a comparison of outputs that came to something worth telling."""
    if event.verdict in {"same", "not-saved"}:
        return ""
    return f"the outputs of {cell_name(event.index)}: {event.verdict}; {event.reason}"


def _cell_ended(event: Event) -> str:
    taken = (
        f" ({event.cpu_seconds:.1f} s of processors, {size(event.peak_bytes)})" if event.peak_bytes else ""
    )
    told = "; ".join(filter(None, (event.error, *event.warnings)))
    words = (
        f"{cell_name(event.index, event.execution_count)} {event.state} after {event.seconds:.1f} s{taken}"
    )
    return f"{words}: {told}" if told else words
