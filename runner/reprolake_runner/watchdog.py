"""Looks at a run again and again, and says when one of its limits is reached that nothing else enforces."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.sandboxes.interface import CopyOnWrite, Limits, Running, Sandbox, Usage
from reprolake_runner.bounds import Bounds
from reprolake_runner.disk import DiskUse, UncountableError, lacks_room
from reprolake_runner.record import Verdict

_COUNTING = 0.02  # seconds of one look at the folders
_IDLE = (
    0.01  # processors' share below which nothing is going on: a kernel that waits takes about a thousandth
)


@dataclass(frozen=True, slots=True)
class Guarded:
    """What is looked at: `folders` (host paths) that the run writes to, the first one on the disk that is to keep free room.

    What lies in `copied` (host folders) lies in them, too, and was not written by the run. `program` is the word for what runs.
    """

    folders: tuple[Path, ...]
    memory_bytes: int | None
    is_memory_watched: bool
    bounds: Bounds
    copied: tuple[Path, ...] = ()
    program: str = "kernel"


def guarded(
    folders: tuple[Path, ...], view: CopyOnWrite | None, limits: Limits, bounds: Bounds, sandbox: Sandbox
) -> Guarded:
    """Return what is to be watched: memory only where the sandbox does not hold its limit, but the limit is named all the same.

    `folders` and the `view` are what the run writes to.
    """
    held = sandbox.holds(limits).get("memory_bytes")
    is_watched = held is not None and held.watched
    written, copied = ((view.written,), view.copied) if view is not None else ((), ())
    return Guarded((*folders, *written), limits.memory_bytes, is_watched, bounds, copied)


class Watchdog:
    """Watches one run from its start."""

    def __init__(self, kernel: Running, guarded: Guarded) -> None:
        self._kernel = kernel
        self._memory = guarded.memory_bytes
        self._is_watched = guarded.is_memory_watched
        self._bounds = guarded.bounds
        self._program = guarded.program
        self._folders: Sequence[Path] = guarded.folders
        self._disk = DiskUse(guarded.folders)
        self._before = _taken(guarded.copied)
        self._since = time.monotonic()
        self._cpu = 0.0

    def heard(self) -> None:
        """Note that the kernel said something, or that something new begins."""
        self._since = time.monotonic()
        self._cpu = -1.0

    def look(self, usage: Usage | None) -> Verdict | None:
        """Return why the run has to end now, None when it may go on; the sentence lacks the place."""
        why = self._room() or (self._sandbox(usage) if usage is not None else "")
        if why:
            return Verdict("limit-exceeded", why)
        return self._stalled(usage)

    def _room(self) -> str:
        bounds = self._bounds
        if lacks_room(self._folders[0], bounds.free_bytes):
            return f"the disk that the run writes to is full: less than {size(bounds.free_bytes)} or 1000 files are free"
        if bounds.disk_bytes is None:
            return ""
        try:
            written = self._disk.look(_COUNTING) - self._before
        except UncountableError as error:
            return f"what the run writes cannot be counted: {error}"
        return (
            f"the run wrote more than {size(bounds.disk_bytes)} to the disk"
            if written > bounds.disk_bytes
            else ""
        )

    def _sandbox(self, usage: Usage) -> str:
        limit = self._bounds.cpu_seconds
        if limit is not None and usage.cpu_seconds > limit:
            return f"the run took more than {limit:g} s of processor time"
        is_over = self._is_watched and self._memory is not None and usage.memory_bytes > self._memory
        if usage.kills or is_over:
            return out_of_memory(self._memory)
        return ""

    def _stalled(self, usage: Usage | None) -> Verdict | None:
        limit = self._bounds.stall_seconds
        if limit is None or usage is None:
            return None
        now = time.monotonic()
        if self._cpu < 0:
            self._cpu = usage.cpu_seconds
        if usage.cpu_seconds - self._cpu > max(_IDLE * (now - self._since), _IDLE):
            self._since, self._cpu = now, usage.cpu_seconds
        if now < self._since + limit:
            return None
        stopped = ": everything in it was stopped by a signal" if self._kernel.is_stopped() else ""
        return Verdict(
            "timed-out",
            f"the {self._program} did nothing for {limit:g} s{stopped}; no message, no processor time",
        )


def _taken(folders: tuple[Path, ...]) -> int:
    """Return what lies in host folders, in bytes; 0 for what cannot be counted: a run in a copy of it ends for that reason."""
    with contextlib.suppress(UncountableError):
        return DiskUse(folders).look(math.inf)
    return 0


def out_of_memory(limit: int | None) -> str:
    """Return the sentence about a run that wanted more memory than there was."""
    return (
        f"the run needs more than {size(limit)} of memory"
        if limit is not None
        else "the memory of this host ran out"
    )


def size(number: int) -> str:
    """Return a number of bytes in words."""
    value, unit = float(number), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.4g} {unit}"
