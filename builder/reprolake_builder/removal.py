"""Removing folders that a stranger's program filled: however deep, however locked, links never followed.

The standard library's way calls itself once for each level and gives up at folders without permissions; a notebook that
makes a thousand folders in folders would then break the store for every later call.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(folder: Path) -> None:
    """Remove a folder (host path) and what is below it; what cannot be removed stays, as does a mere link.

    Every folder found inside is first moved up to the top, so that depth costs neither stack nor descriptors.
    """
    prefix = secrets.token_hex(8)  # no name that is there already: who made those could not know it
    names = (f"{prefix}-{number}" for number in count())
    with suppress(OSError):
        with _opened(os.fspath(folder), None) as top:
            stuck: set[str] = set()
            while found := _empty(top, top, names) - stuck:
                for name in found:
                    try:
                        with _opened(name, top) as inner:
                            _empty(inner, top, names)
                        os.rmdir(name, dir_fd=top)
                    except OSError:
                        stuck.add(name)
        folder.rmdir()


def _empty(folder: int, top: int, names: Iterator[str]) -> set[str]:
    """Remove the files of an open folder and move its folders to `top`; return the names of folders when it is the top."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    folders = set()
    for name, is_folder in found:
        if not is_folder:
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)
        elif folder == top:
            folders.add(name)
        else:
            with suppress(OSError), _opened(name, folder):  # opened: a locked folder cannot be moved either
                os.rename(name, next(names), src_dir_fd=folder, dst_dir_fd=top)
    return folders


@contextmanager
def _opened(name: str, folder: int | None) -> Iterator[int]:
    """Yield a descriptor of a folder, which gets back the permissions that its maker took from it."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        with suppress(OSError):
            os.chmod(f"/proc/self/fd/{handle}", 0o700)
        descriptor = os.open(".", _FOLDER, dir_fd=handle)
    finally:
        os.close(handle)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
