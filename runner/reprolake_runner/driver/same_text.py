"""Whether two texts say the same: what changes from run to run is let pass, numbers may differ by a tolerance.

| let pass | when |
|---|---|
| addresses (0x7f…), UUIDs, paths of temporary files, numbers of IPython's inputs | always |
| dates with a time of day | the new one is within a day of now: then it is a clock's, else it is data |
| times of day without a date, durations | on lines that speak of how long something took |
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reprolake_runner.figures import ANSI

_DAY = timedelta(days=1)
_MARK = "\N{REPLACEMENT CHARACTER}"
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_ALWAYS = re.compile(
    r"\b0x[0-9a-fA-F]{6,16}\b"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|(?:/private)?/(?:tmp|var/tmp|var/folders)/[^\s'\":;,()<>]+"
    r"|<ipython-input-\d+-[0-9a-f]+>"
)
_CLOCK = re.compile(
    r"\b(\d{4})-(\d\d)-(\d\d)[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?(?!\d)"
    r"|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? (" + "|".join(_MONTHS) + r") +(\d{1,2}) \d\d:\d\d:\d\d (\d{4})\b"
)
_TIMING = re.compile(
    r"\b(?:CPU times|Wall time|per loop|took|elapsed|duration|runtime|run time|execution time|(?:finished|done|completed) in|it/s)\b",
    re.IGNORECASE,
)
_TAKEN = re.compile(r"\d+:\d\d(?::\d\d)?(?:\.\d+)?|\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_UNIT = re.compile(f"{_MARK}\\s*(?:ns|µs|μs|us|ms|s|min|h)\\b(?:\\s*{_MARK}\\s*(?:ns|µs|μs|us|ms|s|min)\\b)*")
_NUMBER = re.compile(r"((?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w]))")
_WHOLE = re.compile(r"[-+]?\d+")
_NAMED = re.compile(r"""\bid=["']?([\w-]+)""")
_NAME = re.compile(r"""(?<=[#"'=])[\w-]+""")
_SPACE = re.compile(r"\s+")
_SHOWN = 60
_NEAR_ZERO = 1e-6  # of the tolerance: two results that should be 0 are compared by their size


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs; `matters` is False when only what changes from run to run does."""

    reason: str
    matters: bool = True


def compare_texts(saved: str, new: str, tolerance: float, now: datetime) -> Difference | None:
    """Return how `new` differs from `saved`, None when it does not; `tolerance` is that of numbers, relative."""
    if saved == new:
        return None
    steady, fresh = _without_clocks(_plain(saved), _plain(new), now)
    left, right = _NUMBER.split(steady), _NUMBER.split(fresh)
    numbers = False
    for place, (one, other) in enumerate(zip(left, right, strict=False)):
        if one == other:
            continue
        if place % 2 == 0:
            if _SPACE.sub(" ", one).strip() != _SPACE.sub(" ", other).strip():
                return Difference(f"{_shown(left, place)} became {_shown(right, place)}")
        elif not _close(one, other, tolerance):
            return Difference(f"{one} became {other}")
        else:
            numbers = True
    if len(left) != len(right):
        return Difference(f"the text has {len(right) // 2} numbers, it had {len(left) // 2}")
    if numbers:
        return Difference("numbers differ by less than the tolerance", matters=False)
    return Difference("times, addresses, paths or spaces differ", matters=False)


def with_steady_names(markup: str) -> str:
    """Return HTML or SVG with its elements named by their order, wherever a name is defined or referred to.

    matplotlib, pandas and astropy make such names up in each run; none of them is seen.
    """
    names: dict[str, str] = {}
    for found in _NAMED.finditer(markup):
        names.setdefault(found[1], f"name{len(names)}")
    return _NAME.sub(lambda found: names.get(found[0], found[0]), markup)


def _plain(text: str) -> str:
    """Return the text without addresses, temporary paths and durations, a mark in place of each."""
    return "\n".join(_lines(_ALWAYS.sub(_MARK, ANSI.sub("", text).replace("\r\n", "\n"))))


def _without_clocks(saved: str, new: str, now: datetime) -> tuple[str, str]:
    """Return both texts with a mark where the new one tells the time of its own run."""
    are_clocks = [_is_now(found, now) for found in _CLOCK.finditer(new)]
    if len(are_clocks) != sum(1 for _ in _CLOCK.finditer(saved)):
        return saved, new
    left, right = iter(are_clocks), iter(are_clocks)
    return (
        _CLOCK.sub(lambda found: _MARK if next(left) else found[0], saved),
        _CLOCK.sub(lambda found: _MARK if next(right) else found[0], new),
    )


def _lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if _TIMING.search(line):
            line = _UNIT.sub(_MARK, _TAKEN.sub(_MARK, line))  # noqa: PLW2901
        yield line


def _is_now(found: re.Match[str], now: datetime) -> bool:
    try:
        year, month, day = (
            (int(found[1]), int(found[2]), int(found[3]))
            if found[1]
            else (int(found[6]), _MONTHS.index(found[4]) + 1, int(found[5]))
        )
        noon = datetime(year, month, day, 12, tzinfo=UTC)
    except ValueError:
        return False
    return abs(noon - now) < _DAY + _DAY / 2


def _close(one: str, other: str, tolerance: float) -> bool:
    if _WHOLE.fullmatch(one) and _WHOLE.fullmatch(other):
        return one.lstrip("+") == other.lstrip("+")
    return math.isclose(float(one), float(other), rel_tol=tolerance, abs_tol=tolerance * _NEAR_ZERO)


def _shown(parts: list[str], place: int) -> str:
    text = _SPACE.sub(" ", "".join(parts[place : place + 2])).strip()
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …")
