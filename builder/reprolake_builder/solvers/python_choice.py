"""Which of the Pythons on offer may serve, and in which order they are tried."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from reprolake_builder.documents.environment import Asked
from reprolake_builder.errors import FetchError, LockError
from reprolake_builder.process import printable
from reprolake_builder.site import PythonSource
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.pypi_target import TARGETS, Target
from reprolake_builder.solvers.pythons import (
    PYTHONS_ON_OFFER,
    RELEASED,
    WITHOUT_PYTHON,
    PythonOnOffer,
    StandaloneBuild,
)
from reprolake_builder.solvers.standalone import chosen_build

VERSION = re.compile(r"(\d+\.(?:0|[1-9]\d*))(?:\.(?:0|[1-9]\d*))?", re.ASCII)
"""What `--python` takes: the minor version in group 1, and a patch release."""
_PATCHES = range(100)
_Specifier = tuple[SpecifierSet, Asked]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A Python that may serve; `note` tells in what it is not exactly what was asked for, "" when it is."""

    python: PythonOnOffer
    target: Target
    note: str = ""


@dataclass(frozen=True, slots=True)
class PythonSources:
    """Where Pythons come from, in `order`; `builds` gives the standalone ones, and is called when they are needed.

    `kept` is the one that an earlier lock has.
    """

    order: tuple[PythonSource, ...] = ("debian",)
    builds: Callable[[], tuple[StandaloneBuild, ...]] = tuple
    kept: StandaloneBuild | None = None


DEBIAN_ALONE = PythonSources()


def candidates(
    declared: Sequence[Asked], override: str, as_of: AsOf, sources: PythonSources = DEBIAN_ALONE
) -> tuple[Candidate, ...]:
    """Return the Pythons that the declared specifiers leave (or the one that `--python` names), in the order to try them.

    They come from the first source that has any. First those that had been released at the date, newest first; then those that
    came later, oldest first. Raises LockError with what each source has when none is left.
    """
    asked_for = declared
    notes: tuple[str, ...] = ()
    if override:
        asked_for, notes = _overridden(declared, override.strip())
    specifiers = [(_specifier(asked), asked) for asked in asked_for]
    tried: dict[str, str] = {}
    for source in sources.order:
        if source == "debian":
            found, tried["Debian"] = _of_debian(specifiers), _offer()
        else:
            found, tried["standalone builds"] = _standalone(specifiers, as_of, sources)
        if found:
            return tuple(_noted(candidate, notes) for candidate in _ordered(found, as_of))
    raise _none(asked_for, override, tried)


def _of_debian(specifiers: Sequence[_Specifier]) -> list[Candidate]:
    exact = [minor for minor in PYTHONS_ON_OFFER if _accepts(specifiers, TARGETS[minor].version)]
    if exact:
        return [Candidate(PYTHONS_ON_OFFER[minor], TARGETS[minor]) for minor in exact]
    return [
        Candidate(PYTHONS_ON_OFFER[minor], TARGETS[minor], _other_patch(specifiers, TARGETS[minor]))
        for minor in PYTHONS_ON_OFFER
        if _accepts_any(specifiers, minor)
    ]


def _standalone(
    specifiers: Sequence[_Specifier], as_of: AsOf, sources: PythonSources
) -> tuple[list[Candidate], str]:
    """Return the standalone builds that may serve, one for each minor version, and what there is in words."""
    try:
        builds = _with_kept(sources)
    except (FetchError, LockError) as error:
        return [], f"cannot be listed: {error.message}"
    minors = list(dict.fromkeys(build.minor for build in builds))
    for exact in (True, False):
        found = []
        for minor in minors:
            of_minor = tuple(build for build in builds if build.minor == minor)
            fitting = tuple(build for build in of_minor if _accepts(specifiers, build.version))
            if not exact and _accepts_any(specifiers, minor):
                fitting = of_minor
            kept = sources.kept
            build = kept if kept is not None and kept in fitting else chosen_build(fitting, as_of)
            if build is not None:
                found.append(_candidate(build, "" if exact else _other_patch(specifiers, _target(build))))
        if found:
            return found, ""
    return [], ", ".join(reversed(minors)) or "the list has none for this machine"


