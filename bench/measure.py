"""Paired measurements: machines are noisy, so both sides run in turn and ratios are taken of pairs."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Action = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Seconds of both sides, pair by pair."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Median over the pairs of ours divided by theirs."""
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))


def seconds(action: Action) -> float:
    """Return the wall time of one call."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def median(action: Action, rounds: int, before: Action = lambda: None) -> float:
    """Return the median wall time; `before` is not timed."""
    times = []
    for _ in range(rounds):
        before()
        times.append(seconds(action))
    return statistics.median(times)


def pair(ours: Action, theirs: Action, rounds: int) -> Pairing:
    """Run both in turn, after one round that is not counted; who goes first alternates."""
    ours()
    theirs()
    first, second = [], []
    for number in range(rounds):
        if number % 2:
            second.append(seconds(theirs))
            first.append(seconds(ours))
        else:
            first.append(seconds(ours))
            second.append(seconds(theirs))
    return Pairing(tuple(first), tuple(second))


def call(argv: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
    """Run a program silently; a failure ends the benchmark with its last words."""
    done = subprocess.run(
        [str(word) for word in argv],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, argv))} exited {done.returncode}:\n{done.stderr[-3000:]}")


def peak_memory(argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> int:
    """Run a program and return the largest sum of its processes' memory (proportional set size), in bytes."""
    with subprocess.Popen(
        [str(word) for word in argv],
        env={**os.environ, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        highest, over = 0, threading.Event()

        def watch() -> None:
            nonlocal highest
            while not over.wait(0.1):
                highest = max(highest, sum(map(_pss, _family(process.pid))))

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, words = process.communicate()
        over.set()
        watcher.join()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, argv))} exited {process.returncode}:\n{words.decode()[-3000:]}")
    return highest


def _family(pid: int) -> list[int]:
    found = [pid]
    for member in found:
        try:
            for task in Path(f"/proc/{member}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def _pss(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
