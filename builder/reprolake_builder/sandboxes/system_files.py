"""Files below /etc that engines fill with what they know of the host: here they say nothing of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from reprolake_builder.sandboxes.arguments import HOSTNAME
from reprolake_builder.sandboxes.interface import Bind, ImageRoot, SandboxSpec

_MOST = 1 << 20  # bytes of a file of users


def system_files(spec: SandboxSpec, user: tuple[int, int], folder: Path) -> tuple[Bind, ...]:
    """Return binds of files that are written to a host folder; `user` are user and group as the program has them.

    An image's user of the specification has that number in them, so that the program has a name.
    """
    contents = {
        "/etc/hostname": f"{HOSTNAME}\n".encode(),
        "/etc/hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.0.1\t{HOSTNAME}\n".encode(),
        "/etc/resolv.conf": b"",
        "/etc/passwd": _users(spec, user),
    }
    binds = []
    for target, content in contents.items():
        place = folder / target.rpartition("/")[2]
        place.write_bytes(content)
        place.chmod(0o644)
        binds.append(Bind(place, target))
    return tuple(binds)


def _users(spec: SandboxSpec, user: tuple[int, int]) -> bytes:
    lines = []
    for line in _of_image(spec).splitlines():
        fields = line.split(b":")
        if len(fields) == 7 and fields[2] == str(spec.uid).encode():
            fields[2:4] = [b"%d" % number for number in user]
        lines.append(b":".join(fields) + b"\n")
    return b"".join(lines)


def _of_image(spec: SandboxSpec) -> bytes:
    """Return the image's own file of users; what is none of a sensible size counts as empty."""
    trees = spec.root.trees if isinstance(spec.root, ImageRoot) else ()
    for tree in reversed(trees):
        if (tree / "etc").is_dir() and not (tree / "etc").is_symlink():
            try:
                descriptor = os.open(
                    tree / "etc/passwd", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                )
            except OSError:
                continue
            with open(descriptor, "rb") as stream:
                info = os.fstat(descriptor)
                return stream.read() if stat.S_ISREG(info.st_mode) and info.st_size <= _MOST else b""
    return b""
