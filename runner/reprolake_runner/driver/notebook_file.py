"""The executed notebook on disk: whole whenever it is there, saved seldom, and never finished before it is."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import nbformat.v4
from nbformat.notebooknode import NotebookNode

from reprolake_runner.documents.run import Parameter

_reads: Callable[[str], NotebookNode] = nbformat.v4.reads  # without the schema: that was looked at before
render: Callable[[NotebookNode], str] = nbformat.v4.writes
_EVERY = 3.0
_SHARE = 20  # a save may take a twentieth of the time


def parse(text: str) -> NotebookNode:
    """Return a notebook whose code cells all have outputs and a count, which some programs leave out."""
    notebook = _reads(text)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)
    return notebook


class NotebookFile:
    """Reads a notebook, keeps papermill's metadata in it, and saves it below `path`."""

    def __init__(self, source: Path, path: Path, written_by: str) -> None:
        self.notebook: NotebookNode = parse(source.read_text("utf-8", "replace"))
        self._path = path
        self._written_by = written_by
        self._next = 0.0
        self.saved = 0.0
        self._started = _now()

    def begin(self, name: str, parameters: tuple[Parameter, ...]) -> None:
        """Mark everything as not yet run; `name` is the notebook's path in the repository.

        Source: papermill 2, the `papermill` entries of its output notebooks.
        """
        self.notebook.metadata["papermill"] = {
            "default_parameters": {},
            "environment_variables": {},
            "parameters": {parameter.name: parameter.value for parameter in parameters},
            "version": self._written_by,
            "input_path": name,
            "output_path": self._path.name,
            "start_time": self._started.isoformat(),
            "end_time": None,
            "duration": None,
            "exception": None,
        }
        for cell in self.notebook.cells:
            mark(cell, "pending")

    def end(self, *, failed: bool) -> None:
        """Mark the notebook as run to its end, or to the cell that failed."""
        ended = _now()
        self.notebook.metadata["papermill"] |= {
            "end_time": ended.isoformat(),
            "duration": (ended - self._started).total_seconds(),
            "exception": failed,
        }

    @property
    def due(self) -> bool:
        """Whether the last save, at `saved` (monotonic seconds), is long enough ago."""
        return time.monotonic() >= self._next

    def save(self) -> str:
        """Write the notebook in one step and return the SHA-256 of the file."""
        begun = time.monotonic()
        # half a surrogate pair in an output becomes the JSON escape that it came as
        data = render(self.notebook).encode("utf-8", "backslashreplace") + b"\n"
        partial = self._path.with_suffix(".partial")
        with partial.open("wb") as stream:
            stream.write(data)
        os.replace(partial, self._path)
        self.saved = begun
        ended = time.monotonic()
        self._next = ended + max(_EVERY, _SHARE * (ended - begun))
        return hashlib.sha256(data).hexdigest()


def mark(
    cell: NotebookNode, status: str, started: datetime | None = None, *, failed: bool | None = None
) -> None:
    """Note a cell's state; with `started`, when it ends now, also how long it took."""
    ended = _now() if failed is not None else None
    cell.metadata["papermill"] = {
        "status": status,
        "start_time": started.isoformat() if started else None,
        "end_time": ended.isoformat() if ended else None,
        "duration": (ended - started).total_seconds() if ended and started else None,
        "exception": failed,
    }


def _now() -> datetime:
    return datetime.now(UTC)
