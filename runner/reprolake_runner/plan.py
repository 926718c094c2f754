"""RunPlan and Execution: what is to be executed and where on this host, and what it left, whether a notebook or a command."""

from __future__ import annotations

import itertools
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from reprolake_builder.documents.base import content_hash
from reprolake_builder.network.traffic import NetworkRecord
from reprolake_builder.progress import SILENT, Progress
from reprolake_builder.sandboxes.interface import ImageRoot, Limits, Sandbox
from reprolake_runner.bounds import Bounds
from reprolake_runner.documents.run import CommandSpec, LimitRecord, Resources, RunRecord, RunSpec
from reprolake_runner.network import Network, promised
from reprolake_runner.record import Verdict
from reprolake_runner.supervise import Told

S = TypeVar("S", RunSpec, CommandSpec)


@dataclass(frozen=True, slots=True)
class RunPlan(Generic[S]):
    """What is to run, and its places on this host.

    `folder` is an empty host folder that only the caller can enter; everything the run leaves lies below it. `inputs`
    (host folder) appears read-only at /data. `env` is added to the image's environment. `id` names the run.
    `told` is given what cells or the command print, as it comes. What lies below `added` (host folder) is in the repository, too.
    `root` is what to run in, in place of the image as the store has it. `isolation` are facts for the record about the choice of the sandbox; `gpus` are those of SandboxSpec. `network` is what the
    spec's says, with what it takes at this site.
    """

    spec: S
    id: str
    folder: Path
    inputs: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    bounds: Bounds = field(default_factory=Bounds)
    progress: Progress = SILENT
    told: Told | None = None
    added: Path | None = None
    root: ImageRoot | None = None
    isolation: Mapping[str, str] = field(default_factory=dict)
    gpus: str = ""
    network: Network = field(default_factory=Network)


@dataclass(frozen=True, slots=True)
class Execution:
    """What a run left: its record, and host paths below the plan's folder.

    `notebook` is None when the driver never saved it, or there is none. `repository` is the image's own copy, which did not
    change; `upper` holds what the run changed in it, `output` what it wrote to REPROLAKE_OUTPUT. `printed` are files with what
    processes printed, by their name in a result. Notebook, upper, output and what was printed are untrusted.
    """

    record: RunRecord
    repository: Path
    notebook: Path | None
    output: Path
    upper: Path
    printed: Mapping[str, Path]
    events: Path


class Course:
    """When a run began (UTC, and as monotonic seconds), and when each of its parts was over."""

    def __init__(self) -> None:
        self.started, self.begun = datetime.now(UTC), time.monotonic()
        self._parts: dict[str, float] = {}

    def over(self, **parts: float) -> None:
        """Note when parts were over (monotonic seconds), in their order."""
        self._parts |= parts

    @property
    def seconds(self) -> dict[str, float]:
        """How long all parts took, and each of them; the last one was over at the run's end."""
        marks = [self.begun, *self._parts.values()]
        taken = {
            name: round(after - before, 4)
            for name, (before, after) in zip(self._parts, itertools.pairwise(marks), strict=True)
        }
        return {"total": round(marks[-1] - self.begun, 4), **taken}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended, and what it took: `span` is from when to when (UTC), `seconds` how long each part took."""

    verdict: Verdict
    span: tuple[datetime, datetime]
    seconds: dict[str, float]
    versions: dict[str, str]
    resources: Resources | None
    warnings: tuple[str, ...]
    network: NetworkRecord | None


def record_of(
    plan: RunPlan[RunSpec] | RunPlan[CommandSpec],
    ending: Ending,
    sandbox: Sandbox,
    held: tuple[LimitRecord, ...],
) -> RunRecord:
    """Return the record of a run, without what only a notebook or only a command has."""
    return RunRecord(
        id=plan.id,
        key=content_hash(plan.spec),
        status=ending.verdict.status,
        exit_code=ending.verdict.exit_code,
        message=ending.verdict.message,
        started=ending.span[0],
        ended=ending.span[1],
        spec=plan.spec,
        warnings=ending.warnings,
        limits=held,
        resources=ending.resources,
        sandbox={**promised(sandbox, plan.network), **plan.isolation},
        network=ending.network or NetworkRecord(policy="none"),
        host={"system": f"{platform.system()} {platform.release()}", "machine": platform.machine()},
        versions=ending.versions,
        seconds=ending.seconds,
    )
