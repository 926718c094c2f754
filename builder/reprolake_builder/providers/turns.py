"""Repositories in the store's cache: one process at a time works in each."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from reprolake_builder.errors import StoreError
from reprolake_builder.tools import Tools


@contextlib.contextmanager
def alone_in(repository: Path, url: str, tools: Tools) -> Iterator[None]:
    """Yield once nobody else works in the repository (host path) that keeps what comes from a URL; others wait, and are told."""
    try:
        repository.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(repository.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(
            f"the store {tools.store.root} cannot be written: {error.strerror}",
            hint="choose a folder of your own with --store DIR",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tools.progress.note(f"Waiting for another process that fetches {url}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
