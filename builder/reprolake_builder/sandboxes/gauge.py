"""What a sandbox takes: the counts of its control group and, where there are none, what its processes say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from reprolake_builder.sandboxes.cgroups import Counts
from reprolake_builder.sandboxes.interface import Usage
from reprolake_builder.sandboxes.measure import Processes, Taken

_NOTHING = Counts(cpu_seconds=None, memory_bytes=None, processes=None, kills=0, refused=0)


class Gauge:
    """Measures one sandbox by its control group, whose `counts` are None when it is gone; `limit` is on memory, in bytes.

    `processes` are those of the sandbox, once they are known.
    """

    def __init__(self, counts: Callable[[], Counts | None], limit: int | None) -> None:
        self.processes: Processes | None = None
        self._counts = counts
        self._limit = limit
        self._peak = 0
        self.usage: Usage | None = None

    def look(self, *, anew: bool) -> None:
        """Measure while it runs; `anew` begins to look for the next peak."""
        if self.processes is None:
            return
        counts = self._counts() or _NOTHING
        taken = None
        if None in {counts.cpu_seconds, counts.memory_bytes, counts.processes}:
            taken = self.processes.taken(exactly=False)
            counts = _filled(counts, taken)
        memory = counts.memory_bytes or 0
        if taken is not None and self._limit is not None and memory > self._limit:
            # what processes share was counted for each of them
            memory = self.processes.taken(exactly=True).memory_bytes
        self._peak = max(self._peak, memory, self.processes.highest(anew=anew))
        self.usage = Usage(
            cpu_seconds=counts.cpu_seconds or 0.0,
            memory_bytes=memory,
            peak_bytes=self._peak,
            processes=counts.processes or 0,
            kills=counts.kills,
            refused=counts.refused,
        )
        if anew:
            self._peak = memory

    def look_back(self, counts: Counts | None) -> None:
        """Note what was counted until the end, if anything was."""
        if counts is not None:
            seen = self.usage or Usage(cpu_seconds=0.0, memory_bytes=0, peak_bytes=0, processes=0)
            self.usage = dataclasses.replace(
                seen,
                cpu_seconds=max(seen.cpu_seconds, counts.cpu_seconds or 0.0),
                kills=max(seen.kills, counts.kills),
                refused=max(seen.refused, counts.refused),
            )


def _filled(counts: Counts, taken: Taken) -> Counts:
    """Return what the group counted and, where it did not, what the processes say."""
    return dataclasses.replace(
        counts,
        cpu_seconds=taken.cpu_seconds if counts.cpu_seconds is None else counts.cpu_seconds,
        memory_bytes=taken.memory_bytes if counts.memory_bytes is None else counts.memory_bytes,
        processes=taken.processes if counts.processes is None else counts.processes,
    )
