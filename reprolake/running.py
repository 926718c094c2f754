"""What every run takes and leaves, of a notebook or of a command: from what was asked to a plan, from an execution to a result."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from reprolake.isolation import Isolated, Isolation, isolated
from reprolake.limits import RunLimits, run_limits, with_room
from reprolake.pipeline import Session
from reprolake.prepared_roots import with_root
from reprolake.reach import network_of
from reprolake_builder.image import Image
from reprolake_runner.documents.run import AddedFile
from reprolake_runner.network import Network
from reprolake_runner.plan import Execution, RunPlan, S
from reprolake_runner.stage_in import StagedInputs
from reprolake_runner.stage_out import Outcome, Staging, stage_out
from reprolake_runner.staged import StagedResult, new_run_id
from reprolake_runner.supervise import Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the user asked of a run beside what is to run. `basket` is a host path.

    `limits` are amounts of limits by their setting; `allow_weaker` goes on where this host cannot hold one as promised.
    `cwd` is relative to the folder of the repository that holds environment and notebooks. `add` are host paths of files to bring
    along; `told` is given what is printed.
    """

    basket: Path | None
    lifetime: timedelta | None
    limits: Mapping[str, str]
    allow_weaker: bool = False
    cwd: str = ""
    add: tuple[Path, ...] = ()
    told: Told | None = None
    isolation: Isolation = field(default_factory=Isolation)


@dataclass(frozen=True, slots=True)
class Granted:
    """What a run gets at this site."""

    limits: RunLimits
    chosen: Isolated
    network: Network

    def on(self, image: Image, asked: Asked, session: Session) -> Granted:
        """Return the same with the root to run the image in. Raises UsageError and SandboxError."""
        return replace(self, chosen=with_root(self.chosen, asked.isolation.root, image, session))


@dataclass(frozen=True, slots=True)
class Ready:
    """What lies ready for the run of that id in `scratch`, a host folder for it alone; `stage` is where its result will be staged."""

    id: str
    scratch: Path
    stage: Path
    inputs: StagedInputs
    added: tuple[AddedFile, ...]


def granted(asked: Asked, session: Session) -> Granted:
    """Return what a run gets, before anything is made for it. Raises UsageError and SandboxError."""
    return Granted(
        limits=run_limits(session.options.settings, asked.limits, weaker=asked.allow_weaker),
        chosen=isolated(asked.isolation, session.options),
        network=network_of(asked.isolation.network, session.options, session.tools.progress),
    )


@contextlib.contextmanager
def scratch(session: Session) -> Iterator[Path]:
    """Yield a host folder that nobody else can enter, and that is gone afterwards."""
    with session.tools.store.scratch() as folder:
        folder.chmod(0o700)
        yield folder


def ready(
    folder: Path, stage: Path | None, inputs: StagedInputs, added: tuple[AddedFile, ...], session: Session
) -> Ready:
    """Return what lies ready in a scratch folder, and tell the name of the run."""
    run = new_run_id()
    (folder / run).mkdir(mode=0o700)
    session.tools.progress.note(f"run {run}; `reprolake logs -f {run}` follows it")
    return Ready(run, folder, stage or folder, inputs, added)


def plan_of(spec: S, asked: Asked, site: Granted, made: Ready, session: Session) -> RunPlan[S]:
    """Return the plan of a run whose spec is made of the rest."""
    return RunPlan(
        spec=spec,
        id=made.id,
        folder=made.scratch / made.id,
        inputs=made.inputs.folder,
        env=made.inputs.env,
        limits=site.limits.limits,
        bounds=with_room(site.limits.bounds, made.scratch, made.stage),
        progress=session.tools.progress,
        told=asked.told,
        added=made.scratch / "added" if made.added else None,
        root=site.chosen.root,
        isolation=site.chosen.facts,
        gpus=asked.isolation.gpus,
        network=site.network,
    )


def kept(execution: Execution, made: Ready, image: Image, lifetime: timedelta | None) -> StagedResult:
    """Return the staged result of an execution. Raises StageOutError."""
    outcome = Outcome(
        record=execution.record,
        repository=execution.repository,
        notebook=execution.notebook,
        output=execution.output,
        upper=execution.upper,
        printed=execution.printed,
        events=execution.events,
        basket=made.inputs.folder / "basket.json",
        annotations=image.annotations,
    )
    return stage_out(outcome, Staging(made.stage, lifetime))
