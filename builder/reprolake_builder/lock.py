"""The lock stage: what a repository asks for becomes everything that decides an image's bytes."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from reprolake_builder.citations.read import read_citation
from reprolake_builder.documents.environment import Asked, EnvironmentSpec
from reprolake_builder.documents.lock import EnvironmentLock, Rung, RungName
from reprolake_builder.documents.source import LocalSource
from reprolake_builder.engines.built import build_wheel
from reprolake_builder.engines.commission import Commission
from reprolake_builder.engines.workshop import Build, Made, Workshop
from reprolake_builder.errors import BuilderError, FetchError, LockError, SourceBuildError
from reprolake_builder.providers.git.changed import last_changed
from reprolake_builder.solvers.as_of import AsOf, as_of_files, choose_as_of
from reprolake_builder.solvers.conda import solver_version
from reprolake_builder.solvers.conda_base import CondaBase, Wish, does_without, solve_base
from reprolake_builder.solvers.kept import Kept
from reprolake_builder.solvers.pypi import Choice, choose
from reprolake_builder.solvers.pypi_asking import asking, obeying
from reprolake_builder.solvers.pypi_failure import NoChoice, Rejected, reason_of
from reprolake_builder.solvers.pypi_requirements import required_by_package
from reprolake_builder.solvers.pypi_target import TARGETS, moved_on
from reprolake_builder.solvers.python_choice import Candidate, PythonSources, candidates
from reprolake_builder.solvers.pythons import RELEASED
from reprolake_builder.solvers.standalone import kept_build, standalone_builds, trusted_note
from reprolake_builder.source_tree import SourceTree
from reprolake_builder.tools import Tools


@dataclass(frozen=True, slots=True)
class LockOptions:
    """What the user decided. `now` is in UTC; `python` and `as_of` are "" where nothing was; `overrides` are other options to record.

    `apt` are Debian packages for builds from source. `kept` is an earlier lock, whose choices stay where nothing asks for others.
    """

    now: datetime
    python: str = ""
    as_of: str = ""
    overrides: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()
    byte_code: bool = True
    kept: Kept | None = None


def lock(
    tree: SourceTree, spec: EnvironmentSpec, options: LockOptions, tools: Tools, build: Build = build_wheel
) -> EnvironmentLock:
    """Return the lock: Python packages as of the source's date, on the newest signed state of the Python's Debian suite.

    What has no wheel is built in the sandbox (by `build`). Where nothing fits or builds as of that date, that of the last change
    to the environment's files is tried. Raises LockError when no set of packages fits, SourceBuildError when one cannot be
    built, FetchError when an index or mirror cannot be reached.
    """
    job = _Job(tree, spec, options, tools, build)
    settled = job.climb()
    workshop, choice, project = settled.workshop, settled.choice, settled.project
    conda = workshop.commission.conda
    own = project.built.lock.name if project is not None else None
    wheels = tuple(wheel for wheel in choice.solution.wheels if wheel.name != own)
    built = tuple(wheel for wheel in choice.solution.built if wheel.name != own)
    notes = [choice.candidate.note, *(conda.notes if conda is not None else ())]
    notes += [f"{behind.sentence}: {behind.cause}" for behind in choice.solution.behind]
    notes += choice.solution.notes
    notes += workshop.notes(built, choice.candidate.target)
    notes += project.notes if project is not None else ()
    everything = (*built, *((project.built.lock,) if project is not None else ()))
    ground, linked = workshop.settled(everything, choice.candidate.target)
    notes += (*linked, moved_on(choice.candidate.target, ground.interpreter.version))
    notes.append(trusted_note(choice.candidate.target.build, ground.interpreter))
    if len(wheels) + len(built) < len(choice.solution.wheels) + len(choice.solution.built):
        notes.append(f"the repository's own {own} takes the place of the index's")
    return EnvironmentLock(
        source=tree.source,
        environment=spec,
        as_of=settled.as_of.date,
        as_of_is=settled.as_of.origin,
        debian=ground.debian,
        interpreter=ground.interpreter,
        conda=ground.conda,
        wheels=wheels,
        built=built,
        project=project.built.lock if project is not None else None,
        byte_code=options.byte_code,
        ladder=settled.ladder,
        added=(*(conda.added if conda is not None else ()), *choice.solution.added),
        overrides=_overrides(options),
        citation=read_citation(tree),
        notes=tuple(note for note in notes if note),
        resolvers={"reprolake": version("reprolake"), **_resolvers(conda), "uv": version("uv")},
    )


@dataclass(frozen=True, slots=True)
class _Settled:
    """What was decided as of a date, by which workshop, and what was climbed on the way."""

    as_of: AsOf
    workshop: Workshop
    choice: Choice
    project: Made | None
    ladder: tuple[Rung, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    tree: SourceTree
    spec: EnvironmentSpec
    options: LockOptions
    tools: Tools
    build: Build

    def climb(self) -> _Settled:
        """Return what the first rung of the ladder gives that serves."""
        first = choose_as_of(self.tree.source, self.options.as_of, self.options.now)
        if self.options.kept is not None and not self.options.as_of:
            first = self.options.kept.cutoff(first)
        settled = self._at(first, ())
        if isinstance(settled, _Settled):
            return settled
        error = settled.error()
        pinned = self.spec.conda is not None and bool(self.spec.conda.pins)
        if self.options.as_of or self.spec.obeyed is not None or pinned:
            raise error  # the user has decided, or a lock that is for every date
        try:
            changed = last_changed(self.tree.source, self.spec.files, self.tools)
        except FetchError as unreachable:
            raise _with(
                error, f"when its files were last changed cannot be learnt: {unreachable.message}"
            ) from unreachable
        if changed is None:
            raise error
        second = as_of_files(changed, [file.path for file in self.spec.files])
        if second.date >= first.date:
            raise error
        failed = self._rungs(settled.rejected, first)
        self.tools.progress.note(f"Nothing fits as of {first.day}; trying {second.day}: {second.origin}")
        try:
            again = self._at(second, failed)
        except BuilderError as other:
            raise _with(error, f"as of {second.day} ({second.origin}): {other.message}") from other
        if isinstance(again, NoChoice):
            lines = "\n".join(f"  Python {item.python}: {item.reason}" for item in again.rejected)
            raise _with(error, f"nor does anything serve as of {second.day} ({second.origin}):\n{lines}")
        return again

    def _at(self, as_of: AsOf, climbed: tuple[Rung, ...]) -> _Settled | NoChoice:
        """Return what is decided as of a date, after what was `climbed` in vain."""
        toolchain = tuple(Asked(text=name, origin="--apt") for name in self.options.apt)
        conda = self._conda(as_of)
        commission = Commission(
            self.tree, self.spec.apt, as_of, self.spec.sources, toolchain, conda, self.options.kept
        )
        workshop = Workshop(commission, self.tools, self.build)
        found = _Stage(self.spec, self.options, workshop, self.tools, as_of).settle()
        if isinstance(found, NoChoice):
            return found
        choice, project = found
        taken = Rejected(choice.candidate.python.version, "")
        rungs = self._rungs((*choice.rejected, taken), as_of, "environment files" if climbed else None)
        return _Settled(as_of, workshop, choice, project, (*climbed, *rungs))

    def _conda(self, as_of: AsOf) -> CondaBase | None:
        """Return the conda packages as of a date, None where none are asked for.

        Where none fit none do as of an earlier date either, for channels only grow: that error ends the ladder.
        """
        if does_without(self.spec, self.options.python):
            return None
        source = self.tree.source
        told_by = "" if isinstance(source, LocalSource) else source.url
        wish = Wish(self.spec, as_of, self.options.python, self.options.kept, told_by)
        return solve_base(wish, self.tools)

    def _rungs(
        self, tried: Sequence[Rejected], as_of: AsOf, name: RungName | None = None
    ) -> tuple[Rung, ...]:
        """Return the steps that were taken as of a date."""
        if self.spec.conda is not None:
            first = tried[0].python
        else:
            sources = python_sources(self.tools, self.options.kept)
            found = candidates(self.spec.python, self.options.python, as_of, sources)
            first = found[0].python.version
        return tuple(
            Rung(
                rung=name or ("date" if item.python == first else "other Python"),
                as_of=as_of.date,
                python=item.python,
                reason=item.reason,
            )
            for item in tried
        )


@dataclass(frozen=True, slots=True)
class _Stage:
    spec: EnvironmentSpec
    options: LockOptions
    workshop: Workshop
    tools: Tools
    as_of: AsOf

    def settle(self) -> tuple[Choice, Made | None] | NoChoice:
        """Return choice and package, once what the built package requires is part of what was resolved.

        A Python with which the package cannot be built is passed over.
        """
        made: dict[str, Made] = {}  # by Python
        unbuilt: dict[str, BuilderError] = {}  # by Python
        required: tuple[str, ...] = ()
        known: tuple[Asked, ...] = ()
        pythons: tuple[Asked, ...] = ()
        for _ in range(3 * len(RELEASED) + 2):
            choice = self._choose(known, pythons, unbuilt)
            if isinstance(choice, NoChoice) or self.spec.project is None:
                return choice if isinstance(choice, NoChoice) else (choice, None)
            minor = choice.candidate.python.version
            try:
                project = made.get(minor) or self._build(self.spec.project, choice)
            except (LockError, SourceBuildError) as error:
                if error.transient:
                    raise
                unbuilt[minor] = error
                continue
            made[minor] = project
            wanted = _wanted_python(project)
            if wanted not in pythons and not _holds(wanted, choice):
                pythons += (wanted,)
                continue
            resolved = self.spec.obeyed is not None or not self.spec.project_dynamic
            if resolved or project.built.requires == required:
                return choice, project
            required = project.built.requires
            name = canonicalize_name(project.built.lock.name)
            targets = {**TARGETS, minor: choice.candidate.target}.values()
            known = required_by_package(required, name, self.spec.project_extras, targets)
        raise LockError(
            "what the repository's package requires changes with every Python that it is built with",
            hint="choose one Python with `--python 3.11`",
        )

    def _choose(
        self, known: Sequence[Asked], pythons: Sequence[Asked], unbuilt: Mapping[str, BuilderError]
    ) -> Choice | NoChoice:
        spec = self.spec
        if spec.obeyed is not None:
            asked = obeying(spec.obeyed, self.as_of)
        else:
            asked = asking((*spec.requirements, *known), spec.constraints, self.as_of)
        asked = replace(asked, kept=self.options.kept)
        if (conda := self.workshop.commission.conda) is not None:
            asked = replace(asked, beside=conda.beside)
        allowed = self._candidates(pythons)
        left = [candidate for candidate in allowed if candidate.python.version not in unbuilt]
        failed = [Rejected(python, reason_of(error, self.as_of)) for python, error in unbuilt.items()]
        serving = {candidate.python.version for candidate in allowed}
        demand = " and ".join(f"{asked.origin} asks for {asked.text}" for asked in pythons)
        failed += [
            Rejected(candidate.python.version, demand)
            for candidate in self._candidates(())
            if candidate.python.version not in serving
        ]
        if not left:
            return NoChoice(asked.demands, self.as_of, tuple(failed), tuple(unbuilt.values()))
        with self.tools.progress.step("Resolving Python packages"):
            found = choose(asked, left, self.tools, self.workshop)
        rejected = (*failed, *found.rejected)
        if isinstance(found, NoChoice):
            return replace(found, rejected=rejected, failures=(*unbuilt.values(), *found.failures))
        return replace(found, rejected=rejected)

    def _candidates(self, pythons: Sequence[Asked]) -> tuple[Candidate, ...]:
        """Return the Pythons that the files leave, and further demands; of conda there is one."""
        conda = self.workshop.commission.conda
        if conda is None:
            sources = python_sources(self.tools, self.options.kept)
            found = candidates((*self.spec.python, *pythons), self.options.python, self.as_of, sources)
            before = self.options.kept.python if self.options.kept is not None else ""
            return tuple(sorted(found, key=lambda candidate: candidate.python.version != before))
        for asked in pythons:
            raise LockError(
                f"{asked.origin} asks for Python {asked.text}, and that of the conda packages is {conda.interpreter.version}",
                hint="ask for another python among the conda packages, or with `--python X.Y`",
            )
        return (conda.candidate,)

    def _build(self, project: str, choice: Choice) -> Made:
        return self.workshop.project(project, self.spec.build_requirements, choice.candidate.target)


def python_sources(tools: Tools, kept: Kept | None) -> PythonSources:
    """Return where this site's Pythons come from; the one that an earlier lock has stays."""
    return PythonSources(
        tools.site.pythons.sources,
        functools.partial(standalone_builds, tools),
        kept_build(kept.lock.interpreter) if kept is not None else None,
    )


def _resolvers(conda: CondaBase | None) -> dict[str, str]:
    return {} if conda is None else {"rattler": solver_version()}


def _with(error: LockError | SourceBuildError, more: str) -> LockError | SourceBuildError:
    """Return the error with a further line."""
    if isinstance(error, SourceBuildError):
        return SourceBuildError(f"{error.message}\n{more}", hint=error.hint, log=error.log)
    return LockError(f"{error.message}\n{more}", hint=error.hint)


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
