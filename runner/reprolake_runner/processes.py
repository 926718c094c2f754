"""The two processes of a run: the kernel in the image's root, the driver in a root of its own, and the pipes between."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from reprolake_builder.image import REPOSITORY
from reprolake_builder.sandboxes.interface import Bind, CopyOnWrite, ImageRoot, Limits, Sandbox, SandboxSpec
from reprolake_runner.bounds import Bounds
from reprolake_runner.documents.run import RunSpec
from reprolake_runner.driver.protocol import Connection, DriverPlan
from reprolake_runner.driver_root import FOLDER, driver_spec
from reprolake_runner.errors import NotebookError
from reprolake_runner.inside import Places, Program, inside
from reprolake_runner.kernelspec import Kernel, command
from reprolake_runner.network import Network, opened, served
from reprolake_runner.notebook import notebook_bytes
from reprolake_runner.supervise import Pipe, Told, Watch
from reprolake_runner.transport import PORTS, Transport, connection_facts, transport_of
from reprolake_runner.watchdog import guarded

SOCKETS = "/run/kernel"
CONNECTION = "connection.json"
_PLAN_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run keeps what on this host, below a folder that only the caller can enter."""

    folder: Path

    @property
    def sockets(self) -> Path:
        """Folder of the kernel's sockets and connection file."""
        return self.folder / "sockets"

    @property
    def connection(self) -> Path:
        """Folder of the connection file of a kernel that makes no sockets in a folder."""
        return self.folder / "connection"

    @property
    def driver(self) -> Path:
        """The driver's folder."""
        return self.folder / "driver"

    @property
    def executed(self) -> Path:
        """The notebook as the driver saves it."""
        return self.driver / "executed.ipynb"

    @property
    def output(self) -> Path:
        """What the notebook knows as REPROLAKE_OUTPUT."""
        return self.folder / "output"

    @property
    def changes(self) -> Path:
        """Scratch folder of the repository's copy-on-write view."""
        return self.folder / "repository"

    @property
    def events(self) -> Path:
        """The event log."""
        return self.folder / "events.jsonl"

    @property
    def log(self) -> Path:
        """What the kernel's process printed."""
        return self.folder / "kernel.log"

    @property
    def driver_log(self) -> Path:
        """What the driver's process complained about."""
        return self.folder / "driver.log"

    def make(self) -> None:
        """Make folders and empty logs."""
        for folder in (self.sockets, self.driver, self.output, self.changes):
            folder.mkdir(mode=0o700)
        self.connection.mkdir(mode=0o755)  # below one that nobody else can enter
        for log in (self.log, self.driver_log):
            log.touch(0o600)


@dataclass(frozen=True, slots=True)
class Start:
    """What the processes start from: `repository` is a host folder of the store, `env` is added to the kernel's.

    `gpus` are the kernel's, as in SandboxSpec, `entry` is as in Places. `told` is given what cells print, as it comes.
    """

    spec: RunSpec
    run: RunFolder
    root: ImageRoot
    repository: Path
    kernel: Kernel
    env: Mapping[str, str]
    inputs: Path | None
    limits: Limits
    bounds: Bounds = field(default_factory=Bounds)
    gpus: str = ""
    told: Told | None = None
    network: Network = field(default_factory=Network)
    entry: tuple[str, ...] = ()

    @property
    def transport(self) -> Transport:
        """How the kernel is reached."""
        return transport_of(self.kernel.argv, self.kernel.metadata, self.spec.kernel_transport)

    @property
    def view(self) -> CopyOnWrite:
        """The repository as the notebook sees it."""
        return CopyOnWrite(self.repository, self.run.changes, REPOSITORY)


