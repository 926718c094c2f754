"""What a person wants to see of an executed notebook: its figures, and where it failed."""

from __future__ import annotations

import binascii
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from reprolake_runner.documents.run import cell_name

MAX_NOTEBOOK = 128 << 20
MAX_FIGURES = 200
MAX_FIGURE = 32 << 20
MAX_FAILURES = 20
_LONGEST = 100_000  # characters of a text that is shown
ANSI = re.compile(r"\x1b(\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_])")
_TYPES = {"image/png": (b"\x89PNG\r\n\x1a\n", "png"), "image/jpeg": (b"\xff\xd8\xff", "jpg")}


@dataclass(frozen=True, slots=True)
class Figure:
    """An image that a cell showed, by its name for people: `path` is relative to the result."""

    cell: str
    path: str


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception in a cell, by its name for people: what was raised in one line, the source, the traceback as plain text."""

    cell: str
    message: str
    source: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What was found; `note` says why something is missing, "" when nothing is."""

    figures: tuple[Figure, ...] = ()
    failures: tuple[Failure, ...] = ()
    note: str = ""


class _Output(msgspec.Struct):
    output_type: str = ""
    data: dict[str, Any] = {}
    ename: str = ""
    evalue: str = ""
    traceback: list[str] = []


class _Cell(msgspec.Struct):
    source: str | list[str] = ""
    outputs: list[_Output] = []
    execution_count: int | None = None


class _Notebook(msgspec.Struct):
    cells: list[_Cell] = []


def extract(notebook: Path, folder: Path) -> Shown:
    """Return figures and failures of an executed notebook (host path), the figures written below `folder`/figures.

    Only what is PNG or JPEG by its first bytes is written. What the notebook's kernel sent is not trusted to be anything.
    """
    if notebook.stat().st_size > MAX_NOTEBOOK:
        return Shown(note=f"figures are not shown: the notebook has more than {MAX_NOTEBOOK} bytes")
    try:
        parsed = msgspec.json.decode(notebook.read_bytes(), type=_Notebook)
    except (msgspec.DecodeError, RecursionError):
        return Shown(note="figures are not shown: the executed notebook is not valid")
    failures = tuple(itertools.islice(_failures(parsed), MAX_FAILURES + 1))
    notes = (
        [f"only the first {MAX_FAILURES} failures are shown; the notebook has all"]
        if len(failures) > MAX_FAILURES
        else []
    )
    figures: list[Figure] = []
    for index, cell, suffix, data in _images(parsed):
        if len(figures) == MAX_FIGURES:
            notes.append(f"only the first {MAX_FIGURES} figures are shown")
            break
        (folder / "figures").mkdir(exist_ok=True)
        path = f"figures/cell-{index + 1:03}-{len(figures) + 1:03}.{suffix}"
        (folder / path).write_bytes(data)
        figures.append(Figure(cell_name(index, cell.execution_count), path))
    return Shown(tuple(figures), failures[:MAX_FAILURES], "; ".join(notes))


def _images(notebook: _Notebook) -> Iterator[tuple[int, _Cell, str, bytes]]:
    for index, cell in enumerate(notebook.cells):
        for output in cell.outputs:
            for kind, (magic, suffix) in _TYPES.items():
                data = _decoded(output.data.get(kind))
                if data.startswith(magic) and len(data) <= MAX_FIGURE:
                    yield index, cell, suffix, data
                    break


def _decoded(value: Any) -> bytes:
    text = "".join(part for part in value if isinstance(part, str)) if isinstance(value, list) else value
    if not isinstance(text, str):
        return b""
    try:
        return binascii.a2b_base64(text.encode())
    except (binascii.Error, UnicodeEncodeError):
        return b""


def _failures(notebook: _Notebook) -> Iterator[Failure]:
    for index, cell in enumerate(notebook.cells):
        for output in cell.outputs:
            if output.output_type == "error":
                source = cell.source if isinstance(cell.source, str) else "".join(cell.source)
                message = plain_text(f"{output.ename}: {output.evalue}").split("\n")[0]
                yield Failure(
                    cell_name(index, cell.execution_count),
                    message,
                    source,
                    plain_text("\n".join(output.traceback)),
                )


def plain_text(text: str) -> str:
    """Return text without terminal sequences and other control characters, cut when it is long; newlines and tabs stay."""
    text = ANSI.sub("", text[:_LONGEST])
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
