"""What of this host a hostile program could have changed, seen from outside: before and after have to be equal.

Other programs run here at the same time, so only that counts which belongs to the sandbox's own user outside, lies in the given
folders, or holds the marker in its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HostState:
    """Processes, listening sockets and keys of a user, mounts with the marker, and files with what is in them."""

    processes: frozenset
    sockets: frozenset
    keys: frozenset
    mounts: frozenset
    files: frozenset
    settings: frozenset


_OWN_KEYRINGS = 20
_SETTINGS = ("kernel/core_pattern", "kernel/modprobe", "vm/overcommit_memory", "kernel/hostname")


def host_state(user, marker, folders):
    """The state now; `user` is the number that sandboxed programs have outside, `folders` are host paths."""
    return HostState(
        processes=frozenset(_processes(user)),
        sockets=frozenset(_sockets(user, marker)),
        keys=frozenset(_keys(user)),
        mounts=frozenset(
            line.split()[4]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if marker in line
        ),
        files=frozenset(one for folder in folders for one in _files(Path(folder))),
        settings=frozenset(_settings()),
    )


def differences(before, after):
    """Names of what changed, each with the things that came or went."""
    found = {}
    for name in HostState.__dataclass_fields__:
        if changed := getattr(before, name) ^ getattr(after, name):
            found[name] = sorted(map(str, changed))
    return found


def _settings():
    for name in _SETTINGS:
        with contextlib.suppress(FileNotFoundError):
            yield name, Path("/proc/sys", name).read_text()


def _processes(user):
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and folder.stat().st_uid == user and user != os.getuid():
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z":  # dead, and nobody has asked yet how it ended
                    yield folder.name, (folder / "comm").read_text()


def _sockets(user, marker):
    for name in ("tcp", "tcp6", "udp", "udp6", "raw", "packet"):
        with contextlib.suppress(OSError):
            for line in Path("/proc/net", name).read_text().splitlines()[1:]:
                words = line.split()
                if name != "packet" and words[7] == str(user) and user != os.getuid():
                    yield name, words[1]
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        if marker in line:
            yield "unix", line.split()[-1]


def _keys(user):
    for line in Path("/proc/key-users").read_text().splitlines():
        owner, _, count = line.partition(":")
        if owner.strip() == str(user) and user != os.getuid():
            # the session keyrings of sandboxes that ended are cleared away a few seconds later
            yield "keys", int(count.split()[0]) > _OWN_KEYRINGS


def _files(folder):
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            info = path.lstat()
            content = ""
            if stat.S_ISREG(info.st_mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            elif stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            yield (
                str(path),
                info.st_mode,
                info.st_uid,
                info.st_nlink if not stat.S_ISDIR(info.st_mode) else 0,
                content,
            )
