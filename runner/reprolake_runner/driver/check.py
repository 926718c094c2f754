"""Executed outputs beside those that the notebook was saved with: did the cell reproduce?"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nbformat.notebooknode import NotebookNode

from reprolake_runner.documents.run import CheckSpec, OutputCheck
from reprolake_runner.driver.same_text import Difference, compare_texts, with_steady_names

_LONGEST = 16 << 20  # characters that are compared piece by piece
_SHOWN = 300
_PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
_MARKUP = {"text/html", "image/svg+xml"}
_PDF = "application/pdf"
_MADE_AT = re.compile(rb"/(?:CreationDate|ModDate) ?\([^)]{0,40}\)|/ID ?\[[^\]]{0,200}\]")
_PASSING = {"application/vnd.jupyter.widget-view+json", "application/javascript"}  # names made up in each run


@dataclass(frozen=True, slots=True)
class SavedCell:
    """A cell, and the outputs and count that it had when it was saved: a stranger's file may hold anything in their place."""

    cell: NotebookNode
    outputs: Any
    count: Any


def check_cell(index: int, saved: SavedCell, how: CheckSpec, now: datetime) -> OutputCheck:
    """Return whether the outputs of a cell are those that were saved; what is written to standard error does not count."""
    outputs = saved.outputs if isinstance(saved.outputs, list) else []
    before, after = list(_joined(outputs)), list(_joined(saved.cell.outputs))
    if not before and saved.count is None:
        return OutputCheck(index=index, verdict="not-saved" if after else "same")
    if before == after:
        return OutputCheck(index=index, verdict="same")
    if len(before) != len(after):
        reason = f"{_counted(after)}, saved with {_counted(before)}"
        return OutputCheck(index=index, verdict="differs", reason=reason)
    passed = ""
    for one, other in zip(before, after, strict=True):
        found = _compare(one, other, how, now)
        if found is not None and found.matters:
            return OutputCheck(index=index, verdict="differs", reason=found.reason[:_SHOWN])
        passed = passed or (found.reason if found else "")
    return OutputCheck(index=index, verdict="close" if passed else "same", reason=passed[:_SHOWN])


def _counted(outputs: list[Any]) -> str:
    return f"{len(outputs) or 'no'} output{'' if len(outputs) == 1 else 's'}"


def _joined(outputs: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the outputs that count, each without what says nothing; pieces of standard output as one."""
    printed: dict[str, Any] | None = None
    for output in outputs:
        kind = output.get("output_type") if isinstance(output, dict) else None
        if kind == "stream" and output.get("name") != "stdout":
            continue
        if kind == "stream" and printed is not None:
            printed["text"] += _text(output.get("text"))
            continue
        printed = None
        if kind == "stream":
            printed = {"kind": "stream", "text": _text(output.get("text"))}
            yield printed
        elif kind in {"display_data", "execute_result"} and isinstance(output.get("data"), dict):
            yield {"kind": "shown", "data": {name: _text(value) for name, value in output["data"].items()}}
        elif kind == "error":
            yield {"kind": "error", "text": f"{output.get('ename')}: {_text(output.get('evalue'))}"}


def _compare(saved: dict[str, Any], new: dict[str, Any], how: CheckSpec, now: datetime) -> Difference | None:
    if saved["kind"] != new["kind"]:
        return Difference(f"an output of kind {saved['kind']} became one of kind {new['kind']}")
    if saved["kind"] != "shown":
        return _texts(saved["text"], new["text"], how, now)
    common = [kind for kind in saved["data"] if kind in new["data"] and kind not in _PASSING]
    if not common:
        return (
            None
            if saved["data"].keys() & new["data"].keys()
            else Difference("it is shown in other media types")
        )
    passed: Difference | None = None
    for kind in common:
        found = _of_kind(kind, saved["data"][kind], new["data"][kind], how, now)
        if found is not None and found.matters:
            return Difference(f"{kind}: {found.reason}")
        passed = passed or found
    return passed


def _of_kind(kind: str, saved: str, new: str, how: CheckSpec, now: datetime) -> Difference | None:
    if kind in _MARKUP and saved != new:
        found = _texts(with_steady_names(saved), with_steady_names(new), how, now)
        return found or Difference("names of elements differ", matters=False)
    if kind not in _PICTURES and kind != _PDF:
        return _texts(saved, new, how, now)
    try:
        before, after = (binascii.a2b_base64(text.encode()) for text in (saved, new))
    except ValueError:
        return Difference("what differs is no base64")
    if before == after:
        return None
    return _files(before, after) if kind == _PDF else _pictures(before, after, how)


def _pictures(saved: bytes, new: bytes, how: CheckSpec) -> Difference:
    from reprolake_runner.driver.pixels import NotComparable, differing_share  # seldom needed

    try:
        share = differing_share(saved, new)
    except NotComparable as error:
        return Difference(f"the images have other bytes and cannot be compared by pixels: {error}")
    told = f"{100 * share:.3g} % of the pixels differ"
    return Difference(told, matters=share > how.image_tolerance)


def _files(saved: bytes, new: bytes) -> Difference:
    if _MADE_AT.sub(b"", saved) == _MADE_AT.sub(b"", new):
        return Difference("the dates of the PDF differ", matters=False)
    return Difference("the PDF has other bytes; figures are compared by what they show as PNG, JPEG or SVG")


def _texts(saved: str, new: str, how: CheckSpec, now: datetime) -> Difference | None:
    if saved != new and max(len(saved), len(new)) > _LONGEST:
        return Difference("the texts differ and are too long to say where")
    return compare_texts(saved, new, how.tolerance, now)


def _text(value: Any) -> str:
    """Return the text of a field, its lines joined, and of what is no text its JSON."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
