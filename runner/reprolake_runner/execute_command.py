"""Image + CommandSpec → Execution: any program of the image, in the sandbox that notebooks run in.

Two processes: the command, and this one, the supervisor, which starts and ends it. What the command leaves behind when it
ends is ended with it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from reprolake_builder.image import REPOSITORY, Image
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import CopyOnWrite, Sandbox, SandboxSpec
from reprolake_builder.store import Store
from reprolake_runner.added import bring
from reprolake_runner.bounds import held_limits, with_disk
from reprolake_runner.documents.run import CommandSpec
from reprolake_runner.inside import Places, Program, entry_of, inside, repository_of, root_of, trees_of
from reprolake_runner.network import opened, promised, served
from reprolake_runner.notebook import check_cwd
from reprolake_runner.plan import Ending, Execution, RunPlan, record_of
from reprolake_runner.record import EventLog
from reprolake_runner.relay import Relay
from reprolake_runner.supervise import Pipe
from reprolake_runner.supervise_command import CommandSupervisor, CommandWatch
from reprolake_runner.watchdog import guarded


@dataclass(frozen=True, slots=True)
class _Folders:
    """Where a command's run keeps what on this host."""

    output: Path
    changes: Path
    stdout: Path
    stderr: Path
    events: Path

    @classmethod
    def made(cls, folder: Path) -> _Folders:
        """Make them."""
        found = cls(*(folder / name for name in ("output", "repository", "stdout", "stderr", "events.jsonl")))
        for below in (found.output, found.changes):
            below.mkdir(mode=0o700)
        for log in (found.stdout, found.stderr):
            log.touch(0o600)
        return found


@dataclass(frozen=True, slots=True)
class _Given:
    plan: RunPlan[CommandSpec]
    places: Places
    program: Program
    folders: _Folders
    relay: Relay | None


def execute_command(
    image: Image,
    store: Store,
    plan: RunPlan[CommandSpec],
    sandbox: Sandbox | None = None,
    relay: Relay | None = None,
) -> Execution:
    """Return what became of the run, whatever that is: a command that fails is no error of this function.

    The command runs in a terminal when there is a `relay`, else it has nothing to read. Call it in the main thread: while it
    runs, SIGINT, SIGTERM and SIGHUP are passed on to the command and end the run; what there is is kept.
    Raises SandboxError, NotebookError for a working folder that the repository does not have, and BuildError when the image is
    not whole in the store.
    """
    sandbox = sandbox or Bubblewrap()
    root = plan.root or root_of(image, store)
    repository = repository_of(image, trees_of(image, store))
    check_cwd(repository, plan.spec.cwd)
    limits = with_disk(plan.limits, plan.bounds)
    held = held_limits(limits, plan.bounds, {"timeout": plan.spec.timeout}, sandbox)
    folders = _Folders.made(plan.folder)
    given = _Given(
        plan=plan,
        places=Places(
            root,
            CopyOnWrite(repository, folders.changes, REPOSITORY),
            folders.output,
            plan.inputs,
            plan.gpus,
            entry_of(image),
        ),
        program=Program(
            plan.spec.argv, {**image.env, **plan.env}, f"{REPOSITORY}/{plan.spec.cwd}".rstrip("/")
        ),
        folders=folders,
        relay=relay,
    )
    bring(plan.added, given.places.view)
    events = EventLog(folders.events)
    try:
        ending, exit_status = _run(given, sandbox, events)
    finally:
        events.close()
    # nothing here reads a kernel's messages
    held = tuple(one for one in held if one.held_by != "driver")
    printed = {"stdout.txt": folders.stdout, "stderr.txt": folders.stderr}
    return Execution(
        record=msgspec.structs.replace(record_of(plan, ending, sandbox, held), exit_status=exit_status),
        repository=repository,
        notebook=None,
        output=folders.output,
        upper=given.places.view.written,
        printed=printed if relay is None else {"terminal.txt": folders.stdout},
        events=folders.events,
    )


def _run(given: _Given, sandbox: Sandbox, events: EventLog) -> tuple[Ending, int | None]:
    plan = given.plan
    started, begun = datetime.now(UTC), time.monotonic()
    events.write("run-started", run=plan.id, command=plan.spec.name, spec=msgspec.to_builtins(plan.spec))
    spec = opened(inside(given.places, given.program, with_disk(plan.limits, plan.bounds)), plan.network)
    sandbox.prepare(spec, plan.progress)
    loaded = time.monotonic()
    with contextlib.ExitStack() as stack:
        if given.relay is None:
            stack.enter_context(plan.progress.step("Running the command"))
        watch = _started(given, spec, sandbox, stack, begun)
        up = time.monotonic()
        events.write("processes-started", sandbox=promised(sandbox, plan.network))
        supervisor = CommandSupervisor(watch, events)
        verdict = supervisor.run()
    ended, end = datetime.now(UTC), time.monotonic()
    events.end(verdict)
    ending = Ending(
        verdict=verdict,
        span=(started, ended),
        seconds={
            "total": round(end - begun, 4),
            "loading": round(loaded - begun, 4),
            "start": round(up - loaded, 4),
            "command": round(end - up, 4),
        },
        versions={"reprolake": importlib.metadata.version("reprolake")},
        resources=supervisor.meter.resources(),
        warnings=tuple(supervisor.warnings),
        network=supervisor.network,
    )
    return ending, supervisor.exit_status


def _started(
    given: _Given, spec: SandboxSpec, sandbox: Sandbox, stack: contextlib.ExitStack, begun: float
) -> CommandWatch:
    """Start the command; when the stack is closed it is gone and so are the pipes. Raises SandboxError."""
    plan, relay, folders = given.plan, given.relay, given.folders
    stderr = None
    if relay is not None:
        running = sandbox.start(spec, stdin=relay.inner, stdout=relay.inner, stderr=relay.inner)
        relay.started()
        stdout = Pipe(relay.outer, folders.stdout)
    else:
        with contextlib.ExitStack() as theirs:
            ends = []
            for log in (folders.stdout, folders.stderr):
                ours, given_away = os.pipe()
                stack.callback(os.close, ours)
                theirs.callback(os.close, given_away)
                ends.append((Pipe(ours, log), given_away))
            (stdout, out), (stderr, err) = ends
            running = sandbox.start(spec, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    stack.callback(running.kill)
    server = served(running, plan.network, None, (), stack)
    written = (folders.output, given.places.view.written)
    return CommandWatch(
        running=running,
        stdout=stdout,
        stderr=stderr,
        guarded=guarded(written, spec.limits, plan.bounds, sandbox, "command"),
        begun=begun,
        timeout=plan.spec.timeout,
        told=plan.told,
        relay=relay,
        server=server,
    )
