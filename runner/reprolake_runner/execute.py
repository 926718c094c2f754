"""Image + RunSpec → Execution: the notebook runs in the sandbox, and what happened is written down outside of it.

Three processes: the kernel, in the image's root file system; the driver, which speaks with it and keeps the notebook, in a
sandbox of its own; and this one, the supervisor, which starts and ends both and believes neither.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import os
import platform
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from reprolake_builder.documents.base import content_hash
from reprolake_builder.errors import BuildError
from reprolake_builder.image import REPOSITORY, Image
from reprolake_builder.progress import SILENT, Progress
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import Limits, Sandbox
from reprolake_builder.store import Store
from reprolake_runner.bounds import Bounds, held_limits
from reprolake_runner.documents.run import Resources, RunRecord, RunSpec
from reprolake_runner.errors import NotebookError
from reprolake_runner.kernelspec import choose
from reprolake_runner.languages import language_of
from reprolake_runner.notebook import Notebook, check_cwd, read_notebook
from reprolake_runner.placement import PARAMETERS_VARIABLE
from reprolake_runner.processes import RunFolder, Start, start
from reprolake_runner.record import Account, EventLog, Verdict
from reprolake_runner.supervise import Supervisor, Told

_PACKAGES = ("reprolake", "nbclient", "nbformat", "jupyter-client", "pyzmq")


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A RunSpec and its places on this host.

    `folder` is an empty host folder that only the caller can enter; everything the run leaves lies below it. `inputs`
    (host folder) appears read-only at /data. `env` is added to the image's environment. `id` names the run.
    `told` is given what cells print, as it comes.
    """

    spec: RunSpec
    id: str
    folder: Path
    inputs: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    bounds: Bounds = field(default_factory=Bounds)
    progress: Progress = SILENT
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """What a run left: its record, and host paths below the plan's folder.

    `notebook` is None when the driver never saved it. `repository` is the image's own copy, which did not change; `upper`
    holds what the run changed in it, `output` what it wrote to REPROLAKE_OUTPUT. Notebook, upper, output and log are
    untrusted.
    """

    record: RunRecord
    repository: Path
    notebook: Path | None
    output: Path
    upper: Path
    log: Path
    events: Path


@dataclass(frozen=True, slots=True)
class _Outcome:
    verdict: Verdict
    account: Account
    started: datetime
    ended: datetime
    seconds: dict[str, float]
    versions: dict[str, str]
    resources: Resources | None


def execute(image: Image, store: Store, plan: RunPlan, sandbox: Sandbox | None = None) -> Execution:
    """Return what became of the run, whatever that is: a notebook that fails is no error of this function.

    Call it in the main thread: while it runs, SIGINT, SIGTERM and SIGHUP end the run and keep what there is.
    Raises SandboxError, NotebookError when the notebook is not the one of the spec or the image lacks its kernel, and
    BuildError when the image is not whole in the store.
    """
    sandbox = sandbox or Bubblewrap()
    trees = _trees(image, store)
    repository = _repository(image, trees)
    notebook = read_notebook(repository, plan.spec.notebook, plan.spec.kernel, plan.spec.language)
    check_cwd(repository, plan.spec.cwd)
    if notebook.sha256 != plan.spec.notebook_sha256:
        raise NotebookError(
            f"{plan.spec.notebook} in the image has the SHA-256 {notebook.sha256}, the run was made for another",
            hint="start again from the image",
        )
    limits = _with_disk(plan.limits, plan.bounds)
    times = {"timeout": plan.spec.timeout, "execution_timeout": plan.spec.execution_timeout}
    held = held_limits(limits, plan.bounds, times, sandbox)
    kernel = choose(trees, notebook.kernel, "" if plan.spec.kernel else notebook.language)
    if kernel.name != notebook.kernel.lower():
        plan.progress.note(
            f"the notebook names the kernel {notebook.kernel}, which the image does not have: {kernel.name} runs it"
        )
    given = Start(
        spec=plan.spec,
        run=RunFolder(plan.folder),
        trees=trees,
        repository=repository,
        kernel=kernel,
        env={**image.env, **plan.env},
        inputs=plan.inputs,
        limits=limits,
        bounds=plan.bounds,
        told=plan.told,
    )
    if plan.spec.parameters.parameters and language_of(plan.spec.language or kernel.language) is None:
        plan.progress.warn(
            f"parameters are not set in a notebook in {kernel.language}: it has to read the JSON file that {PARAMETERS_VARIABLE} names"
        )
    given.run.make()
    events = EventLog(given.run.events)
    try:
        outcome = _run(given, notebook, sandbox, events, plan)
    finally:
        events.close()
    return Execution(
        record=msgspec.structs.replace(_record(plan, given, outcome, sandbox), limits=held),
        repository=repository,
        notebook=given.run.executed if _is_file(given.run.executed) else None,
        output=given.run.output,
        upper=given.view.written,
        log=given.run.log,
        events=given.run.events,
    )


