"""Outcomes of imagined runs, for the tests of staging out."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reprolake_builder.citations.annotations import citation_annotations
from reprolake_builder.documents.citation import Author, Citation
from reprolake_runner.documents.run import (
    CellRecord,
    Parameter,
    ParameterSet,
    RunRecord,
    RunSpec,
    StagedInput,
)
from reprolake_runner.stage_out import Outcome
from reprolake_runner.staged import new_run_id

CITED = Citation(
    title="Crab spectra",
    description="Spectra of the Crab Nebula.",
    authors=(
        Author(name="Ada Lovelace", orcid="https://orcid.org/0000-0002-1825-0097", affiliation="LAPP"),
        Author(name="Jan Berg"),
    ),
    license="BSD-3-Clause",
    keywords=("spectra", "Crab"),
    doi="10.5281/zenodo.4055175",
    citation="Spectra, 2022",
    told_by=("CITATION.cff",),
)
"""What the imagined source says of itself."""


def png(red=200, green=40, blue=40, size=24):
    """A plain square of one colour."""
    rows = (b"\0" + bytes((red, green, blue)) * size) * size

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def notebook_with(*outputs, source="plot()"):
    """The JSON of a notebook of one cell with these outputs."""
    cell = {
        "cell_type": "code",
        "id": "a",
        "metadata": {},
        "source": source,
        "outputs": list(outputs),
        "execution_count": 1,
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def image_output(data: bytes, kind="image/png"):
    """A display output with an image."""
    return {"output_type": "display_data", "metadata": {}, "data": {kind: base64.b64encode(data).decode()}}


def error_output(name="ValueError", value="no bins", traceback=("\x1b[31mTraceback\x1b[0m", "line 3")):
    """An output of a cell that raised."""
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": list(traceback)}


def _spec(path: str, source: bytes) -> RunSpec:
    """What the imagined run was asked for."""
    return RunSpec(
        image="sha256:" + "ab" * 32,
        notebook=path,
        notebook_sha256=hashlib.sha256(source).hexdigest(),
        parameters=ParameterSet(
            parameters=(
                Parameter(name="bins", value=20, origin="-p"),
                Parameter(name="energies", value=[0.1, 1.0], origin="-f p.yaml"),
                Parameter(name="events", value="/data/in/events 1.fits", origin="--map events=*"),
            )
        ),
        inputs=(
            StagedInput(
                item="abc",
                name="events 1.fits",
                source="file:events%201.fits",
                path="/data/in/events 1.fits",
                size=2880,
                sha256="cd" * 32,
            ),
        ),
    )


def outcome(
    folder: Path, *, executed: bytes | None = None, path="lightcurve.ipynb", **changes: Any
) -> Outcome:
    """A run's outcome in `folder`, with empty output and upper folders; `changes` go to its record."""
    for name in ("repository", "output", "upper"):
        (folder / name).mkdir(parents=True)
    source = notebook_with()
    (folder / "repository" / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / "repository" / path).write_bytes(source)
    (folder / "executed.ipynb").write_bytes(executed if executed is not None else source)
    (folder / "log").write_text("all is well\n")
    (folder / "events").write_text("{}\n")
    (folder / "basket").write_text("{}\n")
    record: dict[str, Any] = {
        "id": new_run_id(),
        "key": "ef" * 32,
        "status": "succeeded",
        "exit_code": 0,
        "message": "every cell ran",
        "started": datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC),
        "ended": datetime(2026, 1, 31, 12, 1, 30, tzinfo=UTC),
        "spec": _spec(path, source),
        "kernel": "python3",
        "cells": (CellRecord(index=0, state="succeeded", seconds=1.0),),
    } | changes
    return Outcome(
        record=RunRecord(**record),
        repository=folder / "repository",
        notebook=folder / "executed.ipynb",
        output=folder / "output",
        upper=folder / "upper",
        printed={"log.txt": folder / "log"},
        events=folder / "events",
        basket=folder / "basket",
        annotations=citation_annotations(CITED)
        | {
            "org.opencontainers.image.source": "https://example.org/jane/crab.git",
            "org.opencontainers.image.revision": "12" * 20,
            "reprolake.source.tree": "34" * 20,
            "reprolake.as-of": "2026-01-30T00:00:00Z",
        },
    )
