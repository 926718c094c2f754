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
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from reprolake_builder.image import REPOSITORY, Image
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import CopyOnWrite, Limits, Sandbox, SandboxSpec
from reprolake_builder.store import Store
from reprolake_runner.added import bring
from reprolake_runner.documents.run import CommandSpec
from reprolake_runner.grounds import grounds_of
from reprolake_runner.inside import Places, Program, entry_of, inside
from reprolake_runner.network import opened, promised, served
from reprolake_runner.plan import Course, Ending, Execution, RunPlan, record_of
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
    limits: Limits
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
    ground = grounds_of(image, store, plan, sandbox)
    folders = _Folders.made(plan.folder)
    view = CopyOnWrite(ground.repository, folders.changes, REPOSITORY)
    cwd = f"{REPOSITORY}/{plan.spec.cwd}".rstrip("/")
    given = _Given(
        plan=plan,
        places=Places(ground.root, view, folders.output, plan.inputs, plan.gpus, entry_of(image)),
        program=Program(plan.spec.argv, {**image.env, **plan.env}, cwd),
        limits=ground.limits,
        folders=folders,
        relay=relay,
    )
    bring(plan.added, view)
    events = EventLog(folders.events)
    try:
        ending, exit_status = _run(given, sandbox, events)
    finally:
        events.close()
    # nothing here reads a kernel's messages
    held = tuple(one for one in ground.held if one.held_by != "driver")
    printed = {"stdout.txt": folders.stdout, "stderr.txt": folders.stderr}
    return Execution(
        record=msgspec.structs.replace(record_of(plan, ending, sandbox, held), exit_status=exit_status),
        repository=ground.repository,
        notebook=None,
        output=folders.output,
        upper=view.written,
        printed=printed if relay is None else {"terminal.txt": folders.stdout},
        events=folders.events,
    )


def _run(given: _Given, sandbox: Sandbox, events: EventLog) -> tuple[Ending, int | None]:
    plan = given.plan
    course = Course()
    events.write("run-started", run=plan.id, command=plan.spec.name, spec=msgspec.to_builtins(plan.spec))
    spec = opened(inside(given.places, given.program, given.limits), plan.network)
    sandbox.prepare(spec, plan.progress)
    course.over(loading=time.monotonic())
    with contextlib.ExitStack() as stack:
        if given.relay is None:
            stack.enter_context(plan.progress.step("Running the command"))
        watch = _started(given, spec, sandbox, stack, course.begun)
        course.over(start=time.monotonic())
        events.write("processes-started", sandbox=promised(sandbox, plan.network))
        supervisor = CommandSupervisor(watch, events)
        verdict = supervisor.run()
    course.over(command=time.monotonic())
    events.end(verdict)
    ending = Ending(
        verdict=verdict,
        span=(course.started, datetime.now(UTC)),
        seconds=course.seconds,
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
    watched = guarded((folders.output,), given.places.view, spec.limits, plan.bounds, sandbox)
    return CommandWatch(
        running=running,
        stdout=stdout,
        stderr=stderr,
        guarded=replace(watched, program="command"),
        begun=begun,
        timeout=plan.spec.timeout,
        told=plan.told,
        relay=relay,
        server=server,
    )
