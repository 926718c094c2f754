"""What a staged result holds, in memory: what its crate and its page are written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from reprolake_runner.documents.run import RunRecord
from reprolake_runner.figures import Shown

Role = Literal[
    "source",
    "executed",
    "output",
    "created",
    "changed",
    "added",
    "figure",
    "log",
    "events",
    "record",
    "basket",
]

MEDIA_TYPES = {
    "ipynb": "application/x-ipynb+json", "json": "application/json", "jsonl": "application/jsonl",
    "txt": "text/plain", "log": "text/plain", "md": "text/markdown", "csv": "text/csv", "tsv": "text/tab-separated-values",
    "ecsv": "text/plain", "fits": "application/fits", "fit": "application/fits", "png": "image/png",
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "svg": "image/svg+xml", "pdf": "application/pdf", "html": "text/html",
    "yaml": "application/yaml", "yml": "application/yaml", "xml": "application/xml", "gz": "application/gzip",
    "zip": "application/zip", "h5": "application/x-hdf5", "hdf5": "application/x-hdf5", "parquet": "application/vnd.apache.parquet",
    "npy": "application/octet-stream", "root": "application/octet-stream",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kept:
    """One file of the result: `path` relative to it, `size` in bytes, `original` its name where that was another one."""

    path: str
    size: int
    sha256: str
    role: Role
    original: str = ""

    @property
    def media_type(self) -> str:
        """The media type that the suffix stands for."""
        return MEDIA_TYPES.get(self.path.rpartition(".")[2].lower(), "application/octet-stream")


@dataclass(frozen=True, slots=True)
class Contents:
    """A result before it is described. `annotations` are the image's; `expires` is in UTC, None for never."""

    record: RunRecord
    files: tuple[Kept, ...]
    shown: Shown
    annotations: Mapping[str, str]
    expires: datetime | None

    def of(self, *roles: Role) -> tuple[Kept, ...]:
        """The files of these roles."""
        return tuple(file for file in self.files if file.role in roles)
