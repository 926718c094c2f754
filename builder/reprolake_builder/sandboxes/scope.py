"""Control groups by way of systemd: where we may make none ourselves, the user's service manager starts a program in one.

It is believed only after a trial: a program that was started so must have been our own child, have kept a descriptor, and
have found its limits in its group.
Source: systemd-run(1), systemd.resource-control(5).
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from reprolake_builder import process
from reprolake_builder.sandboxes.cgroups import Counts, Place, counted
from reprolake_builder.sandboxes.interface import Limits

_PATH = "/usr/bin:/bin"
_TOP = Path("/sys/fs/cgroup")
_TRIAL_SECONDS = 10
_TRIAL = Limits(processes=99, memory_bytes=64 << 20, cpus=0.5)
_FOUND = ["67108864", "0", "99", "50000 100000"]
# Prints the process that started it, what its descriptor holds, and its limits.
_SCRIPT = f"""
import os, sys
path = [line.split(":", 2)[2].strip() for line in open("/proc/self/cgroup") if line.startswith("0::")][0]
print(os.getppid())
print(os.read(int(sys.argv[1]), 9).decode())
for name in ("memory.max", "memory.swap.max", "pids.max", "cpu.max"):
    print(open("{_TOP}" + path + "/" + name).read().strip())
"""


@functools.cache
def is_there() -> bool:
    """Whether the user's service manager starts programs in groups of their own, with limits that hold."""
    if os.geteuid() == 0 or not shutil.which("systemd-run", path=_PATH) or not _bus().exists():
        return False
    word = os.memfd_create("reprolake", 0)
    try:
        os.write(word, b"inherited")
        os.lseek(word, 0, os.SEEK_SET)
        child = subprocess.run(
            [*prefix(_TRIAL), sys.executable, "-I", "-S", "-c", _SCRIPT, str(word)],
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=(word,),
            timeout=_TRIAL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        os.close(word)
    told = process.printable(child.stdout.decode(errors="replace")).splitlines()
    return told == [str(os.getpid()), "inherited", *_FOUND]


def _bus() -> Path:
    return Path(f"/run/user/{os.geteuid()}/systemd/private")


def environment() -> dict[str, str]:
    """Return what systemd-run needs to find the manager; the program that it becomes drops it."""
    return {"XDG_RUNTIME_DIR": f"/run/user/{os.geteuid()}"}


def prefix(limits: Limits) -> tuple[str, ...]:
    """Return the words before a command that start it in a group with these limits."""
    properties = [f"TasksMax={limits.processes}", "MemoryAccounting=yes", "CPUAccounting=yes"]
    if limits.memory_bytes is not None:
        properties += [f"MemoryMax={limits.memory_bytes}", "MemorySwapMax=0"]
    if limits.cpus is not None:
        properties.append(f"CPUQuota={max(1, round(limits.cpus * 100))}%")
    words = [word for one in properties for word in ("-p", one)]
    return ("/usr/bin/systemd-run", "--user", "--scope", "--quiet", "--collect", *words, "--")


class Scope:
    """The group of a program that was started behind `prefix`."""

    procs: tuple[str, ...] = ()  # systemd puts it there

    def __init__(self, top: Path = _TOP) -> None:
        self._top = top
        self._places: Mapping[str, Place] = {}

    def joined(self, pid: int) -> None:
        """Note the group that a process on this host is in. Raises OSError when the process is gone."""
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                place = Place(self._top / line[3:].lstrip("/"), 2)
                self._places = dict.fromkeys(("memory", "cpuacct", "pids"), place)

    def counts(self) -> Counts:
        """Return what was counted so far. Raises OSError when the group is gone."""
        return counted(self._places)

    def remove(self) -> None:
        """Leave it to systemd."""
