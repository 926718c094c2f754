"""What bubblewrap and the overlay need of a host, and what to do when it is missing."""

from __future__ import annotations

import functools
import os
import platform
import re
import secrets
import shutil
import stat
from pathlib import Path

from reprolake_builder import process

_PATH = "/usr/local/bin:/usr/bin:/bin"
_OLDEST_BWRAP = (0, 8)
_OLDEST_KERNEL = (5, 11)
# Above what systemd and container engines hand out, below what some programs take for a negative number.
# Source: systemd, docs/UIDS-GIDS.md
_FREE_USERS = range(0x70000000, 0x7FFF0000)


@functools.cache
def bwrap() -> str:
    """Host path of bubblewrap, "" when there is none."""
    return shutil.which("bwrap", path=_PATH) or ""


@functools.cache
def version() -> tuple[int, ...]:
    """Version of bubblewrap, () when it does not say."""
    words = process.run([bwrap(), "--version"], env={}).stdout.decode(errors="replace")
    found = re.search(r"(\d+(?:\.\d+)+)", words)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def other_machine() -> str:
    """Why programs of an image cannot run on this host at all; "" when they can."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return (
            f"images are for linux/amd64, and this host is {platform.system()} on {platform.machine() or 'an unknown processor'}: "
            "locks can be made here, but building and running takes Linux on x86-64"
        )
    return ""


@functools.cache
def missing() -> str:
    """What this host lacks for user namespaces and overlays in them, with the remedy; "" when nothing is known to be missing."""
    if problem := other_machine():
        return problem
    kernel = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])
    if kernel < _OLDEST_KERNEL:
        return (
            f"Linux {platform.release()} does not let users mount overlays; "
            f"a kernel from {'.'.join(map(str, _OLDEST_KERNEL))} on is needed"
        )
    return _namespaces_off()


@functools.cache
def bwrap_missing() -> str:
    """What this host lacks to use bubblewrap; "" when nothing is known to be missing."""
    if not bwrap():
        return "bubblewrap is not installed; install the package `bubblewrap` (Debian, Ubuntu, Fedora: the same name)"
    if Path(bwrap()).stat().st_mode & stat.S_ISUID:
        return f"{bwrap()} is set-uid root, which is not safe; run `chmod u-s {bwrap()}` as root"
    if version() < _OLDEST_BWRAP:
        return (
            f"bubblewrap {'.'.join(map(str, version()))} is too old; "
            f"version {'.'.join(map(str, _OLDEST_BWRAP))} or later is needed"
        )
    return ""


def _namespaces_off() -> str:
    for setting, bad in (
        ("user/max_user_namespaces", "0"),
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ):
        path = Path("/proc/sys") / setting
        try:
            value = path.read_text().strip()
        except OSError:
            continue  # this kernel does not have the switch
        if value == bad and not (setting.startswith("kernel") and os.geteuid() == 0):
            name = setting.replace("/", ".")
            remedy = "1" if bad == "0" and setting.startswith("kernel") else "0" if bad == "1" else "15000"
            return f"user namespaces are switched off ({name} = {value}); as root, run `sysctl -w {name}={remedy}`"
    return ""


def free_user() -> int:
    """Return a user number that, in all likelihood, nothing else on this host uses."""
    ranges = [
        tuple(int(word) for word in line.split())
        for line in Path("/proc/self/uid_map").read_text().splitlines()
    ]
    if any(first <= _FREE_USERS.start and first + size >= _FREE_USERS.stop for first, _, size in ranges):
        return secrets.choice(_FREE_USERS)
    # root of a container that has some users only: take one from the upper half of what it has
    first, _, size = max(ranges, key=lambda item: item[2])
    return first + size // 2 + secrets.randbelow(max(1, size // 2 - 16))
