"""RunSpec, RunRecord and the manifest: what was to be done, what happened, what was kept."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Any, Literal

from reprolake_builder.documents.base import Digest, Document, Sha256
from reprolake_builder.network.traffic import NetworkRecord

_NAME = 200  # characters


class Parameter(Document, frozen=True, kw_only=True):
    """One bound parameter: a JSON value and where it comes from ("-p", "-f params.yaml", "--map", "basket" …)."""

    name: str
    value: Any
    origin: str


class ParameterSet(Document, frozen=True, kw_only=True):
    """All parameters that differ from, or confirm, the notebook's own; in the notebook's order, then by name."""

    parameters: tuple[Parameter, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """Name to value."""
        return {parameter.name: parameter.value for parameter in self.parameters}


class StagedInput(Document, frozen=True, kw_only=True):
    """One input file as the notebook sees it: `path` is a sandbox path, `source` the URL it came from, `size` in bytes."""

    item: str
    name: str
    source: str
    path: str
    size: int
    sha256: Sha256


class AddedFile(Document, frozen=True, kw_only=True):
    """A file that the user brought along: `path` is relative to the repository's root, where it has none such; `size` in bytes."""

    path: str
    size: int
    sha256: Sha256


class CheckSpec(Document, frozen=True, kw_only=True):
    """How executed outputs are compared with saved ones: `tolerance` of numbers, relative; `image_tolerance` of pixels, as a share."""

    tolerance: float = 1e-6
    image_tolerance: float = 1e-3


class RunSpec(Document, frozen=True, kw_only=True, tag="notebook", tag_field="kind"):
    """Everything that decides the run of a notebook; its content hash is the run's key.

    `notebook` is relative to the repository's root, `notebook_sha256` its content. Times in seconds; None is unlimited.
    `kernel` and `language` stand in for what the notebook says, "" for neither; `kernel_transport` is how the kernel is reached,
    where "auto" leaves that to its specification; `network` is what may be reached, as --network takes it; `cwd` is the working folder relative to the
    repository's root, "" for the notebook's own. `strict_shell` says that a shell line that fails fails its cell;
    `report_mode` that the executed notebook hides its code; `added` are the user's own files; `check` has the outputs compared with those saved in the notebook.
    """

    version: Literal[1] = 1
    image: Digest
    notebook: str
    notebook_sha256: Sha256
    parameters: ParameterSet
    inputs: tuple[StagedInput, ...] = ()
    timeout: float | None = None
    execution_timeout: float | None = None
    start_timeout: float = 60
    kernel: str = ""
    language: str = ""
    cwd: str = ""
    strict_shell: bool = False
    report_mode: bool = False
    check: CheckSpec | None = None
    added: tuple[AddedFile, ...] = ()
    network: str = "none"
    kernel_transport: Literal["auto", "ipc", "tcp"] = "auto"

    @property
    def name(self) -> str:
        """What people call that which runs."""
        return self.notebook


class CommandSpec(Document, frozen=True, kw_only=True, tag="command", tag_field="kind"):
    """Everything that decides the run of a command; its content hash is the run's key.

    `cwd` is the working folder relative to the repository's root, "" for the root itself. `timeout` in seconds; None is
    unlimited. `added` are the user's own files; `network` is what may be reached, as --network takes it. A command with a `terminal` is a person's, who may have typed anything.
    """

    version: Literal[1] = 1
    image: Digest
    argv: tuple[str, ...]
    inputs: tuple[StagedInput, ...] = ()
    timeout: float | None = None
    cwd: str = ""
    added: tuple[AddedFile, ...] = ()
    terminal: bool = False
    network: str = "none"

    @property
    def name(self) -> str:
        """The command as one would type it, cut when it is long."""
        typed = shlex.join(self.argv)
        return typed if len(typed) <= _NAME else f"{typed[:_NAME]} …"


Status = Literal[
    "succeeded", "not-reproduced", "failed", "timed-out", "kernel-died", "limit-exceeded", "stopped", "broken"
]
"""How a run ended: every cell ran · every cell ran and not all outputs are those that were saved · a cell raised · time was up ·
the kernel's process ended · a limit · ended from outside · our driver failed. Nothing but "succeeded" is a success."""


def cell_name(index: int, execution_count: int | None = None) -> str:
    """Return what people call a cell: the prompt that Jupyter shows beside it, else its number among all cells, from 1.

    `index` counts from 0, as documents do.
    """
    return f"cell {index + 1}" if execution_count is None else f"cell In [{execution_count}]"


Skipped = Literal["tagged", "empty", "after-exit"]


