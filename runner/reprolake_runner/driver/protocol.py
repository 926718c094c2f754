"""What the supervisor (outside) and the driver (confined) tell each other: one JSON document per line."""

from __future__ import annotations

from typing import Literal

from reprolake_builder.documents.base import Document, Sha256
from reprolake_runner.documents.run import CheckSpec, OutputCheck, Parameter, Skipped

Ended = Literal["succeeded", "failed", "allowed-failure", "skipped"]

LINE_LIMIT = 1 << 20
"""Bytes of one event at most; a longer one is not believed."""

SHELL_LINE = "the shell line "
"""How words about a shell line that failed begin."""
SHELL_MESSAGE = "reprolake_shell_line"
"""The type of the message in which a kernel that we started tells of a shell line that failed."""


class Connection(Document, frozen=True, kw_only=True):
    """How to reach the kernel: `path` is the part of the sockets' paths before "-1" to "-5", `key` signs messages."""

    path: str
    key: str


class DriverLimits(Document, frozen=True, kw_only=True):
    """What the driver takes from a kernel: bytes of one message and of all, and their number; `memory` is for itself, in bytes."""

    message_bytes: int = 128 << 20
    total_bytes: int = 512 << 20
    messages: int = 1_000_000
    memory: int = 4 << 30


class DriverPlan(Document, frozen=True, kw_only=True):
    """The driver's first line: what to run. Paths are the driver's own; times in seconds, None is unlimited.

    `name` is the notebook's path in the repository. `strict_shell` has a shell line that fails fail its cell, `report_mode`
    hides code; with `tells_outputs` what cells print and show as text is told as it comes.
    """

    connection: Connection
    name: str
    notebook: str
    executed: str
    parameters: tuple[Parameter, ...] = ()
    language: str = "python"
    start_timeout: float = 60
    execution_timeout: float | None = None
    strict_shell: bool = False
    report_mode: bool = False
    tells_outputs: bool = False
    check: CheckSpec | None = None
    written_by: str = "reprolake"
    limits: DriverLimits = DriverLimits()


class KernelEnded(Document, frozen=True, kw_only=True, tag="kernel-ended", tag_field="notice"):
    """The kernel's process is gone."""


class EndKernel(Document, frozen=True, kw_only=True, tag="end-kernel", tag_field="notice"):
    """The supervisor has seen the kernel alive after the last cell: ask it to shut down."""


class Stop(Document, frozen=True, kw_only=True, tag="stop", tag_field="notice"):
    """Save what there is and end."""


Notice = KernelEnded | EndKernel | Stop


class KernelReady(Document, frozen=True, kw_only=True, tag="kernel-ready", tag_field="event"):
    """The kernel answered. `cells` are the indexes of the code cells of the notebook that is being executed.

    `injected` is the index of the one that sets the parameters, None when there is none.
    """

    info: dict[str, str]
    cells: tuple[int, ...]
    injected: int | None = None


class CellStarted(Document, frozen=True, kw_only=True, tag="cell-started", tag_field="event"):
    """The cell of that index was sent to the kernel."""

    index: int


class CellEnded(Document, frozen=True, kw_only=True, tag="cell-ended", tag_field="event"):
    """What became of a cell. `outputs` is the SHA-256 of its outputs as JSON; time in seconds.

    `error` is one line, `warnings` are about outputs and shell lines, a line each; `execution_count` is what Jupyter shows as
    `In [n]`; `line` is where the cell was when its time was up; `skipped` is why it was not run.
    """

    index: int
    state: Ended
    seconds: float = 0
    error: str = ""
    warnings: tuple[str, ...] = ()
    line: int | None = None
    execution_count: int | None = None
    outputs: Sha256
    skipped: Skipped | None = None


class CellChecked(Document, frozen=True, kw_only=True, tag="cell-checked", tag_field="event"):
    """A cell's outputs were compared with those that the notebook was saved with."""

    check: OutputCheck


class Said(Document, frozen=True, kw_only=True, tag="said", tag_field="event"):
    """A piece of what a cell printed, or showed as text."""

    kind: Literal["stdout", "stderr", "shown"]
    text: str


class Heard(Document, frozen=True, kw_only=True, tag="heard", tag_field="event"):
    """The kernel said something; told now and then."""


class Interrupt(Document, frozen=True, kw_only=True, tag="interrupt", tag_field="event"):
    """The kernel was asked in a message to interrupt the cell; with `signal` it did not answer, as many know SIGINT only."""

    signal: bool = False


class CellsDone(Document, frozen=True, kw_only=True, tag="cells-done", tag_field="event"):
    """No cell is left to run."""


class Saved(Document, frozen=True, kw_only=True, tag="saved", tag_field="event"):
    """The notebook as it is at the end is on disk."""

    sha256: Sha256


class Failed(Document, frozen=True, kw_only=True, tag="failed", tag_field="event"):
    """The driver gives up, for a reason other than a cell that raised.

    "belied" is about the cell at `index`: its kernel said that it was done, and then that it had failed.
    """

    reason: Literal["timed-out", "limit-exceeded", "kernel-silent", "belied", "broken"]
    message: str
    index: int | None = None


Event = (
    KernelReady
    | CellStarted
    | CellEnded
    | CellChecked
    | Said
    | Heard
    | Interrupt
    | CellsDone
    | Saved
    | Failed
)
