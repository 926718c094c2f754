"""What holds the limits of a program here: control groups, those that systemd makes, or what every process has."""

from __future__ import annotations

import math
import os
import random
import resource
from collections.abc import Mapping

from reprolake_builder.sandboxes import cgroups, scope
from reprolake_builder.sandboxes.interface import Held, Limits
from reprolake_builder.sandboxes.reports import unavailable
from reprolake_builder.sandboxes.seccomp import NO_CORE

Grouped = cgroups.Group | scope.Scope | None


def held(limits: Limits) -> Mapping[str, Held]:
    """Return what holds each of the limits here, by the field's name; those that are None are left out."""
    weaker = "without control groups a program that wants more processors can take them"
    return held_by(limits, _groups(), Held("processor affinity", weaker))


def held_by(limits: Limits, groups: Mapping[str, str], cpus: Held) -> Mapping[str, Held]:
    """Return what holds each of the limits: `groups` are what limits a controller, in words, and `cpus` holds in place of one."""
    resource_limit = Held("resource limit")
    found = dict.fromkeys(("processes", "file_bytes", "open_files"), resource_limit)
    found["tmp_bytes"] = Held("size of the folder in memory")
    if "pids" in groups:
        found["processes"] = Held(groups["pids"])
    if limits.memory_bytes is not None:
        watched = Held("watchdog, which adds up what the processes take", watched=True)
        found["memory_bytes"] = Held(groups["memory"]) if "memory" in groups else watched
    if limits.cpus is not None:
        found["cpus"] = Held(groups["cpu"]) if "cpu" in groups else cpus
    return found


def resource_limits(limits: Limits, others: int = 0) -> tuple[tuple[int, int], ...]:
    """Return numbers of resource limits and their values; up to `others` processes outside count as the same user's."""
    beyond = 1 + others if "pids" in _groups() else 0  # the group says no first, because it counts how often
    return (
        (resource.RLIMIT_CORE, NO_CORE),
        (resource.RLIMIT_NPROC, limits.processes + beyond),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
    )


def processors(limits: Limits) -> list[int]:
    """Return the processors that the program is kept to where nothing better holds its limit; [] for all that we may use."""
    if limits.cpus is None or "cpu" in _groups():
        return []
    ours = sorted(os.sched_getaffinity(0))
    return random.sample(ours, min(len(ours), math.ceil(limits.cpus)))


def group_for(limits: Limits) -> Grouped:
    """Return a group for one sandbox, None where this host has none for us."""
    if not cgroups.places():
        return scope.Scope() if scope.is_there() else None
    try:
        return cgroups.Group(limits)
    except OSError as error:
        raise unavailable(f"its control group cannot be made: {error.filename}: {error.strerror}") from error


def _groups() -> Mapping[str, str]:
    """Return what limits each controller here, in words; nothing where there are no control groups for us."""
    if places := cgroups.places():
        return {name: f"cgroup v{place.version}" for name, place in places.items()}
    return dict.fromkeys(("memory", "cpu", "pids"), "cgroup v2, by systemd") if scope.is_there() else {}
