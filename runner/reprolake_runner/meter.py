"""What a run takes, cell by cell and over time, as seen from outside of the sandbox."""

from __future__ import annotations

import time
from dataclasses import dataclass

from reprolake_builder.sandboxes.interface import Running, Usage
from reprolake_runner.documents.run import Resources, Sample

_EVERY = 0.25  # seconds between two samples, at first
_MOST = 400
_FRESH = 0.005  # seconds


@dataclass(frozen=True, slots=True)
class CellUse:
    """What one cell took: seconds of processor time, and bytes of memory at its height."""

    cpu_seconds: float
    peak_bytes: int


class Meter:
    """Measures a sandbox; `begun` (monotonic seconds) is when the run began."""

    def __init__(self, running: Running, begun: float) -> None:
        self._running = running
        self._begun = begun
        self._every = _EVERY
        self._next = 0.0
        self._fresh = 0.0
        self._samples: list[Sample] = []
        self._cell: Usage | None = None
        self.usage: Usage | None = None
        self.peak_bytes = 0

    def look(self, *, anew: bool = False) -> Usage | None:
        """Return what is being taken now, None when that cannot be told; `anew` begins to look for the next peak."""
        found = self.usage = self._running.usage(anew=anew)
        if found is not None:
            self.peak_bytes = max(self.peak_bytes, found.peak_bytes)
        return found

    @property
    def is_due(self) -> bool:
        """Whether it is time for another sample."""
        return time.monotonic() >= self._next

    def sample(self) -> Sample | None:
        """Keep what was seen last; the more there is of it, the seldomer."""
        now = time.monotonic()
        self._next = now + self._every
        if self.usage is None:
            return None
        found = Sample(
            at=round(now - self._begun, 3),
            cpu_seconds=round(self.usage.cpu_seconds, 4),
            memory_bytes=self.usage.memory_bytes,
        )
        self._samples.append(found)
        if len(self._samples) > _MOST:
            self._every *= 2
            self._samples = [max(pair, key=lambda one: one.memory_bytes) for pair in _pairs(self._samples)]
        return found

    def cell_begins(self) -> float:
        """Note that a cell begins, and return when: seconds after the run did."""
        now = time.monotonic()
        # the end of the cell before has just been looked at
        self._cell = self.usage if now < self._fresh else self.look(anew=True)
        return round(now - self._begun, 4)

    def cell_ends(self) -> CellUse | None:
        """Return what the cell took that began last, None when that cannot be told."""
        before, after = self._cell, self.look(anew=True)
        self._cell = None
        self._fresh = time.monotonic() + _FRESH
        if before is None or after is None:
            return None
        return CellUse(round(max(0.0, after.cpu_seconds - before.cpu_seconds), 4), after.peak_bytes)

    def resources(self) -> Resources | None:
        """Return what the run took, None when nothing was measured."""
        if self.look() is not None:
            self.sample()
        if self.usage is None:
            return None
        return Resources(
            cpu_seconds=round(self.usage.cpu_seconds, 4),
            peak_bytes=self.peak_bytes,
            samples=tuple(self._samples),
        )


def _pairs(samples: list[Sample]) -> list[list[Sample]]:
    return [samples[at : at + 2] for at in range(0, len(samples), 2)]
