"""What all documents share: frozen, keyword-only, unknown fields forbidden; read and written as JSON."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

# Documents come from anybody. Where a pattern ends in "$(?!\n)": a "$" alone would let a line break follow.
Sha256 = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", description="SHA-256 in lower-case hexadecimal")
]
Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$(?!\n)", description="OCI digest")]
CommitId = Annotated[
    str, msgspec.Meta(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$(?!\n)", description="full git commit id")
]
TreeHash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}$(?!\n)", description="git tree hash (SHA-1)")]
Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 50, description="bytes")]
Moment = Annotated[datetime, msgspec.Meta(tz=True, description="a time with its offset from UTC")]
FolderInside = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?:(?!\.{1,2}(?:/|$))[^/\x00-\x1f\x7f]+(?:/(?!\.{1,2}(?:/|$))[^/\x00-\x1f\x7f]+)*)?$(?!\n)",
        description="folder relative to another one, which it does not lead out of",
    ),
]


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every document."""


D = TypeVar("D")


def encode(document: Any) -> bytes:
    """Return the document as compact JSON with sorted keys: the form that hashes are taken of."""
    return msgspec.json.encode(document, order="sorted")


def pretty(document: Any) -> bytes:
    """Return the document as indented JSON for people, ending in a newline."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def decode(data: bytes, kind: type[D]) -> D:
    """Return the document of type `kind` in `data`. Raises msgspec.ValidationError or msgspec.DecodeError."""
    return msgspec.json.decode(data, type=kind)


def content_hash(document: Any) -> Sha256:
    """Return the SHA-256 of the document's canonical JSON."""
    return hashlib.sha256(encode(document)).hexdigest()


def file_sha256(path: Path) -> Sha256:
    """Return the SHA-256 of a host file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
