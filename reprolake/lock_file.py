"""The file of a lock on this host: read with limits, and written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from reprolake.options import UsageError
from reprolake_builder.denied import denied
from reprolake_builder.documents.base import decode, pretty
from reprolake_builder.documents.lock import PLATFORM, EnvironmentLock
from reprolake_builder.errors import LockError
from reprolake_builder.process import printable
from reprolake_builder.whole_files import write_whole

_LOCK_LIMIT = 64 << 20  # bytes


def write_lock(made: EnvironmentLock, path: Path) -> None:
    """Write the lock to a host path, whole or not at all."""
    write_text(pretty(made), path)


def write_text(data: bytes, path: Path) -> None:
    """Write a file at a host path, whole or not at all. Raises UsageError."""
    try:
        write_whole(path, data)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def read_lock(path: Path) -> EnvironmentLock:
    """Return the lock in a file (host path). Raises LockError naming the field that is wrong."""
    if why := denied(path):
        raise LockError(f"{path} cannot be read: {why}")
    try:
        if path.stat().st_size > _LOCK_LIMIT:
            raise LockError(f"{path} is larger than {_LOCK_LIMIT >> 20} MiB, which no lock is")
        data = path.read_bytes()
        try:
            return decode(data, EnvironmentLock)
        except msgspec.ValidationError:
            _refuse_other_platform(path, data)
            raise
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LockError(
            f"{path} is no lock that this version reads: {error}",
            hint="a lock is what `reprolake lock LINK -o FILE` writes; make it again with this version",
        ) from error


class _Platform(msgspec.Struct):
    platform: str


def _refuse_other_platform(path: Path, data: bytes) -> None:
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        found = msgspec.json.decode(data, type=_Platform).platform
        if found != PLATFORM:
            raise LockError(
                f"{path} is for {printable(found)}, and this version knows {PLATFORM} only",
                hint=f"lock the repository itself again: that gives a lock for {PLATFORM}",
            )


def check_lock_file(path: Path) -> None:
    """Return when a lock can be put at a host path, so far as that is known before. Raises UsageError."""
    if not os.path.isdir(path.parent):
        raise UsageError(
            f"{path} cannot be written: there is no folder {path.parent}",
            hint="make the folder first, or name another file",
        )
