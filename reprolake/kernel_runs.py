"""What a kernel that papermill or Jupyter asked for may take, and what it leaves: the limits of a whole run, and files with a record."""

from __future__ import annotations

import contextlib
import importlib.metadata
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace as replace_in

from reprolake_runner.bounds import Bounds
from reprolake_runner.documents.run import CommandSpec, LimitRecord
from reprolake_runner.plan import Ending, RunPlan, record_of
from reprolake_runner.record import Verdict
from reprolake_runner.stage_out import Outcome, Staging, stage_out
from reprolake_runner.watchdog import Watchdog, guarded

if TYPE_CHECKING:
    from reprolake_builder.sandboxes.interface import CopyOnWrite, Running, Sandbox
    from reprolake_runner.staged import StagedResult

_BESIDE = Bounds(disk_bytes=16 << 20, free_bytes=0, stall_seconds=None)
"""What lies beside a kernel's sockets, on a disk that is not the run's and may be small: a file of the connection, no more."""


@dataclass(frozen=True, slots=True)
class KernelRun:
    """A kernel of an image on its way: host paths of what it may write to, and what its record will hold.

    `sockets` is the folder that it makes its sockets in; `kernel` is its name; `annotations` are the image's.
    """

    plan: RunPlan[CommandSpec]
    kernel: str
    repository: Path
    view: CopyOnWrite
    output: Path
    sockets: Path
    sandbox: Sandbox
    held: tuple[LimitRecord, ...]
    annotations: Mapping[str, str]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def stage(self, folder: Path, verdict: Verdict) -> StagedResult:
        """Return what the kernel wrote, staged below `folder` (host path) with the record of its run. Raises StageOutError."""
        versions = {"reprolake": importlib.metadata.version("reprolake")}
        span = (self.started, datetime.now(UTC))
        ending = Ending(verdict, span, {}, versions, None, (), None)
        record = replace_in(record_of(self.plan, ending, self.sandbox, self.held), kernel=self.kernel)
        outcome = Outcome(
            record=record,
            repository=self.repository,
            output=self.output,
            upper=self.view.written,
            annotations=self.annotations,
        )
        return stage_out(outcome, Staging(folder, lifetime=None))


class KernelWatch:
    """Looks at a running kernel for the limits that nothing else holds."""

    def __init__(self, run: KernelRun, running: Running) -> None:
        plan = run.plan
        # what the kernel says goes to its client: whether it stalls is not for us to see
        bounds = replace(plan.bounds, stall_seconds=None)
        written = guarded((run.output,), run.view, plan.limits, bounds, run.sandbox)
        self._watchdog = Watchdog(running, written)
        self._sockets = Watchdog(running, guarded((run.sockets,), None, plan.limits, _BESIDE, run.sandbox))
        self._running = running
        self._timeout = plan.spec.timeout
        self._begun = time.monotonic()

    def look(self) -> Verdict | None:
        """Return why the kernel has to end now, None when it may go on."""
        if self._timeout is not None and time.monotonic() > self._begun + self._timeout:
            return Verdict("timed-out", f"the run took longer than {self._timeout:g} s")
        return self._watchdog.look(self._running.usage()) or self._sockets.look(None)


@dataclass(slots=True)
class Left:
    """What a kernel left when its client was done with it: nothing yet, or its run and what holds the files.

    `verdict` says why it was ended, None when nobody had to.
    """

    run: KernelRun | None = None
    verdict: Verdict | None = None
    belongings: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def take(self, run: KernelRun, verdict: Verdict | None, belongings: contextlib.ExitStack) -> None:
        """Keep a kernel's files in place of one that was there before."""
        self.belongings.close()
        self.run, self.verdict, self.belongings = run, verdict, belongings
