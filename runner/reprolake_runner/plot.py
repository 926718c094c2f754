"""What a run took over time, as a drawing for the result's page: numbers of ours only, no script, no style of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from reprolake_runner.documents.run import CellRecord, RunRecord, Sample
from reprolake_runner.watchdog import size

_WIDTH, _HEIGHT = 720, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 60, 22, 26
_MEMORY, _PROCESSORS = "#3b7dd8", "#d9822b"
_OPENED = (
    f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-size="12" fill="currentColor" '
    'aria-label="Memory and processors over time">'
)
_NARROW = 14.0  # a cell narrower than that gets no number


def plot(record: RunRecord) -> str:
    """Return SVG with memory and processors at work over time, and which cell ran when; "" when nothing was measured."""
    samples = record.resources.samples if record.resources is not None else ()
    if record.resources is None or len(samples) < 2 or samples[-1].at <= 0:
        return ""
    span, most = samples[-1].at, max(1, record.resources.peak_bytes)
    busy = list(_busy(samples))
    processors = max(1.0, *(share for _, share in busy))
    memory = [(one.at, one.memory_bytes / most) for one in samples]
    area = [(samples[0].at, 0.0), *memory, (span, 0.0)]
    line = [(at, share / processors) for at, share in busy]
    parts = [
        _OPENED,
        *_cells(record.cells, span),
        f'<polygon points="{_points(area, span)}" fill="{_MEMORY}" fill-opacity="0.25" stroke="{_MEMORY}"/>',
        f'<polyline points="{_points(line, span)}" fill="none" stroke="{_PROCESSORS}" stroke-width="1.5"/>',
        _text(_LEFT - 6, _TOP + 10, size(most), "end", _MEMORY),
        _text(_LEFT - 6, _HEIGHT - _BOTTOM, "memory", "end", _MEMORY),
        _text(_WIDTH - _RIGHT + 6, _TOP + 10, f"{processors:.1f}", "start", _PROCESSORS),
        _text(_WIDTH - _RIGHT + 6, _HEIGHT - _BOTTOM, "CPUs", "start", _PROCESSORS),
        _text(_LEFT, _HEIGHT - 8, "0 s", "start"),
        _text(_WIDTH - _RIGHT, _HEIGHT - 8, f"{span:.1f} s", "end"),
        "</svg>",
    ]
    return "".join(parts)


def _busy(samples: Sequence[Sample]) -> Iterator[tuple[float, float]]:
    """Yield moments and how many processors were at work until then."""
    for before, after in itertools.pairwise(samples):
        if after.at > before.at:
            yield after.at, max(0.0, after.cpu_seconds - before.cpu_seconds) / (after.at - before.at)


def _cells(cells: Sequence[CellRecord], span: float) -> Iterator[str]:
    """Yield a band for each cell that took long enough to be seen, with its number among all cells."""
    for number, cell in enumerate(cells):
        if cell.begun is None:
            continue
        end = cell.begun + cell.seconds if cell.seconds is not None else span
        left, right = _x(cell.begun, span), _x(end, span)
        if right - left < 1:
            continue
        opacity = 0.10 if number % 2 else 0.05
        yield (
            f'<rect x="{left:.1f}" y="{_TOP}" width="{right - left:.1f}" height="{_HEIGHT - _TOP - _BOTTOM}" '
            f'fill="currentColor" fill-opacity="{opacity:.2f}"/>'
        )
        if right - left >= _NARROW:
            yield _text((left + right) / 2, _TOP - 6, str(cell.index + 1), "middle")


def _points(pairs: Sequence[tuple[float, float]], span: float) -> str:
    height = _HEIGHT - _TOP - _BOTTOM
    return " ".join(
        f"{_x(at, span):.1f},{_HEIGHT - _BOTTOM - height * min(1.0, share):.1f}" for at, share in pairs
    )


def _x(at: float, span: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, at / span))


def _text(x: float, y: float, words: str, anchor: str, colour: str = "currentColor") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'
