"""Which line of a cell a Python kernel was at, from what it says when it is asked: the traceback of an interrupt, or of an abort.

Both are a stranger's text. All that is taken from it is a number, and at worst it is a wrong one.
Source: faulthandler, "Dumping the traceback"; IPython's and ipykernel's names for the source of a cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_CELL = re.compile(r"(?:Cell In ?\[\d+\]|Input In \[\d+\]|<ipython-input-[^>]*>)(?:, in |, line (\d+)|)")
_ARROW = re.compile(r"-+> (\d{1,6}) ")
# "<cell line: 1>" is what IPython 8 calls the code of a cell itself, others say "<module>"
_FRAME = re.compile(
    r'^  File "(?:[^"\n]*/ipykernel_\d+/\d+\.py|<ipython-input-[^"\n]*>)", line (\d{1,6}) in <(?:module|cell line: \d+)>$',
    re.MULTILINE,
)
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x", re.MULTILINE)
DUMP = "Fatal Python error: "
_KEPT = 1 << 16


def line_of_dump(printed: bytes) -> int | None:
    """Return the line that the cell was at, from what the kernel's process printed as it was aborted."""
    text = printed[-_KEPT:].decode(errors="replace")
    _, found, dump = text.rpartition(DUMP)
    if not found:
        return None
    # the innermost frame comes first: the cell's own is the last one of its thread
    for thread in _THREAD.split(dump)[1:]:
        if lines := _FRAME.findall(thread):
            return int(lines[-1])
    return None


def line_of_traceback(outputs: Iterable[Any]) -> int | None:
    """Return the line that the cell was at, from the traceback among its outputs that an interrupt left."""
    for output in outputs:
        if output.get("output_type") != "error":
            continue
        text = _ANSI.sub("", "\n".join(map(str, output.get("traceback", []))))
        place = _CELL.search(text)
        if place is None:
            continue
        if place[1]:
            return int(place[1])
        arrow = _ARROW.search(text, place.end())
        return int(arrow[1]) if arrow else None
    return None


def before_dump(words: str) -> str:
    """Return the text up to the traceback that Python printed as it was aborted or crashed."""
    return words.partition(DUMP)[0]
