"""The seam between a URL and its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

PIECE = 1 << 20
"""Bytes of one piece."""


class Transport(Protocol):
    """One way to fetch what URLs of a scheme name."""

    def size(self, url: str) -> int | None:
        """Size in bytes if it is known without fetching. Raises StageInError when there is nothing to fetch."""

    def pieces(self, url: str) -> Iterator[bytes]:
        """Yield the bytes in pieces, none of them large. Raises StageInError when they cannot be had whole."""
