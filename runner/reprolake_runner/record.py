"""The truth about a run: an event log that only the supervisor writes, and the verdict that follows from it.

The driver's word is taken for what happened in a cell, never for how the run ended: a success needs every code cell reported
as done, the kernel seen alive after the last one, the notebook saved as reported, and a driver that ended well.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from reprolake_builder.plain_files import open_plain
from reprolake_builder.process import one_line, printable
from reprolake_runner.documents.run import CellRecord, OutputCheck, Status, cell_name
from reprolake_runner.driver.protocol import SHELL_LINE, CellEnded, Failed, KernelReady
from reprolake_runner.meter import CellUse

EXIT_CODES: Mapping[Status, int] = {
    "succeeded": 0,
    "not-reproduced": 3,
    "failed": 1,
    "timed-out": 24,
    "kernel-died": 25,
    "limit-exceeded": 26,
    "stopped": 143,
    "broken": 70,
}
_GIVEN_UP: Mapping[str, Status] = {
    "timed-out": "timed-out",
    "limit-exceeded": "limit-exceeded",
    "broken": "broken",
}
_LOG_LIMIT = 64 << 20
_MESSAGE = 1000
_WARNINGS = 25
_MOST_WARNINGS = 1000
_RAN = {"succeeded", "allowed-failure"}
_DONE = {*_RAN, "skipped"}


class EventLog:
    """Appends events to a new file (host path), a JSON object per line, each with its time in UTC."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._left = _LOG_LIMIT

    def write(self, event: str, **facts: Any) -> None:
        """Append one event; the first beyond the limit becomes "log-cut", and nothing but the run's end comes after that."""
        if self._left < 0:
            return
        line = _line_of(event, facts)
        self._left -= len(line)
        os.write(self._descriptor, line if self._left >= 0 else _line_of("log-cut", {}))

    def end(self, verdict: Verdict) -> None:
        """Append how the run ended: whoever follows it waits for that."""
        facts = {"status": verdict.status, "exit_code": verdict.exit_code, "message": verdict.message}
        os.write(self._descriptor, _line_of("run-ended", facts))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _line_of(event: str, facts: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({"time": datetime.now(UTC), "event": event, **facts}) + b"\n"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ended, in one word and in one sentence."""

    status: Status
    message: str

    @property
    def exit_code(self) -> int:
        """The command's exit code."""
        return EXIT_CODES[self.status]


@dataclass(slots=True)
class Account:
    """What is known about a run so far. `expected` is the least number of code cells that the notebook has,
    `saved` the SHA-256 of the notebook as the driver reported it at its end; `is_checked` says that its outputs are to be compared.
    `running` is the index of the cell that runs, None when none does.
    """

    expected: int
    ready: KernelReady | None = None
    cells: dict[int, CellRecord] = field(default_factory=dict)
    running: int | None = None
    alive_at_end: bool = False
    driver_status: int | None = None
    failed: Failed | None = None
    saved: str = ""
    ended: Verdict | None = None
    warnings: list[str] = field(default_factory=list)
    is_checked: bool = False
    checks: dict[int, OutputCheck] = field(default_factory=dict)

    def begin(self, ready: KernelReady) -> None:
        """Note that the kernel answered, and which cells there are."""
        self.ready = ready
        self.cells = {
            index: CellRecord(index=index, state="pending", injected=index == ready.injected)
            for index in ready.cells
        }

    def start(self, index: int, begun: float | None = None) -> bool:
        """Note that a cell runs, `begun` seconds after the run did; False when the driver cannot mean it."""
        known = self.cells.get(index)
        if known is None or known.state != "pending" or self.running is not None:
            return False
        self.cells[index] = msgspec.structs.replace(known, state="running", begun=begun)
        self.running = index
        return True

    def end(self, event: CellEnded, use: CellUse | None = None) -> bool:
        """Note what became of a cell, and what it took; False when the driver cannot mean it."""
        known = self.cells.get(event.index)
        if known is None or known.state != ("pending" if event.state == "skipped" else "running"):
            return False
        if known.state == "running":
            self.running = None
        self.cells[event.index] = msgspec.structs.replace(
            known,
            state=event.state,
            seconds=event.seconds,
            error=printable(event.error)[:_MESSAGE],
            execution_count=event.execution_count,
            line=event.line,
            skipped=event.skipped,
            cpu_seconds=use.cpu_seconds if use else None,
            peak_bytes=use.peak_bytes if use else None,
        )
        for warning in event.warnings[:_WARNINGS]:
            self._warn(f"{self.cells[event.index].name}: {printable(warning)[:_MESSAGE]}")
        return True

    def _warn(self, warning: str) -> None:
        """Keep a warning about a cell, as long as there are not too many."""
        if len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(warning)
        elif len(self.warnings) == _MOST_WARNINGS:
            self.warnings.append("later cells gave more warnings: only the event log has them")

    def check(self, check: OutputCheck) -> bool:
        """Note what a comparison of outputs came to; False when the driver cannot mean it."""
        known = self.cells.get(check.index)
        if not self.is_checked or known is None or known.state not in _RAN or check.index in self.checks:
            return False
        reason = one_line(check.reason)[:_MESSAGE]
        self.checks[check.index] = msgspec.structs.replace(check, reason=reason)
        return True

    @property
    def is_to_be_located(self) -> bool:
        """Whether there is a cell of which the line would be of interest."""
        return self._where() is not None

    def locate(self, line: int | None) -> None:
        """Note the line at which the cell is that runs, or that was ended because its time was up."""
        if line is not None and (cell := self._where()) is not None:
            self.cells[cell.index] = msgspec.structs.replace(cell, line=line)

    def _where(self) -> CellRecord | None:
        wanted = "failed" if self.failed is not None and self.running is None else "running"
        return next(
            (cell for cell in self.cells.values() if cell.state == wanted and cell.line is None), None
        )

    @property
    def all_done(self) -> bool:
        """Whether every code cell was reported to have run as it should."""
        complete = self.ready is not None and len(self.cells) >= self.expected
        return complete and all(cell.state in _DONE for cell in self.cells.values())

    @property
    def place(self) -> str:
        """Where the run is, for messages."""
        if self.ready is None:
            return "before the kernel answered"
        running = self.running
        if running is not None:
            return f"in {cell_name(running)}{_line(self.cells[running])}"
        return (
            "before the first cell"
            if all(c.state == "pending" for c in self.cells.values())
            else "between cells"
        )

    def give_up(self, failed: Failed) -> None:
        """Note that the driver gives up; a cell that it takes back has failed."""
        self.failed = failed
        known = self.cells.get(failed.index) if failed.index is not None else None
        if known is not None and failed.reason == "belied":
            error = printable(failed.message)[:_MESSAGE]
            self.running = self.running if self.running != known.index else None
            self.cells[known.index] = msgspec.structs.replace(known, state="failed", error=error)

    def verdict(self) -> Verdict:
        """Return how the run ended; whatever is not proven to be a success is none."""
        if self.ended is not None:
            return self.ended
        if self.failed is not None and self.failed.reason != "belied":
            return self._given_up(self.failed)
        bad = next((cell for cell in self.cells.values() if cell.state == "failed"), None)
        if bad is not None:
            after = ", after the kernel had said that it was done" if self.failed is not None else ""
            return Verdict("failed", f"{bad.name} {_how(bad.error)}{after}")
        if self.driver_status != 0:
            return Verdict("broken", f"the driver ended with status {self.driver_status} {self.place}")
        if not self.all_done or not self.saved:
            return Verdict("broken", f"the driver ended {self.place} without having run everything")
        if not self.alive_at_end:
            return Verdict("kernel-died", "the kernel was gone after the last cell")
        ran = self._what_ran()
        return self._reproduced(ran) if self.is_checked else Verdict("succeeded", ran)

    def _what_ran(self) -> str:
        """Return how many of the notebook's own cells ran, and who ended it when one did; those without code do not count."""
        own = [cell for cell in self.cells.values() if cell.counts]
        ran = sum(cell.state in _RAN for cell in own)
        if any(cell.skipped == "after-exit" for cell in own):
            last = max(
                (cell for cell in self.cells.values() if cell.state in _RAN), key=lambda cell: cell.index
            )
            return f"{last.name} ended the notebook; {ran} of {len(own)} code cells ran"
        if (skipped := len(own) - ran) > 0:
            was = "was" if skipped == 1 else "were"
            return f"{ran} of {len(own)} code cells ran, {skipped} {was} skipped"
        return f"all {ran} code cells ran" if ran > 1 else f"{ran or 'no'} code cell ran"

    def _reproduced(self, ran: str) -> Verdict:
        """Return the verdict on a run that went well, from the comparison of its outputs."""
        differing = [check for check in self.checks.values() if check.verdict == "differs"]
        if differing:
            first = min(differing, key=lambda check: check.index)
            name = self.cells[first.index].name
            more = f"; so do those of {len(differing) - 1} more" if len(differing) > 1 else ""
            return Verdict("not-reproduced", f"{ran}, and the outputs of {name} differ: {first.reason}{more}")
        if any(cell.state in _RAN and cell.index not in self.checks for cell in self.cells.values()):
            return Verdict("broken", f"{ran}, and the driver did not compare all outputs")
        return Verdict("succeeded", f"{ran}, and put out what the notebook was saved with")

    def _given_up(self, failed: Failed) -> Verdict:
        status = _GIVEN_UP.get(failed.reason, "kernel-died")
        ended = next((cell for cell in self.cells.values() if cell.state == "failed"), None)
        where = f", {self.place}" if status != "timed-out" else _line(ended) if ended else ""
        return Verdict(status, printable(failed.message)[:_MESSAGE] + where)


def proven(account: Account, executed: Path) -> Verdict:
    """Return the verdict; where all cells ran, it needs the notebook that the driver left (host path) to be the one it reported."""
    verdict = account.verdict()
    if verdict.status in {"succeeded", "not-reproduced"} and _sha256(executed) != account.saved:
        return Verdict("broken", "the executed notebook is not the one that the driver reported")
    return verdict


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a plain file, "" where there is none; the driver's folder is not ours."""
    try:
        with open_plain(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _how(error: str) -> str:
    """Return what a cell did that failed, for a sentence: it raised something, or one of its shell lines failed."""
    return f"failed: {error}" if error.startswith(SHELL_LINE) else f"raised {error or 'an error'}"


def _line(cell: CellRecord) -> str:
    return f", line {cell.line}" if cell.line is not None else ""


def died(status: int, place: str, last_words: str) -> Verdict:
    """Return the verdict on a kernel whose process ended with `status` when nobody had asked it to."""
    if status > 128:
        how = f"was killed by signal {status - 128}"
        why = ", perhaps because memory ran out" if status == 128 + signal.SIGKILL else ""
    else:
        how, why = f"ended by itself with status {status}", ""
    said = f"; its last words: {last_words}" if last_words else ""
    return Verdict("kernel-died", f"the kernel {how} {place}{why}{said}")