def start(given: Start, sandbox: Sandbox, stack: contextlib.ExitStack) -> Watch:
    """Start kernel and driver; when the stack is closed both are gone and so are the pipes. Raises SandboxError."""
    run, begun = given.run, time.monotonic()
    key = secrets.token_hex(32)
    is_relayed = given.transport == "tcp"
    write_connection((run.connection if is_relayed else run.sockets) / CONNECTION, key, given.transport)
    (run.driver / "notebook.ipynb").write_bytes(notebook_bytes(given.repository, given.spec.notebook))
    with contextlib.ExitStack() as theirs:
        notices, to_driver = _pipe(theirs, stack)
        events, from_driver = _pipe(stack, theirs)
        kernel_log, from_kernel = _pipe(stack, theirs)
        driver_log, complaints = _pipe(stack, theirs)
        _write_plan(to_driver, _driver_plan(given, key))
        kernel = sandbox.start(
            kernel_spec(given), stdin=subprocess.DEVNULL, stdout=from_kernel, stderr=from_kernel
        )
        stack.callback(kernel.kill)
        server = served(kernel, given.network, run.sockets if is_relayed else None, PORTS, stack)
        sockets = Bind(run.sockets, SOCKETS)
        driver = sandbox.start(
            driver_spec(run.driver, sockets), stdin=notices, stdout=from_driver, stderr=complaints
        )
        stack.callback(driver.kill)
    return Watch(
        kernel=kernel,
        driver=driver,
        notices=to_driver,
        events=events,
        kernel_pipe=Pipe(kernel_log, run.log),
        driver_pipe=Pipe(driver_log, run.driver_log),
        guarded=guarded(
            (run.output, run.driver, run.sockets), given.view, given.limits, given.bounds, sandbox
        ),
        begun=begun,
        tells_lines=given.kernel.language.lower() == "python",
        timeout=given.spec.timeout,
        execution_timeout=given.spec.execution_timeout,
        told=given.told,
        server=server,
    )


def kernel_spec(given: Start) -> SandboxSpec:
    """Return the kernel's sandbox: the image, the repository as a copy-on-write view, inputs to read and a folder to write."""
    is_relayed = given.transport == "tcp"
    folder = f"{REPOSITORY}/{given.spec.cwd or given.spec.notebook.rpartition('/')[0]}".rstrip("/")
    started = command(given.kernel, f"{SOCKETS}/{CONNECTION}", folder)
    program = Program(
        argv=started.argv,
        env={**given.env, **given.kernel.env},
        cwd=started.cwd,
        binds=(
            Bind(given.run.connection, SOCKETS)
            if is_relayed
            else Bind(given.run.sockets, SOCKETS, writable=True),
        ),
    )
    places = Places(given.root, given.view, given.run.output, given.inputs, given.gpus, given.entry)
    return opened(inside(places, program, given.limits), given.network, is_relayed=is_relayed)


def _driver_plan(given: Start, key: str) -> DriverPlan:
    return DriverPlan(
        connection=Connection(path=f"{SOCKETS}/k", key=key),
        name=given.spec.notebook,
        notebook=f"{FOLDER}/notebook.ipynb",
        executed=f"{FOLDER}/{given.run.executed.name}",
        parameters=given.spec.parameters.parameters,
        language=given.spec.language or given.kernel.dialect,
        start_timeout=given.spec.start_timeout,
        execution_timeout=given.spec.execution_timeout,
        strict_shell=given.spec.strict_shell,
        report_mode=given.spec.report_mode,
        tells_outputs=given.told is not None,
        check=given.spec.check,
        limits=given.bounds.messages,
    )


def write_connection(path: Path, key: str, transport: Transport = "ipc") -> None:
    """Write the kernel's connection file."""
    facts = {"signature_scheme": "hmac-sha256", "key": key, **connection_facts(transport, f"{SOCKETS}/k")}
    path.touch(0o644 if transport == "tcp" else 0o600)
    path.write_text(json.dumps(facts))


def _write_plan(descriptor: int, plan: DriverPlan) -> None:
    """Put the plan into the pipe before anybody reads it, which therefore has to hold all of it."""
    line = msgspec.json.encode(plan) + b"\n"
    if len(line) > _PLAN_BYTES:
        raise NotebookError(
            f"the parameters take {len(line)} bytes, the limit is {_PLAN_BYTES}",
            hint="give large values to the notebook as a file of the basket",
        )
    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PLAN_BYTES)
    os.write(descriptor, line)


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """Return the two ends of a pipe, each closed with its stack."""
    ends = os.pipe()
    reader.callback(os.close, ends[0])
    writer.callback(os.close, ends[1])
    return ends
