"""What the supervisor (outside) and the driver (confined) tell each other: one JSON document per line."""

from __future__ import annotations

from typing import Any, Literal

from reprolake_builder.documents.base import Document, Sha256
from reprolake_runner.documents.run import Parameter

Ended = Literal["succeeded", "failed", "allowed-failure", "skipped"]

LINE_LIMIT = 1 << 20
"""Bytes of one event at most; a longer one is not believed."""


class Connection(Document, frozen=True, kw_only=True):
    """How to reach the kernel: `path` is the part of the sockets' paths before "-1" to "-5", `key` signs messages."""

    path: str
    key: str


class DriverLimits(Document, frozen=True, kw_only=True):
    """What the driver takes from a kernel: bytes of one message and of all; `memory` is for itself, in bytes."""

    message_bytes: int = 128 << 20
    total_bytes: int = 512 << 20
    memory: int = 4 << 30


class DriverPlan(Document, frozen=True, kw_only=True):
    """The driver's first line: what to run. Paths are the driver's own; times in seconds, None is unlimited.

    `name` is the notebook's path in the repository.
    """

    connection: Connection
    name: str
    notebook: str
    executed: str
    parameters: tuple[Parameter, ...] = ()
    language: str = "python"
    start_timeout: float = 60
    execution_timeout: float | None = None
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
    """The kernel answered. `cells` are the indexes of the code cells of the notebook that is being executed."""

    info: dict[str, str]
    cells: tuple[int, ...]


class CellStarted(Document, frozen=True, kw_only=True, tag="cell-started", tag_field="event"):
    """The cell of that index was sent to the kernel."""

    index: int


class CellEnded(Document, frozen=True, kw_only=True, tag="cell-ended", tag_field="event"):
    """What became of a cell. `outputs` is the SHA-256 of its outputs as JSON; time in seconds.

    `error` and `warning` are one line each, the latter about outputs; `execution_count` is what Jupyter shows as `In [n]`.
    """

    index: int
    state: Ended
    seconds: float = 0
    error: str = ""
    warning: str = ""
    execution_count: int | None = None
    outputs: Sha256


class CellsDone(Document, frozen=True, kw_only=True, tag="cells-done", tag_field="event"):
    """No cell is left to run."""


class Saved(Document, frozen=True, kw_only=True, tag="saved", tag_field="event"):
    """The notebook as it is at the end is on disk."""

    sha256: Sha256


class Failed(Document, frozen=True, kw_only=True, tag="failed", tag_field="event"):
    """The driver gives up, for a reason other than a cell that raised."""

    reason: Literal["timed-out", "limit-exceeded", "kernel-silent", "broken"]
    message: str


Event = KernelReady | CellStarted | CellEnded | CellsDone | Saved | Failed

Json = dict[str, Any]
