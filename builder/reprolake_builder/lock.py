"""The lock stage: what a repository asks for becomes everything that decides an image's bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Protocol

from packaging.utils import canonicalize_name

from reprolake_builder.documents.environment import Asked, EnvironmentSpec
from reprolake_builder.documents.lock import (
    BuiltWheelLock,
    DebianLock,
    EnvironmentLock,
    InterpreterLock,
    WheelLock,
)
from reprolake_builder.documents.source import PinnedSource
from reprolake_builder.errors import LockError
from reprolake_builder.solvers.as_of import AsOf, choose_as_of
from reprolake_builder.solvers.debian import SolvedDebian, solve_debian
from reprolake_builder.solvers.pypi import Choice, asking, choose, solve_build
from reprolake_builder.solvers.pypi_requirements import required_by_package
from reprolake_builder.solvers.python_choice import candidates
from reprolake_builder.solvers.pythons import PYTHONS_ON_OFFER
from reprolake_builder.tools import Tools


@dataclass(frozen=True, slots=True)
class LockOptions:
    """What the user decided. `now` is in UTC; `python` and `as_of` are "" where nothing was; `overrides` are other options to record."""

    now: datetime
    python: str = ""
    as_of: str = ""
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuiltProject:
    """The repository's own package, built, and the `Requires-Dist` lines of its metadata."""

    lock: BuiltWheelLock
    requires: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProjectBase:
    """What the repository's own package is built with: the system, its Python, and the wheels of the build requirements."""

    debian: DebianLock
    interpreter: InterpreterLock
    build_wheels: tuple[WheelLock, ...]


class ProjectBuilder(Protocol):
    """Builds the repository's own package in the sandbox."""

    def build(self, project: str, source: PinnedSource, base: ProjectBase) -> BuiltProject:
        """Return the package in the source's folder `project`, whose wheel lies in the store then. Raises BuildError."""


@dataclass(frozen=True, slots=True)
class _Project:
    """A built package with what its build made necessary to know."""

    built: BuiltProject
    notes: tuple[str, ...]


def lock(
    source: PinnedSource, spec: EnvironmentSpec, options: LockOptions, builder: ProjectBuilder, tools: Tools
) -> EnvironmentLock:
    """Return the lock: Python packages as of the source's date, on the newest signed state of the Python's Debian suite.

    Raises LockError when no set of packages fits, BuildError when the repository's own package cannot be built, FetchError
    when an index or mirror cannot be reached.
    """
    as_of = choose_as_of(source, options.as_of, options.now)
    stage = _Stage(source, spec, options, builder, tools, as_of)
    choice, debian, project = stage.settle()
    own = project.built.lock.name if project is not None else None
    wheels = tuple(wheel for wheel in choice.solution.wheels if wheel.name != own)
    notes = [choice.candidate.note]
    notes += [f"{behind.sentence}: {behind.cause}" for behind in choice.solution.behind]
    notes += choice.solution.warnings
    notes += project.notes if project is not None else ()
    if len(wheels) < len(choice.solution.wheels):
        notes.append(f"the repository's own {own} takes the place of the index's")
    return EnvironmentLock(
        source=source,
        environment=spec,
        as_of=as_of.date,
        as_of_is=as_of.origin,
        debian=debian.debian,
        interpreter=debian.interpreter,
        wheels=wheels,
        project=project.built.lock if project is not None else None,
        rejected_pythons=choice.rejected,
        added=choice.solution.added,
        overrides=_overrides(options),
        notes=tuple(note for note in notes if note),
        resolvers={"reprolake": version("reprolake"), "uv": version("uv")},
    )


@dataclass(frozen=True, slots=True)
class _Stage:
    source: PinnedSource
    spec: EnvironmentSpec
    options: LockOptions
    builder: ProjectBuilder
    tools: Tools
    as_of: AsOf

    def settle(self) -> tuple[Choice, SolvedDebian, _Project | None]:
        """Return choice, base and package, once what the built package requires is part of what was resolved."""
        built: dict[str, _Project] = {}  # by Python
        required: tuple[str, ...] = ()
        known: tuple[Asked, ...] = ()
        for _ in (*PYTHONS_ON_OFFER, "until nothing changes"):
            choice = self._choose(known)
            debian = self._debian(choice)
            if self.spec.project is None:
                return choice, debian, None
            minor = choice.candidate.python.version
            project = built.get(minor) or self._build(self.spec.project, choice, debian)
            built[minor] = project
            if not self.spec.project_dynamic or project.built.requires == required:
                return choice, debian, project
            required = project.built.requires
            name = canonicalize_name(project.built.lock.name)
            known = required_by_package(required, name, self.spec.project_extras)
        raise LockError(
            "what the repository's package requires changes with every Python that it is built with",
            hint="choose one Python with `--python 3.11`",
        )

    def _choose(self, known: Sequence[Asked]) -> Choice:
        spec = self.spec
        asked = asking((*spec.requirements, *known), spec.constraints, self.as_of)
        pythons = candidates(spec.python, self.options.python, self.as_of)
        with self.tools.progress.step("Resolving Python packages"):
            return choose(asked, pythons, self.tools)

    def _debian(self, choice: Choice) -> SolvedDebian:
        return solve_debian(choice.candidate.python.version, self.spec.apt, self.tools)

    def _build(self, project: str, choice: Choice, debian: SolvedDebian) -> _Project:
        target = choice.candidate.target
        wheels, notes = solve_build(self.spec.build_requirements, target, self.as_of, self.tools)
        base = ProjectBase(debian.debian, debian.interpreter, wheels)
        return _Project(self.builder.build(project, self.source, base), notes)


def _overrides(options: LockOptions) -> tuple[str, ...]:
    named = (("--python", options.python), ("--as-of", options.as_of))
    return (*(f"{option} {value}" for option, value in named if value), *options.overrides)
