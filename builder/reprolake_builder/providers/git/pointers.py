"""Pointers of Git LFS: small files that stand for larger ones kept elsewhere.

Source: the specification of Git LFS, "The Pointer", and git-lfs-track(1) for the attribute that names the files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from reprolake_builder.documents.base import Sha256

START = b"version https://git-lfs.github.com/spec/v1\n"
LONGEST = 1024  # bytes
ATTRIBUTES = ".gitattributes"
_SPEAKS = re.compile(r"^[^#\n]*\sfilter=lfs(\s|$)", re.MULTILINE)
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d{1,15})\n"
)


@dataclass(frozen=True, slots=True)
class Pointer:
    """The content that a pointer stands for; `size` in bytes."""

    sha256: Sha256
    size: int


def speaks_of_lfs(attributes: str) -> bool:
    """Whether the text of a .gitattributes puts files into Git LFS."""
    return _SPEAKS.search(attributes) is not None


def parse_pointer(content: bytes) -> Pointer | None:
    """Return the pointer that a file is, or None for any other file, also for a pointer through an extension of Git LFS."""
    found = _POINTER.fullmatch(content)
    return Pointer(found[1].decode(), int(found[2])) if found else None
