"""Control groups: a sandbox's own, where this host lets us make one, to limit and to measure what runs in it.

They are made below the group that Reprolake itself is in, or beside it: whatever limit that one has holds for them, too.
Source: Linux, Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst; proc_pid_mountinfo(5).
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.sandboxes.interface import Limits
from reprolake_builder.sandboxes.owners import is_over, started

_WANTED = ("memory", "cpu", "cpuacct", "pids")
_NAME = re.compile(r"reprolake-([0-9]{1,9})-([0-9]+)-[0-9a-f]{8}")
_PERIOD = 100_000  # microseconds
_TRIES, _PAUSE = 50, 0.02
_SURELY_LEFT = (
    60.0  # seconds; a number that is unknown here may live in another PID namespace, and be about to join
)
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder (host path) in which groups of one controller can be made, and the version of its interface."""

    folder: Path
    version: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What a group counted: seconds of processor time, bytes of memory that cannot be dropped, processes and threads.

    None is what no controller counts here.
    """

    cpu_seconds: float | None
    memory_bytes: int | None
    processes: int | None
    kills: int
    refused: int


@functools.cache
def places(process: Path = Path("/proc/self")) -> Mapping[str, Place]:
    """Return where groups can be made, by controller; `process` is a folder of /proc (host path)."""
    try:
        own = [line.split(":", 2) for line in (process / "cgroup").read_text().splitlines()]
        mounts = list(_mounts((process / "mountinfo").read_text()))
    except OSError:
        return {}
    found: dict[str, Place] = {}
    for _, controllers, path in own:
        for kind, options, root, at in mounts:
            below = at / path.removeprefix(root).lstrip("/") if path.startswith(root) else at
            if controllers and kind == "cgroup" and set(controllers.split(",")) <= options:
                for name in set(controllers.split(",")) & set(_WANTED):
                    if os.access(below, os.W_OK | os.X_OK):
                        found.setdefault(name, Place(below, 1))
            elif not controllers and kind == "cgroup2":
                for name, place in _unified(below, at):
                    found.setdefault(name, place)
    return found


def _mounts(table: str) -> Iterator[tuple[str, set[str], str, Path]]:
    """Yield type, options, root and mount point of each mount."""
    for line in table.splitlines():
        fields, _, rest = line.partition(" - ")
        words, kind = fields.split(), rest.split()
        if len(words) > 4 and len(kind) > 2:
            place = _ESCAPE.sub(lambda octal: chr(int(octal[1], 8)), words[4])
            yield kind[0], set(kind[2].split(",")), words[3].rstrip("/"), Path(place)


def _unified(own: Path, top: Path) -> Iterator[tuple[str, Place]]:
    """Yield the controllers that a folder hands on to its groups: ours, which is empty of processes then, or the one above."""
    for folder in (own, *([own.parent] if own != top else [])):
        try:
            handed_on = (folder / "cgroup.subtree_control").read_text().split()
        except OSError:
            continue
        if all(os.access(path, os.W_OK) for path in (folder, folder / "cgroup.procs")):
            for name in _WANTED:
                if name in handed_on:
                    yield name, Place(folder, 2)
            if "cpu" in handed_on:
                yield "cpuacct", Place(folder, 2)


def group_of(pid: int, part: str) -> Mapping[str, Place]:
    """Return the group of a process (a number on this host), by what counts there; nothing for one without `part` in its path.

    Raises OSError when the process is gone.
    """
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    mounts = list(_mounts(Path("/proc/self/mountinfo").read_text()))
    found: dict[str, Place] = {}
    for _, controllers, path in (line.split(":", 2) for line in lines if part in line):
        for kind, options, root, at in mounts:
            below = at / path.removeprefix(root).lstrip("/")
            if controllers and kind == "cgroup" and set(controllers.split(",")) <= options:
                for name in set(controllers.split(",")) & set(_WANTED):
                    found.setdefault(name, Place(below, 1))
            elif not controllers and kind == "cgroup2":
                for name, file in (
                    ("memory", "memory.stat"),
                    ("cpuacct", "cpu.stat"),
                    ("pids", "pids.current"),
                ):
                    if (below / file).exists():
                        found.setdefault(name, Place(below, 2))
    return found


class Group:
    """A group of our own, made with its limits; `procs` (host paths) are the files that a process joins it by.

    Raises OSError when it cannot be made.
    """

    def __init__(self, limits: Limits, found: Mapping[str, Place] | None = None) -> None:
        self._folders: dict[str, Place] = {}
        name = f"reprolake-{os.getpid()}-{started(os.getpid())}-{secrets.token_hex(4)}"
        for controller, place in (places() if found is None else found).items():
            _sweep(place.folder)
            self._folders[controller] = Place(place.folder / name, place.version)
        try:
            for folder in self._distinct:
                folder.mkdir()
            self._limit(limits)
        except OSError:
            self.remove()
            raise
        self.procs = tuple(str(folder / "cgroup.procs") for folder in self._distinct)

    @property
    def _distinct(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(place.folder for place in self._folders.values()))

    def _limit(self, limits: Limits) -> None:
        if limits.memory_bytes is not None and (memory := self._folders.get("memory")):
            first, second, swap = (
                ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", limits.memory_bytes)
                if memory.version == 1
                else ("memory.max", "memory.swap.max", 0)
            )
            (memory.folder / first).write_text(str(limits.memory_bytes))
            if (memory.folder / second).exists():  # a kernel without swap has no such file
                (memory.folder / second).write_text(str(swap))
        if limits.cpus is not None and (cpu := self._folders.get("cpu")):
            quota = max(1000, int(limits.cpus * _PERIOD))
            if cpu.version == 1:
                (cpu.folder / "cpu.cfs_period_us").write_text(str(_PERIOD))
                (cpu.folder / "cpu.cfs_quota_us").write_text(str(quota))
            else:
                (cpu.folder / "cpu.max").write_text(f"{quota} {_PERIOD}")
        if pids := self._folders.get("pids"):
            (pids.folder / "pids.max").write_text(str(limits.processes))

    def admit(self, pid: int) -> None:
        """Have a process of this host join. Raises OSError."""
        for file in self.procs:
            Path(file).write_text(str(pid))

    def joined(self, pid: int) -> None:
        """Nothing is to be noted: who joins does so by itself."""

    def counts(self) -> Counts:
        """Return what was counted so far. Raises OSError when the group is gone."""
        return counted(self._folders)

    def remove(self) -> None:
        """Remove it once nothing runs in it any more; what cannot be removed is swept later."""
        for folder in self._distinct:
            _remove(folder)


def counted(found: Mapping[str, Place]) -> Counts:
    """Return what a group counted so far, from its folder for each controller. Raises OSError when the group is gone."""
    memory, cpu, pids = (found.get(name) for name in ("memory", "cpuacct", "pids"))
    taken, kills = _memory(memory) if memory else (None, 0)
    return Counts(
        cpu_seconds=_cpu(cpu) if cpu else None,
        memory_bytes=taken,
        processes=int((pids.folder / "pids.current").read_text()) if pids else None,
        kills=kills,
        refused=_fields(pids.folder / "pids.events").get("max", 0) if pids else 0,
    )


def _memory(place: Place) -> tuple[int, int]:
    """Return bytes that cannot be dropped, and how many processes were killed for want of more."""
    stat = _fields(place.folder / "memory.stat")
    if place.version == 1:
        kills = _fields(place.folder / "memory.oom_control").get("oom_kill", 0)
        return stat.get("total_rss", 0) + stat.get("total_shmem", 0), kills
    kills = _fields(place.folder / "memory.events").get("oom_kill", 0)
    return stat.get("anon", 0) + stat.get("shmem", 0), kills


def _cpu(place: Place) -> float:
    if place.version == 1:
        return int((place.folder / "cpuacct.usage").read_text()) / 1e9
    return _fields(place.folder / "cpu.stat").get("usage_usec", 0) / 1e6


def _fields(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _remove(folder: Path) -> None:
    for _ in range(_TRIES):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(_PAUSE)  # the last process is gone, but not yet from its group
        else:
            return


def _sweep(folder: Path) -> None:
    """Remove the groups of processes that were killed before they could."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            owner = _NAME.fullmatch(name)
            if owner and is_over(int(owner[1]), owner[2]):
                with contextlib.suppress(OSError):
                    if time.time() - (folder / name).stat().st_ctime > _SURELY_LEFT:
                        (folder / name).rmdir()


@functools.cache
def available_memory() -> int:
    """Return how much memory we may use, in bytes: the host's, or less where the group that we are in has a limit."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _memory_files(Path("/proc/self")):
        with contextlib.suppress(OSError, ValueError):
            found = min(found, int(path.read_text()))
    return found


def _memory_files(process: Path) -> Iterator[Path]:
    """Yield the files (host paths) that may hold a limit of our own group, or of one above it."""
    try:
        own = [line.split(":", 2) for line in (process / "cgroup").read_text().splitlines()]
        mounts = list(_mounts((process / "mountinfo").read_text()))
    except OSError:
        return
    for _, controllers, path in own:
        for kind, options, root, at in mounts:
            is_first = "memory" in controllers.split(",") and kind == "cgroup" and "memory" in options
            if not is_first and (controllers or kind != "cgroup2"):
                continue
            below = at / path.removeprefix(root).lstrip("/") if path.startswith(root) else at
            while below.is_relative_to(at):
                yield below / ("memory.limit_in_bytes" if is_first else "memory.max")
                below = below.parent
