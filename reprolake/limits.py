"""Settings and flags → what a run may take. Nobody's flag goes beyond what the site's file allows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from reprolake.amounts import LIMITS
from reprolake.settings import Setting, amount, refuse_beyond, site_maxima
from reprolake_builder.sandboxes.interface import Limits
from reprolake_runner.bounds import Bounds
from reprolake_runner.driver.protocol import DriverLimits


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What a run may take. Times in seconds; None is unlimited."""

    limits: Limits
    bounds: Bounds
    timeout: float | None
    execution_timeout: float | None


def run_limits(settings: Mapping[str, Setting], flags: Mapping[str, str], *, weaker: bool) -> RunLimits:
    """Return the limits of a run; `flags` are amounts by setting.

    Raises UsageError for a flag beyond what the site allows.
    """
    said = dict(settings)
    for limit in LIMITS:
        if limit.setting in flags:
            said[limit.setting] = Setting(value=flags[limit.setting], origin=limit.flag)
    refuse_beyond(said, site_maxima())
    amounts = {limit.setting: amount(limit, said[limit.setting]) for limit in LIMITS}
    whole = {name: int(value) for name, value in amounts.items() if value is not None}
    fallback = DriverLimits()
    return RunLimits(
        limits=Limits(
            processes=whole["max_processes"],
            open_files=whole["max_open_files"],
            file_bytes=whole["max_file_bytes"],
            tmp_bytes=whole["max_tmp_bytes"],
            memory_bytes=whole.get("max_memory_bytes"),
            cpus=amounts["max_cpus"],
        ),
        bounds=Bounds(
            cpu_seconds=amounts["max_cpu_seconds"],
            stall_seconds=amounts["max_stall_timeout"],
            disk_bytes=whole.get("max_disk_bytes"),
            messages=DriverLimits(
                messages=whole.get("max_messages", fallback.messages),
                message_bytes=whole.get("max_message_bytes", fallback.message_bytes),
                total_bytes=whole.get("max_messages_bytes", fallback.total_bytes),
            ),
            weaker=weaker,
        ),
        timeout=amounts["max_timeout"],
        execution_timeout=amounts["max_execution_timeout"],
    )


def with_room(bounds: Bounds, run: Path, stage: Path) -> Bounds:
    """Return the bounds with a limit on what is written, when there is none, that leaves room to stage a copy of it.

    Both are host folders.
    """
    if bounds.disk_bytes is not None:
        return bounds
    here, there = (shutil.disk_usage(folder).free - bounds.free_bytes for folder in (run, stage))
    room = here // 2 if os.stat(run).st_dev == os.stat(stage).st_dev else min(here, there)
    return replace(bounds, disk_bytes=max(0, room))