def _with_kept(sources: PythonSources) -> tuple[StandaloneBuild, ...]:
    """Return the builds, the one that an earlier lock has as that pins it."""
    builds, kept = sources.builds(), sources.kept
    if kept is None:
        return builds
    others = [build for build in builds if build.filename != kept.filename]
    return tuple(sorted((kept, *others), key=lambda build: (build.numbers, build.built), reverse=True))


def _candidate(build: StandaloneBuild, note: str) -> Candidate:
    released = RELEASED.get(build.minor, build.built)
    python = PythonOnOffer(build.minor, WITHOUT_PYTHON.suite, released, WITHOUT_PYTHON.glibc)
    return Candidate(python, _target(build), note)


def _target(build: StandaloneBuild) -> Target:
    return Target(build.version, int(WITHOUT_PYTHON.glibc.split(".")[1]), build)


def _ordered(found: Sequence[Candidate], as_of: AsOf) -> tuple[Candidate, ...]:
    day = as_of.date.date()
    released = [candidate for candidate in found if candidate.python.released <= day]
    later = [candidate for candidate in found if candidate.python.released > day]
    released.sort(key=lambda candidate: candidate.target.pair, reverse=True)
    later.sort(key=lambda candidate: candidate.target.pair)
    return (*released, *later)


def _noted(candidate: Candidate, notes: Sequence[str]) -> Candidate:
    return replace(candidate, note="; ".join(filter(None, (candidate.note, *notes))))


def _none(declared: Sequence[Asked], override: str, tried: dict[str, str]) -> LockError:
    lines = "".join(f"\n  {source}: {found}" for source, found in tried.items())
    missing = "" if "standalone builds" in tried else "\n  standalone builds: not among python_sources"
    asked_for = ", ".join(f"{printable(asked.text)} ({asked.origin})" for asked in declared)
    head = (
        f"--python {printable(override)[:50]} is not on offer"
        if override
        else f"no Python on offer is what the repository asks for: {asked_for}"
    )
    return LockError(
        f"{head}; on offer are:{lines}{missing}\n  conda: those of its channels, where environment.yml asks for one",
        hint="choose one of these with `--python 3.11`",
    )


def is_on_offer(declared: Sequence[Asked]) -> bool:
    """Whether Debian has a Python of the minor version that the specifiers leave. Raises LockError for one that says nothing."""
    specifiers = [(_specifier(asked), asked) for asked in declared]
    return any(_accepts_any(specifiers, minor) for minor in PYTHONS_ON_OFFER)


def _overridden(declared: Sequence[Asked], text: str) -> tuple[tuple[Asked, ...], tuple[str, ...]]:
    """Return what `--python` asks for in place of the files, and notes on what in these it contradicts."""
    parsed = VERSION.fullmatch(text)
    if parsed is None:
        raise LockError(
            f"--python {printable(text)[:50]} is no version of a Python, such as {_offer()}",
            hint="choose one of these with `--python 3.11`",
        )
    minor = parsed[1]
    notes = tuple(
        f"{asked.origin} asks for Python {asked.text}; `--python {text}` took its place"
        for asked in declared
        if not any(_specifier(asked).contains(f"{minor}.{patch}") for patch in _PATCHES)
    )
    wanted = f"=={text}.*" if text == minor else f"=={text}"
    return (Asked(text=wanted, origin="--python"),), notes


def _specifier(asked: Asked) -> SpecifierSet:
    try:
        return SpecifierSet(asked.text)
    except InvalidSpecifier as error:
        raise LockError(
            f"{asked.origin}: {printable(asked.text)[:100]!r} does not say which Python in the form of PEP 440",
            hint=f'write for example ">=3.9" or "==3.11.*", or choose with `--python`; on offer are {_offer()}',
        ) from error


def _accepts(specifiers: Sequence[_Specifier], version: str) -> bool:
    return all(specifier.contains(version) for specifier, _ in specifiers)


def _accepts_any(specifiers: Sequence[_Specifier], minor: str) -> bool:
    return any(_accepts(specifiers, f"{minor}.{patch}") for patch in _PATCHES)


def _other_patch(specifiers: Sequence[_Specifier], target: Target) -> str:
    asked_for = ", ".join(f"{asked.text} ({asked.origin})" for _, asked in specifiers)
    return f"Python {target.version} serves where {asked_for} was asked for: the same minor version, another patch release"


def _offer() -> str:
    return ", ".join(PYTHONS_ON_OFFER)
