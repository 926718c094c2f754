"""Stores that somebody else keeps for this host: read, never written, and believed only where nobody else could have written.

An archive is what its name says, which is found out by hashing it. What a tree or a document says cannot be found out so: it is
believed when the store, all that leads to it and the thing itself belong to root or to oneself and are not writable by others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from reprolake_builder.errors import StoreError
from reprolake_builder.in_use import Marks

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class SharedStore:
    """The store at `root` (host path). Raises StoreError when others than root and oneself could have written it."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        for folder in (self.root, *self.root.parents):
            if reason := _distrusted(folder):
                raise StoreError(
                    f"the shared store {root} is not believed: {folder} {reason}",
                    hint="it and all folders above it have to belong to root or to you, and be writable by nobody else",
                )
        self._marks = Marks(self.root / "in-use", make=False)

    def find(self, *parts: str) -> Path | None:
        """Return what lies below the root under these names when it is to be believed, marked as in use until `close`."""
        self._marks.mark("/".join(parts))
        path = self.root
        for part in parts:
            path /= part
            if not is_plain(path):
                return None
        return path

    def close(self) -> None:
        """Let go of what was used."""
        self._marks.close()


def shared_stores(roots: tuple[Path, ...], own: Path) -> Iterator[SharedStore]:
    """Yield the stores that are there; one that is not mounted at the moment is no error, as all can be had otherwise."""
    for root in roots:
        if os.path.isdir(root) and not (own.is_dir() and root.samefile(own)):
            yield SharedStore(root)


def _distrusted(folder: Path) -> str:
    try:
        info = folder.stat()
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    if info.st_uid not in {0, os.geteuid()}:
        return f"belongs to user {info.st_uid}"
    # In a sticky folder (such as /tmp) nobody can replace what another user made.
    if info.st_mode & _WRITABLE_BY_OTHERS and not info.st_mode & stat.S_ISVTX:
        return f"is writable by others (mode {stat.S_IMODE(info.st_mode):04o})"
    return ""


def is_plain(path: Path) -> bool:
    """Whether there is a file or folder, no link, that nobody but root and oneself could have written."""
    try:
        info = path.lstat()
    except OSError:
        return False
    return (
        (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode))
        and info.st_uid in {0, os.geteuid()}
        and not info.st_mode & _WRITABLE_BY_OTHERS
    )
