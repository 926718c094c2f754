"""The lock stage: what a repository asks for becomes everything that decides an image's bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from reprolake_builder.documents.environment import Asked, EnvironmentSpec
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.engines.built import build_wheel
from reprolake_builder.engines.workshop import Build, Commission, Made, Workshop
from reprolake_builder.errors import LockError
from reprolake_builder.solvers.as_of import AsOf, choose_as_of
from reprolake_builder.solvers.pypi import Choice, asking, choose
from reprolake_builder.solvers.pypi_requirements import required_by_package
from reprolake_builder.solvers.python_choice import candidates
from reprolake_builder.solvers.pythons import PYTHONS_ON_OFFER
from reprolake_builder.source_tree import SourceTree
from reprolake_builder.tools import Tools


@dataclass(frozen=True, slots=True)
class LockOptions:
    """What the user decided. `now` is in UTC; `python` and `as_of` are "" where nothing was; `overrides` are other options to record.

    `apt` are Debian packages for builds from source.
    """

    now: datetime
    python: str = ""
    as_of: str = ""
    overrides: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()
    byte_code: bool = True


def lock(
    tree: SourceTree, spec: EnvironmentSpec, options: LockOptions, tools: Tools, build: Build = build_wheel
) -> EnvironmentLock:
    """Return the lock: Python packages as of the source's date, on the newest signed state of the Python's Debian suite.

    What has no wheel is built in the sandbox (by `build`). Raises LockError when no set of packages fits, SourceBuildError
    when one cannot be built, FetchError when an index or mirror cannot be reached.
    """
    source = tree.source
    as_of = choose_as_of(source, options.as_of, options.now)
    toolchain = tuple(Asked(text=name, origin="--apt") for name in options.apt)
    workshop = Workshop(Commission(tree, spec.apt, as_of, spec.sources, toolchain), tools, build)
    choice, project = _Stage(spec, options, workshop, tools, as_of).settle()
    own = project.built.lock.name if project is not None else None
    wheels = tuple(wheel for wheel in choice.solution.wheels if wheel.name != own)
    built = tuple(wheel for wheel in choice.solution.built if wheel.name != own)
    notes = [choice.candidate.note]
    notes += [f"{behind.sentence}: {behind.cause}" for behind in choice.solution.behind]
    notes += choice.solution.warnings
    notes += workshop.notes(built, choice.candidate.target)
    notes += project.notes if project is not None else ()
    everything = (*built, *((project.built.lock,) if project is not None else ()))
    debian, linked = workshop.settled(everything, choice.candidate.target)
    notes += linked
    if len(wheels) + len(built) < len(choice.solution.wheels) + len(choice.solution.built):
        notes.append(f"the repository's own {own} takes the place of the index's")
    return EnvironmentLock(
        source=source,
        environment=spec,
        as_of=as_of.date,
        as_of_is=as_of.origin,
        debian=debian.debian,
        interpreter=debian.interpreter,
        wheels=wheels,
        built=built,
        project=project.built.lock if project is not None else None,
        byte_code=options.byte_code,
        rejected_pythons=choice.rejected,
        added=choice.solution.added,
        overrides=_overrides(options),
        notes=tuple(note for note in notes if note),
        resolvers={"reprolake": version("reprolake"), "uv": version("uv")},
    )


@dataclass(frozen=True, slots=True)
class _Stage:
    spec: EnvironmentSpec
    options: LockOptions
    workshop: Workshop
    tools: Tools
    as_of: AsOf

    def settle(self) -> tuple[Choice, Made | None]:
        """Return choice and package, once what the built package requires is part of what was resolved."""
        made: dict[str, Made] = {}  # by Python
        required: tuple[str, ...] = ()
        known: tuple[Asked, ...] = ()
        pythons: tuple[Asked, ...] = ()
        for _ in range(2 * len(PYTHONS_ON_OFFER) + 2):
            choice = self._choose(known, pythons)
            if self.spec.project is None:
                return choice, None
            minor = choice.candidate.python.version
            project = made.get(minor) or self._build(self.spec.project, choice)
            made[minor] = project
            wanted = _wanted_python(project)
            if wanted not in pythons and not _holds(wanted, choice):
                pythons += (wanted,)
                continue
            if not self.spec.project_dynamic or project.built.requires == required:
                return choice, project
            required = project.built.requires
            name = canonicalize_name(project.built.lock.name)
            known = required_by_package(required, name, self.spec.project_extras)
        raise LockError(
            "what the repository's package requires changes with every Python that it is built with",
            hint="choose one Python with `--python 3.11`",
        )

    def _choose(self, known: Sequence[Asked], pythons: Sequence[Asked]) -> Choice:
        spec = self.spec
        asked = asking((*spec.requirements, *known), spec.constraints, self.as_of)
        allowed = candidates((*spec.python, *pythons), self.options.python, self.as_of)
        with self.tools.progress.step("Resolving Python packages"):
            return choose(asked, allowed, self.tools, self.workshop)

    def _build(self, project: str, choice: Choice) -> Made:
        return self.workshop.project(project, self.spec.build_requirements, choice.candidate.target)


def _wanted_python(project: Made) -> Asked:
    """Return what the built package's metadata says of Python."""
    built = project.built
    return Asked(text=built.requires_python, origin=f"the metadata of {built.lock.name}")


def _holds(wanted: Asked, choice: Choice) -> bool:
    try:
        return SpecifierSet(wanted.text).contains(choice.candidate.target.version)
    except InvalidSpecifier:
        return True  # as installers have it: what cannot be read demands nothing


def _overrides(options: LockOptions) -> tuple[str, ...]:
    named = (("--python", options.python), ("--as-of", options.as_of))
    given = [*(f"{option} {value}" for option, value in named if value), *(f"--apt {n}" for n in options.apt)]
    given += [] if options.byte_code else ["--no-byte-code"]
    return (*given, *options.overrides)