def _run(given: Start, notebook: Notebook, sandbox: Sandbox, events: EventLog, plan: RunPlan) -> _Outcome:
    started, begun = datetime.now(UTC), time.monotonic()
    account = Account(expected=len(notebook.code))
    events.write("run-started", run=plan.id, kernel=given.kernel.name, spec=msgspec.to_builtins(plan.spec))
    with (
        plan.progress.step("Running the notebook", account.expected) as step,
        contextlib.ExitStack() as stack,
    ):
        supervisor = Supervisor(start(given, sandbox, stack), account, events, step)
        up = time.monotonic()
        events.write("processes-started", sandbox=dict(sandbox.promises()))
        versions = {
            name: importlib.metadata.version(name) for name in _PACKAGES
        }  # while the kernel is being imported
        supervisor.run()
    verdict = _proven(account, given.run.executed)
    ended, end = datetime.now(UTC), time.monotonic()
    events.write("run-ended", status=verdict.status, exit_code=verdict.exit_code, message=verdict.message)
    marks = {"start": up, **supervisor.times, "end": end}
    seconds = {"total": round(end - begun, 4)}
    for name, mark in marks.items():
        seconds[name] = round(mark - begun, 4)
        begun = mark
    return _Outcome(verdict, account, started, ended, seconds, versions, supervisor.meter.resources())


def _with_disk(limits: Limits, bounds: Bounds) -> Limits:
    """Return the limits with no file allowed to be larger than all that may be written."""
    if bounds.disk_bytes is None:
        return limits
    return dataclasses.replace(limits, file_bytes=min(limits.file_bytes, bounds.disk_bytes))


def _proven(account: Account, executed: Path) -> Verdict:
    """Return the verdict; a success also needs the notebook on disk to be the one that the driver reported."""
    verdict = account.verdict()
    if verdict.status == "succeeded" and (not _is_file(executed) or _sha256(executed) != account.saved):
        return Verdict("broken", "the executed notebook is not the one that the driver reported")
    return verdict


def _record(plan: RunPlan, given: Start, outcome: _Outcome, sandbox: Sandbox) -> RunRecord:
    ready = outcome.account.ready
    return RunRecord(
        id=plan.id,
        key=content_hash(plan.spec),
        status=outcome.verdict.status,
        exit_code=outcome.verdict.exit_code,
        message=outcome.verdict.message,
        started=outcome.started,
        ended=outcome.ended,
        spec=plan.spec,
        kernel=given.kernel.name,
        kernel_info=ready.info if ready else {},
        cells=tuple(cell for _, cell in sorted(outcome.account.cells.items())),
        warnings=tuple(outcome.account.warnings),
        resources=outcome.resources,
        sandbox=dict(sandbox.promises()),
        host={"system": f"{platform.system()} {platform.release()}", "machine": platform.machine()},
        versions=outcome.versions,
        seconds=outcome.seconds,
    )


def _trees(image: Image, store: Store) -> tuple[Path, ...]:
    found = []
    for key in image.trees:
        tree = store.tree(key)
        if tree is None:
            raise BuildError(
                f"the store {store.root} lacks the tree {key[:12]} of the image {image.id}",
                hint="build the image again: what is still there is used",
            )
        found.append(tree.root)
    return tuple(found)


def _repository(image: Image, trees: tuple[Path, ...]) -> Path:
    for tree in reversed(trees):
        folder = tree / REPOSITORY.strip("/")
        if folder.is_dir() and not folder.is_symlink():
            return folder
    raise BuildError(f"the image {image.id} holds no repository at {REPOSITORY}")


def _is_file(path: Path) -> bool:
    """Whether there is a plain file; the driver's folder is not ours."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
