"""What a program changed in its copy-on-write view, read after it ended. Everything found here is untrusted.

Source: Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.sandboxes.interface import CopyOnWrite

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Changes:
    """Paths relative to the view, sorted; `created` and `changed` ones lie below `folder` (host path).

    Bytes, since file names need not be text. Only what is neither a folder nor unchanged is listed: files, symbolic links
    and odder things, none of which may be followed or opened without a look first.
    """

    folder: Path
    created: tuple[bytes, ...]
    changed: tuple[bytes, ...]
    deleted: tuple[bytes, ...]


def changes(view: CopyOnWrite) -> Changes:
    """Return what differs between `view.lower` and what its program left."""
    copied = (view.scratch / "copy").is_dir()
    folder = view.scratch / ("copy" if copied else "upper")
    created, changed, deleted = [], [], []
    lower = os.fsencode(view.lower)
    for path, info in _walk(os.fsencode(folder), b""):
        original = _status(lower + b"/" + path)
        if stat.S_ISCHR(info.st_mode):
            if info.st_rdev == 0 and original is not None:
                deleted.append(path)
        elif original is None:
            created.append(path)
        elif not _same(os.fsencode(folder) + b"/" + path, info, lower + b"/" + path, original):
            changed.append(path)
    if copied:
        top = os.fsencode(folder)
        deleted = [path for path, _ in _walk(lower, b"") if _status(top + b"/" + path) is None]
    return Changes(folder, tuple(sorted(created)), tuple(sorted(changed)), tuple(sorted(deleted)))


def _walk(base: bytes, prefix: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield everything below `base` that is not a folder; folders that cannot be read are opened up: they are ours."""
    pending = [prefix]
    while pending:
        folder = pending.pop()
        on_disk = base + b"/" + folder
        if folder and not os.access(on_disk, os.R_OK | os.X_OK):
            os.chmod(on_disk, 0o700)
        with os.scandir(on_disk) as listing:
            for item in listing:
                path = folder + b"/" + item.name if folder else item.name
                info = item.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    pending.append(path)
                else:
                    yield path, info


def _status(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _same(path: bytes, info: os.stat_result, original: bytes, before: os.stat_result) -> bool:
    """Whether a file or link is what it was; one that was only opened for writing is copied up, too."""
    if stat.S_IFMT(info.st_mode) != stat.S_IFMT(before.st_mode) or info.st_size != before.st_size:
        return False
    if stat.S_ISLNK(info.st_mode):
        return os.readlink(path) == os.readlink(original)
    if not stat.S_ISREG(info.st_mode):
        return False
    if not info.st_mode & stat.S_IRUSR:
        os.chmod(path, 0o600)
    with open(path, "rb", buffering=0) as one, open(original, "rb", buffering=0) as other:
        while piece := one.read(_PIECE):
            if piece != other.read(_PIECE):
                return False
    return True
