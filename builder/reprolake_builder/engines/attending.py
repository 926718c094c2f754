"""Attending to a program that strangers wrote while it works in the sandbox: its time, its memory, the disk, its last words."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from reprolake_builder.errors import BuildError
from reprolake_builder.process import printable
from reprolake_builder.sandboxes.cgroups import available_memory
from reprolake_builder.sandboxes.interface import Limits, Running

_MINUTES = 60
_LOOK = 1.0  # seconds between two looks at the disk
LEFT_FREE = 512 << 20
"""Bytes of the disk that are left to others."""
_PROCESSES, _FILE_BYTES = 1024, 16 << 30
_LOG_READ = 1 << 20


def build_limits() -> Limits:
    """Return what a program may take that works on an image."""
    memory = available_memory() // 10 * 9
    return Limits(processes=_PROCESSES, file_bytes=_FILE_BYTES, memory_bytes=memory)


@dataclass(frozen=True, slots=True)
class Work:
    """A program's work in words, the host folder whose disk it works on, and what it may take."""

    what: str
    folder: Path
    limits: Limits = field(default_factory=build_limits)


def attend(
    running: Running,
    work: Work,
    failure: type[BuildError] = BuildError,
    look: Callable[[], object] = lambda: None,
) -> int:
    """Return the exit status of a program once nothing of it runs any more; `look` is called every second.

    Raises `failure` when it takes too long, all of the disk, or more memory than it may.
    """
    try:
        status = _wait(running, work, failure, look)
    finally:
        running.kill()
    usage = running.usage()
    if status != 0 and usage is not None and usage.kills:
        raise failure(
            f"{work.what} ran out of memory: more than {(work.limits.memory_bytes or 0) >> 20} MiB were needed",
            hint="build on a host with more memory; the lock stays the same",
        )
    return status


def _wait(running: Running, work: Work, failure: type[BuildError], look: Callable[[], object]) -> int:
    deadline = time.monotonic() + _MINUTES * 60
    while time.monotonic() < deadline:
        look()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return running.wait(_LOOK)
        if shutil.disk_usage(work.folder).free < LEFT_FREE:
            raise failure(
                f"{work.what} filled the disk: less than {LEFT_FREE >> 20} MiB are free",
                hint="free some space, or choose another --store",
            )
    raise failure(
        f"{work.what} took more than {_MINUTES} minutes", hint="try again on a host that has less to do"
    )


def last_words(log: IO[bytes]) -> str:
    """Return the end of what was said, as printable text."""
    log.seek(0, 2)
    log.seek(max(0, log.tell() - _LOG_READ))
    return printable(log.read().decode("utf-8", "replace").strip())
