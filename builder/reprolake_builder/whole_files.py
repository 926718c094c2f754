"""Files that are written whole or not at all: beside their place first, then renamed."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield where to write (host path): what lies there takes the place of `path` at the block's end, unless that is an error.

    Raises OSError.
    """
    # The name of `path` is no part of it: that one may be as long as a name can be.
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file (host path). Raises OSError."""
    with replacing(path) as partial:
        partial.write_bytes(data)
