"""Builds, for one lock, what has no wheel: packages of an index that come as source only, and the repository's own package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from reprolake_builder.documents.environment import Asked, AskedSource
from reprolake_builder.documents.lock import (
    BuiltWheelLock,
    GitOrigin,
    Origin,
    RepositoryOrigin,
    SdistOrigin,
)
from reprolake_builder.documents.source import (
    FilesSource,
    GitSource,
    HeritageSource,
    LocalSource,
    MercurialSource,
    PinnedSource,
)
from reprolake_builder.engines.addressed import Addressed, fetched_sdist, is_wheel
from reprolake_builder.engines.backend import MoreAskedError, environment
from reprolake_builder.engines.build_demands import holding, narrowed, required
from reprolake_builder.engines.build_root import Ground, build_stack, toolchain_of
from reprolake_builder.engines.built import BuildOrder, BuiltWheel, build_wheel
from reprolake_builder.engines.commission import Commission
from reprolake_builder.engines.libraries import missing_libraries, owners
from reprolake_builder.engines.remedies import find_remedy
from reprolake_builder.engines.scm_version import released_version, scm_version, variables_for
from reprolake_builder.engines.sources import Source, git_source, repository_source, sdist_source
from reprolake_builder.errors import LockError, SourceBuildError
from reprolake_builder.process import printable
from reprolake_builder.providers.git.dated import resolve_dated
from reprolake_builder.providers.git.describe import describe_folder, describe_source
from reprolake_builder.providers.links.git import parse_git_link
from reprolake_builder.solvers.debian import solve_debian
from reprolake_builder.solvers.pypi import BuildSet, solve_build
from reprolake_builder.solvers.pypi_requirements import Demand
from reprolake_builder.solvers.pypi_sdists import Sdist, find_sdist, keep_url
from reprolake_builder.solvers.pypi_supply import BuildNeed, Lack
from reprolake_builder.solvers.pypi_target import Target
from reprolake_builder.solvers.pypi_uv import Direct
from reprolake_builder.solvers.standalone import pin_standalone
from reprolake_builder.tools import Tools
from reprolake_builder.trees import MTIME

Build = Callable[[BuildOrder, Tools], BuiltWheel]
_LINKED = "what built packages are linked with"
_ATTEMPTS = 6  # builds of one package, each with more of what the one before lacked
_MOST_VERSIONS = 4  # of one package that are built in search of one that fits
DEEPEST = 8
"""How many packages may be built one for the build of another."""


@dataclass(frozen=True, slots=True)
class Made:
    """A wheel that was built, and what is to be known about it."""

    built: BuiltWheel
    notes: tuple[str, ...] = ()


Shelf = dict[str, dict[NormalizedName, dict[Version, Made]]]
"""Wheels that were built, by Python, name and version."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A wheel to be built: `epoch` is SOURCE_DATE_EPOCH in seconds, `demands` are those of the whole set.

    `chain` names what it is built for and at its end itself.
    """

    origin: Origin
    source: Source
    requirements: tuple[Asked, ...]
    epoch: int
    demands: tuple[Demand, ...] = ()
    chain: tuple[str, ...] = ()


@dataclass(slots=True)
class _Bench:
    """A Supplier of what is built for the build of something else: `chain` names that, outermost first."""

    workshop: Workshop
    chain: tuple[str, ...]

    def offered(self, target: Target) -> tuple[BuiltWheelLock, ...]:
        """Return the build requirements that were built for the target so far."""
        return _locks_on(self.workshop.for_builds, target)

    def direct(self, target: Target) -> tuple[Direct, ...]:
        """Return no wheels: what is asked for by where it is builds nothing."""
        del target
        return ()

    def supply(self, lack: Lack) -> bool:
        """Build what lacks a wheel. Raises SourceBuildError when that needs, in its turn, what it is built for."""
        return self.workshop.supply_from(self.workshop.for_builds, lack, self.chain)


@dataclass(slots=True)
class Workshop:
    """A Supplier of wheels; `build` makes one wheel."""

    commission: Commission
    tools: Tools
    build: Build = build_wheel
    for_builds: Shelf = field(default_factory=dict)
    _made: Shelf = field(default_factory=dict)
    _failed: dict[tuple[str, Origin], LockError | SourceBuildError] = field(default_factory=dict)
    _direct: dict[str, dict[AskedSource, Made]] = field(default_factory=dict)
    _given: Addressed = field(default_factory=Addressed)
    _pinned: dict[AskedSource, GitSource] = field(default_factory=dict)
    _versions: dict[PinnedSource, str] = field(default_factory=dict)
    _bases: dict[tuple[str, tuple[str, ...], bool], Ground] = field(default_factory=dict)

    def base(self, target: Target, libraries: tuple[str, ...] = (), *, toolchain: bool = False) -> Ground:
        """Return what environments with the target's Python stand on, the same at every call.

        Packages of shared `libraries` join those of apt.txt; the toolchain stands apart from both.
        """
        python, build = target.minor, target.build
        key = (python, libraries, toolchain)
        if key not in self._bases:
            conda, kept = self.commission.conda, self.commission.kept
            if kept is not None and conda is None and build is None and not libraries:
                known = kept.debian(python, self.commission.apt, toolchain=toolchain)
                if known is not None:
                    return self._bases.setdefault(key, Ground(*known))
            from_debian = python if conda is None and build is None else ""
            extra = (*self.commission.apt, *(Asked(text=name, origin=_LINKED) for name in libraries))
            apart = (*toolchain_of(from_debian), *self.commission.toolchain) if toolchain else ()
            solved = solve_debian(from_debian, extra, self.tools, apart)
            if conda is not None:
                ground = Ground(solved.debian, conda.interpreter, conda.lock)
            elif build is not None:
                ground = Ground(solved.debian, pin_standalone(build, self.tools))
            elif solved.interpreter is not None:
                ground = Ground(solved.debian, solved.interpreter)
            else:
                raise AssertionError("Debian's Python was asked for")
            self._bases[key] = ground
        return self._bases[key]

    def settled(self, wheels: tuple[BuiltWheelLock, ...], target: Target) -> tuple[Ground, tuple[str, ...]]:
        """Return what an image with these wheels stands on, and notes.

        What they are linked with and only the toolchain has joins the image.
        """
        compiled = [wheel for wheel in wheels if wheel.toolchain]
        if not compiled:
            names = " ".join(asked.text for asked in self.commission.toolchain)
            note = (f"--apt {names}: of no use, for nothing is built from source",) if names else ()
            return self.base(target), note
        solved = self.base(target, toolchain=True)
        plain, _ = build_stack(solved, self.tools, toolchain=False)
        system = build_stack(solved, self.tools, toolchain=True)[0][1]
        notes: list[str] = []
        packages: set[str] = set()
        for wheel in compiled:
            lacking = missing_libraries(self.tools.store.archive(wheel.sha256), plain)
            found = owners(lacking, system)
            packages |= set(found.values())
            notes += [
                f"{found[library]} joins the image: {wheel.name} is linked with its {library}"
                if library in found
                else f"{wheel.name} is linked with {printable(library)}, which nothing in the image has"
                for library in lacking
            ]
        return self.base(target, tuple(sorted(packages)), toolchain=True), tuple(notes)

    def offered(self, target: Target) -> tuple[BuiltWheelLock, ...]:
        """Return the wheels that were built for the target so far."""
        return _locks_on(self._made, target)

    def direct(self, target: Target) -> tuple[Direct, ...]:
        """Return the wheels of the packages that are asked for by where they are, built for the target."""
        wanted = [a for a in self.commission.sources if target.holds(Marker(a.marker) if a.marker else None)]
        made = self._direct.setdefault(target.minor, {})
        for asked in wanted:
            if asked not in made and not is_wheel(asked):
                made[asked] = self._from_place(asked, target)
        given = [self._given.wheel(asked, target, self.tools) for asked in wanted if is_wheel(asked)]
        return (*given, *(Direct(item.built.lock, asked.extras) for asked, item in made.items()))

    def notes(self, wheels: tuple[BuiltWheelLock, ...], target: Target) -> tuple[str, ...]:
        """Return what is to be known about built wheels."""
        made = [*self._direct.get(target.minor, {}).values()]
        made += [item for of_name in self._made.get(target.minor, {}).values() for item in of_name.values()]
        taken = {wheel.sha256 for wheel in wheels}
        return tuple(dict.fromkeys(n for item in made if item.built.lock.sha256 in taken for n in item.notes))

    def supply(self, lack: Lack) -> bool:
        """Build what lacks a wheel from its source distribution, and return whether there was one."""
        return self.supply_from(self._made, lack, ())

    def supply_from(self, shelf: Shelf, lack: Lack, chain: tuple[str, ...]) -> bool:
        """Build what lacks a wheel onto the shelf, for what the `chain` names."""
        supplied = False
        for text in lack.names:
            name = canonicalize_name(text)
            made = shelf.setdefault(lack.target.minor, {}).setdefault(name, {})
            search = self.commission.search(name, lack, frozenset(made))
            sdist = find_sdist(search, self.tools) if len(made) < _MOST_VERSIONS else None
            if sdist is not None and not set(sdist.elsewhere) & {lack.target.minor, *lack.elsewhere}:
                _refuse_circle(name, chain)
                made[sdist.version] = self._from_sdist(sdist, lack, (*chain, name))
                supplied = True
        return supplied

    def project(self, path: str, requirements: tuple[Asked, ...], target: Target) -> Made:
        """Return the package in the folder `path` of the repository, built with these requirements."""
        origin = RepositoryOrigin(path=path)
        source = repository_source(origin, self.commission.tree.tree)
        epoch = int(self.commission.tree.source.date.timestamp())
        return self._make(_Job(origin, source, requirements, epoch), target)

    def _from_place(self, asked: AskedSource, target: Target) -> Made:
        """Return the package in a git repository, an archive, or a folder of the locked source."""
        tree = self.commission.tree
        if asked.archive:
            archive = fetched_sdist(asked, self.tools)
            origin: Origin = archive
            source = sdist_source(archive, asked.url, self.tools)
            epoch = tree.source.date
        elif asked.url:
            pinned = self._pin(asked)
            origin = GitOrigin(source=pinned)
            source = git_source(GitOrigin(source=pinned), self.tools)
            epoch = pinned.date
        else:
            origin = RepositoryOrigin(path=asked.folder)
            source = repository_source(RepositoryOrigin(path=asked.folder), tree.tree)
            epoch = tree.source.date
        job = _Job(origin, source, required(source), int(epoch.timestamp()))
        made = self._make(job, target)
        if asked.name and made.built.lock.name != asked.name:
            raise SourceBuildError(
                f"{asked.origin} asks for {asked.name}, and {source.what} holds {made.built.lock.name}",
                hint="write the name that the package has",
            )
        return made

    def _pin(self, asked: AskedSource) -> GitSource:
        if asked not in self._pinned:
            link = parse_git_link(asked.url, asked.ref, asked.folder)
            known = self.commission.kept.commit(asked) if self.commission.kept is not None else None
            self._pinned[asked] = known or resolve_dated(link, self.commission.as_of.cutoff, self.tools)
        return self._pinned[asked]

    def _from_sdist(self, sdist: Sdist, lack: Lack, chain: tuple[str, ...]) -> Made:
        tools = self.tools
        source = sdist_source(sdist.origin, sdist.url, tools)
        keep_url(sdist, tools)
        size = tools.store.archive(sdist.origin.sha256).stat().st_size
        origin = msgspec.structs.replace(sdist.origin, size=size)
        epoch = MTIME if sdist.uploaded is None else int(sdist.uploaded.timestamp())
        made = self._make(_Job(origin, source, required(source), epoch, lack.demands, chain), lack.target)
        pin = made.built.lock
        if (pin.name, Version(pin.version)) != (sdist.name, sdist.version):
            raise SourceBuildError(
                f"{origin.filename} was built to {printable(pin.name)} {printable(pin.version)}, which is another package"
            )
        return made

    def _make(self, job: _Job, target: Target) -> Made:
        """Return the wheel. A build that failed fails again at once: it would take as long, and end in the same way."""
        key = (target.minor, job.origin)
        if key in self._failed:
            raise self._failed[key]
        try:
            return self._attempt(job, target)
        except (LockError, SourceBuildError) as error:
            if not error.transient:
                self._failed[key] = error
            raise

    def _attempt(self, job: _Job, target: Target) -> Made:
        """Return the wheel, built with more and more requirements as long as its build asks for them."""
        toolchain = job.source.is_compiled or bool(self.commission.toolchain)
        solved = self.base(target, toolchain=toolchain)
        asked = list(job.requirements)
        met: tuple[str, ...] = ()
        added: list[str] = []
        bench = _Bench(self, job.chain or (job.source.what,))
        need = BuildNeed(job.source.what, bench)
        while True:
            found = solve_build(asked, target, self.commission.as_of, self.tools, need)
            version, note = self._scm_variables(job, asked)
            order = BuildOrder(
                origin=job.origin,
                source=job.source,
                ground=solved,
                build_wheels=found.wheels,
                built_wheels=found.built,
                variables=environment(job.epoch, solved.interpreter, version),
                toolchain=toolchain,
                met=met,
            )
            try:
                return Made(self.build(order, self.tools), (*self._notes_of(found, target), *added, *note))
            except MoreAskedError as error:
                more = holding(error.asked, job.source.what, target)
                met += error.asked
                failure: SourceBuildError = error
            except SourceBuildError as error:
                remedy = find_remedy(error.log)
                if remedy is None or remedy.demand in {item.text for item in asked}:
                    raise
                more = [Asked(text=narrowed(remedy.demand, job.demands, target), origin=job.source.what)]
                added.append(f"{more[0].text} was added to what builds {job.source.what}: {remedy.reason}")
                failure = error
            asked += more
            if len(met) + len(added) > _ATTEMPTS:
                raise failure

    def _notes_of(self, found: BuildSet, target: Target) -> tuple[str, ...]:
        """Return what is to be known about what is installed for a build."""
        taken = {wheel.sha256 for wheel in found.built}
        made = [
            item for of_name in self.for_builds.get(target.minor, {}).values() for item in of_name.values()
        ]
        inner = [note for item in made if item.built.lock.sha256 in taken for note in item.notes]
        return (*found.notes, *inner)

    def _scm_variables(self, job: _Job, asked: list[Asked]) -> tuple[dict[str, str], tuple[str, ...]]:
        """Return the version for a package that takes it from git, as variables of its build, and a note."""
        names = variables_for(canonicalize_name(Requirement(item.text).name) for item in asked)
        if not names or isinstance(job.origin, SdistOrigin):
            return {}, ()  # a source distribution carries its version
        source = job.origin.source if isinstance(job.origin, GitOrigin) else self.commission.tree.source
        version = self._scm_version(source)
        if not version:
            return {}, ()
        teller = "git, which" if not isinstance(source, FilesSource) else "git; its record"
        note = f"{job.source.what} takes its version from {teller} calls it {version}"
        return dict.fromkeys(names, version), (note,)

    def _scm_version(self, source: PinnedSource) -> str:
        """Return the version of a source by git's words, "" where there is no git; that of a record's files is the record's."""
        if isinstance(source, HeritageSource | MercurialSource):
            return ""  # an archive's folder has no tags, and Mercurial's are none of git
        if isinstance(source, FilesSource):
            return released_version(source.record.version) if source.record is not None else ""
        if source not in self._versions:
            tools = self.tools
            if isinstance(source, GitSource):
                found = describe_source(source, tools)
            else:
                found = describe_folder(Path(source.path), tools.git_environment)
            changed = isinstance(source, LocalSource) and source.dirty
            day = f"{source.date:%Y%m%d}" if changed else ""
            self._versions[source] = scm_version(found, day) if found is not None else ""
        return self._versions[source]


def _locks_on(shelf: Shelf, target: Target) -> tuple[BuiltWheelLock, ...]:
    made = shelf.get(target.minor, {}).values()
    return tuple(item.built.lock for versions in made for item in versions.values())


def _refuse_circle(name: NormalizedName, chain: tuple[str, ...]) -> None:
    """Return when what the chain names may have the package built for it."""
    way = " needs ".join((*chain, name))
    if name in chain:
        raise SourceBuildError(
            f"none of these has a wheel, and each has to be built before the other: {way}",
            hint="choose a version that has a wheel, or another Python with `--python X.Y`",
        )
    if len(chain) > DEEPEST:
        raise SourceBuildError(
            f"more than {DEEPEST} packages would have to be built one for the other: {way}",
            hint="choose versions that have wheels, or another Python with `--python X.Y`",
        )
