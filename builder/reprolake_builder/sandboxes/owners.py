"""Who made what outlives its maker when that is killed, as text: a process of this host, told from every other one."""

from __future__ import annotations

import os
import re
from pathlib import Path

_OWNER = re.compile(r"([0-9]{1,9})-([0-9]+)-([0-9]+)")


def started(pid: int) -> str:
    """Return when a process began, in the kernel's ticks, so that no later one of its number passes for it; "" without one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_over(pid: int, since: str) -> bool:
    """Whether the process that began then is no more. Where /proc hides those of others (hidepid), one that is there counts."""
    if found := started(pid):
        return found != since
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def owner() -> str:
    """Return this process, as text."""
    return f"{os.getpid()}-{started(os.getpid())}-{_namespace()}"


def is_gone(maker: str) -> bool:
    """Whether a maker was a process of our own PID namespace and is no more; of what is no such text that is not known."""
    words = _OWNER.fullmatch(maker.strip())
    return words is not None and words[3] == _namespace() and is_over(int(words[1]), words[2])


def _namespace() -> str:
    return str(os.stat("/proc/self/ns/pid").st_ino)
