"""Who keeps this process from reading a path of this host: what is not allowed is not the same as what is not there."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from reprolake_builder.process import printable


def denied(path: str | Path) -> str:
    """Return what stands against reading a host path, and whose it is, for messages; "" when it can be read or is not there."""
    try:
        if _may(os.stat(path), path):
            return ""
    except PermissionError:
        pass
    except (OSError, ValueError):
        return ""
    place = Path(os.path.realpath(path))
    for step in (*reversed(place.parents), place):
        try:
            info = os.stat(step)
        except OSError:
            break
        allowed = _may(info, step) if step == place else os.access(step, os.X_OK, effective_ids=True)
        if not allowed:
            shown = printable(os.fsencode(step).decode("utf-8", "replace"))
            return (
                f"permission denied: {shown} belongs to {_owner(info.st_uid)} ({stat.filemode(info.st_mode)})"
            )
    return "permission denied"


def _may(info: os.stat_result, path: str | Path) -> bool:
    """Whether a file can be read, a folder listed and entered."""
    needed = os.R_OK | os.X_OK if stat.S_ISDIR(info.st_mode) else os.R_OK
    return os.access(path, needed, effective_ids=True)


def _owner(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
