"""What is added to a set of packages that does not have it: a kernel, and what a virtual environment had."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.pypi_asking import Asking
from reprolake_builder.solvers.pypi_target import Target
from reprolake_builder.solvers.pypi_uv import Question
from reprolake_builder.solvers.pythons import RELEASED

KERNEL = canonicalize_name("ipykernel")
NO_KERNEL = "no kernel was declared"
_KERNEL_PARTS = ("debugpy", "psutil", "pyzmq", "tornado")  # those of a kernel's parts that are compiled
_CATCHING_UP = timedelta(days=365)


def additions(target: Target) -> dict[NormalizedName, str]:
    """Return what is added when the set does not have it, and why."""
    venv = f"as `python{target.minor} -m venv` gave it"
    names = ("pip", "setuptools", "wheel") if target.pair < (3, 12) else ("pip",)
    return {KERNEL: NO_KERNEL} | {canonicalize_name(name): venv for name in names}


def with_younger(whole: Question, asked: Asking, target: Target) -> tuple[Question, tuple[str, ...]]:
    """Return the question for a Python that came after the cut-off, whose kernel has to know it, and a note.

    What the set itself asks for stays as of the cut-off.
    """
    until = caught_up(target, asked.as_of)
    named = {demand.name for demand in asked.requirements}
    parts = [name for name in _KERNEL_PARTS if canonicalize_name(name) not in named]
    if until is None or KERNEL in named or not parts:
        return whole, ()
    note = f"{' and '.join(parts)} that the added kernel needs may be of {until:%Y-%m-%d}: Python {target.minor} came after {asked.as_of.day}"
    return replace(whole, later=tuple((name, until) for name in parts)), (note,)


def caught_up(target: Target, as_of: AsOf) -> datetime | None:
    """Return when (UTC) packages had taken up a Python that came after the cut-off; None for one that was there."""
    if target.minor not in RELEASED:
        return None
    released = datetime.combine(RELEASED[target.minor], datetime.min.time(), UTC)
    return released + _CATCHING_UP if as_of.cutoff is not None and as_of.cutoff < released else None