class CellRecord(Document, frozen=True, kw_only=True):
    """What became of one code cell; `index` counts all cells of the executed notebook from 0. Times in seconds.

    `execution_count` is what Jupyter shows as `In [n]`, None for a cell that did not end. `line` is where it was when it was
    ended, counted from 1. `begun` is the time since the run's start; `cpu_seconds` and `peak_bytes` are what everything in the
    sandbox took meanwhile, None where it was not measured. `injected` says that it is not the notebook's own but sets the
    parameters. `skipped` is why it was not run: its tag skip-execution, no code, or a cell before it that ended the notebook.
    """

    index: int
    state: Literal["pending", "running", "succeeded", "failed", "allowed-failure", "skipped"]
    seconds: float | None = None
    error: str = ""
    execution_count: int | None = None
    line: int | None = None
    begun: float | None = None
    cpu_seconds: float | None = None
    peak_bytes: int | None = None
    injected: bool = False
    skipped: Skipped | None = None

    @property
    def counts(self) -> bool:
        """Whether it is one of the notebook's own cells, and has code."""
        return not self.injected and self.skipped != "empty"

    @property
    def name(self) -> str:
        """What people call the cell."""
        return cell_name(self.index, self.execution_count)


class OutputCheck(Document, frozen=True, kw_only=True):
    """Whether a cell's outputs are those saved in the notebook; `index` is the cell's, `reason` says what differs.

    "close" differs by times, addresses or less than the tolerance; "not-saved" was saved without outputs and has some now.
    """

    index: int
    verdict: Literal["same", "close", "differs", "not-saved"]
    reason: str = ""


class LimitRecord(Document, frozen=True, kw_only=True):
    """A limit that held: in seconds, bytes, or a number. `held_by` says by what, `weaker` in what that falls short of it."""

    name: str
    value: float
    held_by: str
    weaker: str = ""


class Sample(Document, frozen=True, kw_only=True):
    """What everything in the kernel's sandbox took: `at` seconds after the run's start, processor time so far, memory then."""

    at: float
    cpu_seconds: float
    memory_bytes: int


class Resources(Document, frozen=True, kw_only=True):
    """What a run took. Memory is without cached files, with folders in memory; the samples are thinned out when there are many."""

    cpu_seconds: float
    peak_bytes: int
    samples: tuple[Sample, ...] = ()


class Origin(Document, frozen=True, kw_only=True):
    """Where notebook and environment come from, as the image says; "" for what it does not.

    `repository` is a URL, `commit` a git or Mercurial one, `is_dirty` says that there were changes in no commit; `tree` is the
    git hash of all files. `record` is the DOI of the archive's record, or its id; `proof` says how files and record were matched.
    """

    repository: str = ""
    commit: str = ""
    is_dirty: bool = False
    tree: str = ""
    record: str = ""
    proof: str = ""


class RunRecord(Document, frozen=True, kw_only=True):
    """What happened, written by the process outside the sandbox. Times in UTC.

    `key` is the content hash of the RunSpec, `id` the random name of this run. `exit_code` is the command's.
    `message` says in one sentence what ended the run. `kernel`, `kernel_info` and `cells` are a notebook's; `exit_status` is a
    command's own, 128 + N when signal N ended it, None when it was never started. `sandbox` lists what isolated it and each promise that was kept.
    `network` says what could be reached and what was; `transport` how the kernel was.
    """

    version: Literal[1] = 1
    id: str
    key: Sha256
    status: Status
    exit_code: int
    message: str
    started: datetime
    ended: datetime
    spec: RunSpec | CommandSpec
    source: Origin = Origin()
    kernel: str = ""
    exit_status: int | None = None
    kernel_info: dict[str, str] = {}
    cells: tuple[CellRecord, ...] = ()
    checks: tuple[OutputCheck, ...] = ()
    warnings: tuple[str, ...] = ()
    limits: tuple[LimitRecord, ...] = ()
    resources: Resources | None = None
    network: NetworkRecord | None = None
    transport: str = ""
    sandbox: dict[str, str] = {}
    host: dict[str, str] = {}
    versions: dict[str, str] = {}
    seconds: dict[str, float] = {}


class StagedFile(Document, frozen=True, kw_only=True):
    """A file of the staged result; `path` is relative to it, `size` in bytes."""

    path: str
    size: int
    sha256: Sha256


class Manifest(Document, frozen=True, kw_only=True):
    """The staged result's table of contents. A result exists when its manifest does. Times in UTC."""

    version: Literal[1] = 1
    run: str
    key: Sha256
    status: Status
    created: datetime
    expires: datetime | None
    files: tuple[StagedFile, ...]
