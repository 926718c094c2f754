"""Files of an image, read from its trees without running anything and without following a link anywhere.

What they hold comes from packages and the repository: it is data from strangers.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

LIMIT = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def listed(trees: Sequence[Path], folder: str) -> frozenset[str]:
    """Return the names in a folder (image path) over all trees (host folders); names that are not text are left out."""
    names: set[str] = set()
    for tree in trees:
        descriptor = _opened(tree, folder.strip("/").split("/"))
        if descriptor is None:
            continue
        try:
            names.update(name for name in os.listdir(descriptor) if name.isprintable())
        finally:
            os.close(descriptor)
    return frozenset(names)


def content(trees: Sequence[Path], path: str) -> bytes | None:
    """Return what the plain file at `path` (image path) holds, as the highest tree has it; None when there is none.

    A file of more than LIMIT bytes, or behind a link, counts as none.
    """
    *folders, name = path.strip("/").split("/")
    for tree in reversed(trees):
        descriptor = _opened(tree, folders)
        if descriptor is None:
            continue
        try:
            info = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if not stat.S_ISREG(info.st_mode) or info.st_size > LIMIT:
                return None
            handle = os.open(
                name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=descriptor
            )
            with open(handle, "rb") as stream:
                return stream.read(LIMIT)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        finally:
            os.close(descriptor)
    return None


def _opened(tree: Path, parts: list[str]) -> int | None:
    """Return a descriptor of the folder below `tree`, None when it is not there, or a link or `..` stands in the way."""
    try:
        descriptor = os.open(tree, _FOLDER)
    except OSError:
        return None
    for part in parts:
        if part in {"", "."}:
            continue
        if part == "..":
            os.close(descriptor)
            return None
        try:
            below = os.open(part, _FOLDER, dir_fd=descriptor)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor
