"""Where long work reports how far it is: silent unless a front door plugs something in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Step(Protocol):
    """One piece of long work under way."""

    def advance(self, amount: int = 1) -> None:
        """Report that `amount` more of the step's total is done."""


class Progress:
    """Reports nothing; the command line's subclass draws bars and prints notes on standard error."""

    @contextmanager
    def step(self, label: str, total: int | None = None) -> Iterator[Step]:
        """Yield a step named `label`; `total` is its size in whatever unit it advances by."""
        del label, total
        yield _SILENT_STEP

    def note(self, message: str) -> None:
        """Tell the user one fact that matters for the result."""

    def warn(self, message: str) -> None:
        """Tell the user something that may make the result other than expected."""


class _SilentStep:
    def advance(self, amount: int = 1) -> None:
        del amount


_SILENT_STEP = _SilentStep()
SILENT = Progress()
