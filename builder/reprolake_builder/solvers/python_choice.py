"""Which of the Pythons on offer may serve, and in which order they are tried."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from reprolake_builder.documents.environment import Asked
from reprolake_builder.errors import LockError
from reprolake_builder.process import printable
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.pypi_target import TARGETS, Target
from reprolake_builder.solvers.pythons import PYTHONS_ON_OFFER, PythonOnOffer

_VERSION = re.compile(r"(\d+\.\d+)(?:\.\d+)?")
_PATCHES = range(100)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A Python that may serve; `note` tells in what it is not exactly what was asked for, "" when it is."""

    python: PythonOnOffer
    target: Target
    note: str = ""


def candidates(declared: Sequence[Asked], override: str, as_of: AsOf) -> tuple[Candidate, ...]:
    """Return the Pythons that the declared specifiers leave (or the one that `--python` names), in the order to try them.

    First those that had been released at the date, newest first; then those that came later, oldest first.
    Raises LockError with what is on offer when none is left.
    """
    if override:
        return (_overridden(declared, override.strip()),)
    specifiers = [(_specifier(asked), asked) for asked in declared]
    exact = [minor for minor in PYTHONS_ON_OFFER if _accepts(specifiers, TARGETS[minor].version)]
    found = [Candidate(PYTHONS_ON_OFFER[minor], TARGETS[minor]) for minor in exact]
    if not found:
        found = [
            Candidate(PYTHONS_ON_OFFER[minor], TARGETS[minor], _other_patch(declared, TARGETS[minor]))
            for minor in PYTHONS_ON_OFFER
            if any(_accepts(specifiers, f"{minor}.{patch}") for patch in _PATCHES)
        ]
    if not found:
        asked_for = ", ".join(f"{printable(asked.text)} ({asked.origin})" for asked in declared)
        raise LockError(
            f"no Python on offer is what the repository asks for: {asked_for}; on offer are {_offer()}",
            hint="choose one of these with `--python 3.11`",
        )
    day = as_of.date.date()
    released = [candidate for candidate in found if candidate.python.released <= day]
    later = [candidate for candidate in found if candidate.python.released > day]
    released.sort(key=lambda candidate: candidate.target.pair, reverse=True)
    later.sort(key=lambda candidate: candidate.target.pair)
    return (*released, *later)


def is_on_offer(declared: Sequence[Asked]) -> bool:
    """Whether Debian has a Python of the minor version that the specifiers leave. Raises LockError for one that says nothing."""
    specifiers = [(_specifier(asked), asked) for asked in declared]
    return any(_accepts(specifiers, f"{minor}.{patch}") for minor in PYTHONS_ON_OFFER for patch in _PATCHES)


def _overridden(declared: Sequence[Asked], text: str) -> Candidate:
    parsed = _VERSION.fullmatch(text)
    if parsed is None or parsed[1] not in PYTHONS_ON_OFFER:
        raise LockError(
            f"--python {printable(text)[:50]} is not on offer; on offer are {_offer()}",
            hint="choose one of these with `--python 3.11`",
        )
    minor = parsed[1]
    target = TARGETS[minor]
    notes = []
    if text not in {minor, target.version}:
        notes.append(_other_patch([Asked(text=text, origin="--python")], target))
    notes += [
        f"{asked.origin} asks for Python {asked.text}; `--python {text}` took its place"
        for asked in declared
        if not any(_specifier(asked).contains(f"{minor}.{patch}") for patch in _PATCHES)
    ]
    return Candidate(PYTHONS_ON_OFFER[minor], target, "; ".join(notes))


def _specifier(asked: Asked) -> SpecifierSet:
    try:
        return SpecifierSet(asked.text)
    except InvalidSpecifier as error:
        raise LockError(
            f"{asked.origin}: {printable(asked.text)[:100]!r} does not say which Python in the form of PEP 440",
            hint=f'write for example ">=3.9" or "==3.11.*", or choose with `--python`; on offer are {_offer()}',
        ) from error


def _accepts(specifiers: Sequence[tuple[SpecifierSet, Asked]], version: str) -> bool:
    return all(specifier.contains(version) for specifier, _ in specifiers)


def _other_patch(declared: Sequence[Asked], target: Target) -> str:
    asked_for = ", ".join(f"{asked.text} ({asked.origin})" for asked in declared)
    return f"Python {target.version} serves where {asked_for} was asked for: the same minor version, another patch release"


def _offer() -> str:
    return ", ".join(PYTHONS_ON_OFFER)
