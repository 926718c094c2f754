"""Folders for unfinished work: one per process, swept by the next process when its owner is gone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import threading
from pathlib import Path

from reprolake_builder.removal import remove_tree

_SESSION = re.compile(r"\d+-[0-9a-f]{12}")


class Unfinished:
    """This process's folder below `tmp` (host path), made when it is asked for."""

    def __init__(self, tmp: Path) -> None:
        self._tmp = tmp
        self._folder: Path | None = None
        self._held = -1
        self._opening = threading.Lock()

    def folder(self) -> Path:
        """Return the folder; what processes that are gone left beside it is removed first."""
        with self._opening:
            if self._folder is None or not self._is_ours(self._folder):
                self._tmp.mkdir(parents=True, exist_ok=True)
                _sweep(self._tmp)
                self._folder, self._held = _new(self._tmp)
            return self._folder

    def close(self) -> None:
        """Remove the folder, and what programs of killed processes wrote after the sweep."""
        if self._folder is None or not self._is_ours(self._folder):
            return
        remove_tree(self._folder)
        with contextlib.suppress(OSError):  # a disk that went away has been told of already
            _lock_of(self._folder).unlink(missing_ok=True)
            _sweep(self._tmp)
        os.close(self._held)
        self._folder = None

    def _is_ours(self, folder: Path) -> bool:
        return folder.name.startswith(f"{os.getpid()}-")  # not that of the process that we were forked from


def _new(tmp: Path) -> tuple[Path, int]:
    """Return a new folder and the descriptor whose lock says that its owner lives."""
    while True:
        folder = tmp / f"{os.getpid()}-{secrets.token_hex(6)}"
        try:
            held = _locked(folder)
        except BlockingIOError:
            continue  # another process swept it between its making and its locking
        if os.fstat(held).st_nlink:
            folder.mkdir(mode=0o700)  # inputs and outputs of runs lie here, which concern nobody else
            return folder, held
        os.close(held)


def _sweep(tmp: Path) -> None:
    """Remove the folders whose owners are gone; what cannot be removed now stays for the next sweep."""
    for name in {path.name.removesuffix(".lock") for path in tmp.iterdir()}:
        if not _SESSION.fullmatch(name):
            continue  # not ours
        folder = tmp / name
        try:
            descriptor = _locked(folder)
        except OSError:
            continue  # its owner lives, or it belongs to another user
        remove_tree(folder)
        if not folder.exists():
            _lock_of(folder).unlink(missing_ok=True)
        os.close(descriptor)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _locked(folder: Path) -> int:
    descriptor = os.open(_lock_of(folder), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
