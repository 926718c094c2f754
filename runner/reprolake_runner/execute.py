"""Image + RunSpec → Execution: the notebook runs in the sandbox, and what happened is written down outside of it.

Three processes: the kernel, in the image's root file system; the driver, which speaks with it and keeps the notebook, in a
sandbox of its own; and this one, the supervisor, which starts and ends both and believes neither.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import stat
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from reprolake_builder.image import Image
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import Sandbox
from reprolake_builder.store import Store
from reprolake_runner.added import bring
from reprolake_runner.documents.run import RunSpec
from reprolake_runner.errors import NotebookError
from reprolake_runner.grounds import grounds_of
from reprolake_runner.inside import entry_of
from reprolake_runner.kernelspec import Kernel, choose
from reprolake_runner.languages import language_of
from reprolake_runner.network import promised
from reprolake_runner.notebook import Notebook, read_notebook
from reprolake_runner.placement import PARAMETERS_VARIABLE
from reprolake_runner.plan import Course, Ending, Execution, RunPlan, record_of
from reprolake_runner.processes import RunFolder, Start, kernel_spec, start
from reprolake_runner.record import Account, EventLog, Verdict, proven
from reprolake_runner.supervise import Supervisor

_PACKAGES = ("reprolake", "nbclient", "nbformat", "jupyter-client", "pyzmq")


def execute(image: Image, store: Store, plan: RunPlan[RunSpec], sandbox: Sandbox | None = None) -> Execution:
    """Return what became of the run, whatever that is: a notebook that fails is no error of this function.

    Call it in the main thread: while it runs, SIGINT, SIGTERM and SIGHUP end the run and keep what there is.
    Raises SandboxError, NotebookError when the notebook is not the one of the spec or the image lacks its kernel, and
    BuildError when the image is not whole in the store.
    """
    sandbox = sandbox or Bubblewrap()
    ground = grounds_of(image, store, plan, sandbox)
    notebook = read_notebook(ground.repository, plan.spec.notebook, plan.spec.kernel, plan.spec.language)
    if notebook.sha256 != plan.spec.notebook_sha256:
        raise NotebookError(
            f"{plan.spec.notebook} in the image has the SHA-256 {notebook.sha256}, the run was made for another",
            hint="start again from the image",
        )
    given = Start(
        spec=plan.spec,
        run=RunFolder(plan.folder),
        root=ground.root,
        repository=ground.repository,
        kernel=_kernel(ground.root.trees, notebook, plan, image),
        env={**image.env, **plan.env},
        inputs=plan.inputs,
        limits=ground.limits,
        bounds=plan.bounds,
        gpus=plan.gpus,
        told=plan.told,
        network=plan.network,
        entry=entry_of(image),
    )
    given.run.make()
    bring(plan.added, given.view)
    events = EventLog(given.run.events)
    try:
        ending, account = _run(given, notebook, sandbox, events, plan)
    finally:
        events.close()
    return Execution(
        record=msgspec.structs.replace(
            record_of(plan, ending, sandbox, ground.held),
            kernel=given.kernel.name,
            transport=given.transport,
            kernel_info=account.ready.info if account.ready else {},
            cells=tuple(cell for _, cell in sorted(account.cells.items())),
            checks=tuple(check for _, check in sorted(account.checks.items())),
        ),
        repository=ground.repository,
        notebook=given.run.executed if _is_file(given.run.executed) else None,
        output=given.run.output,
        upper=given.view.written,
        printed={"log.txt": given.run.log},
        events=given.run.events,
    )


def _kernel(trees: tuple[Path, ...], notebook: Notebook, plan: RunPlan[RunSpec], image: Image) -> Kernel:
    """Return the kernel that runs the notebook, and say what is not as one would expect."""
    kernel = choose(trees, notebook.kernel, "" if plan.spec.kernel else notebook.language, image.env)
    if notebook.kernel and kernel.name.lower() != notebook.kernel.lower():
        said = f"the notebook names the kernel {notebook.kernel}, which the image does not have: {kernel.name} runs it"
        if language_of(notebook.dialect) is language_of(kernel.dialect):
            plan.progress.note(said)
        else:  # not only another name
            plan.progress.warn(f"{said}, and not the Python that it was written in")
    language = plan.spec.language or kernel.language
    if plan.spec.parameters.parameters and language_of(language) is None:
        plan.progress.warn(
            f"parameters are not set in a notebook in {language}: it has to read the JSON file that {PARAMETERS_VARIABLE} names"
        )
    return kernel


def _run(
    given: Start, notebook: Notebook, sandbox: Sandbox, events: EventLog, plan: RunPlan[RunSpec]
) -> tuple[Ending, Account]:
    course = Course()
    account = Account(expected=len(notebook.code), is_checked=plan.spec.check is not None)
    events.write("run-started", run=plan.id, kernel=given.kernel.name, spec=msgspec.to_builtins(plan.spec))
    sandbox.prepare(kernel_spec(given), plan.progress)
    course.over(loading=time.monotonic())
    with (
        plan.progress.step("Running the notebook", account.expected) as step,
        contextlib.ExitStack() as stack,
    ):
        supervisor = Supervisor(start(given, sandbox, stack), account, events, step)
        course.over(start=time.monotonic())
        events.write("processes-started", sandbox=promised(sandbox, plan.network))
        versions = {
            name: importlib.metadata.version(name) for name in _PACKAGES
        }  # while the kernel is being imported
        supervisor.run()
    verdict = _hinted(proven(account, given.run.executed), account, given)
    course.over(**supervisor.times, end=time.monotonic())
    events.end(verdict)
    ending = Ending(
        verdict=verdict,
        span=(course.started, datetime.now(UTC)),
        seconds=course.seconds,
        versions=versions,
        resources=supervisor.meter.resources(),
        warnings=tuple(account.warnings),
        network=supervisor.network,
    )
    return ending, account


def _hinted(verdict: Verdict, account: Account, given: Start) -> Verdict:
    """Return the verdict with what may help a kernel that never answered."""
    never = verdict.status == "kernel-died" and account.ready is None
    if not never or given.transport == "tcp" or given.kernel.is_ipykernel:
        return verdict
    return replace(
        verdict,
        message=f"{verdict.message}; a kernel that speaks nothing but TCP needs --kernel-transport tcp",
    )


def _is_file(path: Path) -> bool:
    """Whether there is a plain file; the driver's folder is not ours."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
