"""Lock files of other tools: which one is obeyed, what it pins here, and where it disagrees with what it was made of."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import msgspec
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.declarations.demands import Declared, declared_by_poetry, declared_by_project, unmet
from reprolake_builder.declarations.groups import default_groups, dependency_groups
from reprolake_builder.declarations.heard import Given, Heard, join
from reprolake_builder.declarations.pipfile import (
    declared_by_pipfile,
    pipfile_python,
    read_pipfile,
    read_pipfile_tables,
)
from reprolake_builder.declarations.pyproject import (
    Pyproject,
    build_requirements,
    project_texts,
    read_pyproject,
)
from reprolake_builder.declarations.requirements import read_requirements
from reprolake_builder.declarations.sources import ask_place
from reprolake_builder.documents.environment import Asked, AskedSource, ObeyedLock, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.interface import Edge, LockFile, Pin, Place, Selection
from reprolake_builder.lock_files.pdm import PdmProject, read_pdm
from reprolake_builder.lock_files.pipfile import read_meta, read_pipfile_lock
from reprolake_builder.lock_files.poetry import read_poetry
from reprolake_builder.lock_files.poetry_project import read_poetry_project
from reprolake_builder.lock_files.pylock import read_pylock
from reprolake_builder.lock_files.reading import edge_of
from reprolake_builder.lock_files.select import holds, select
from reprolake_builder.lock_files.uv import read_uv
from reprolake_builder.process import printable
from reprolake_builder.solvers.pypi_target import ELSEWHERE, TARGETS, Target, rank_of

ORDER = ("uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "Pipfile.lock")
"""The lock files that are understood, the one that stands over the others first."""
_DECLARATIONS = ("Pipfile", "requirements.txt", "pyproject.toml", "setup.py")
_HASHED_NAME = re.compile(r"[0-9a-f]{7}")  # what Pipenv writes in place of a name that it does not know
_COMMIT = re.compile(r"[0-9a-fA-F]{40}(?:[0-9a-fA-F]{24})?")


@dataclass(frozen=True, slots=True)
class _Locked:
    """A lock file with the demands that it was made of, and whether the project gets installed itself."""

    lock: LockFile
    declared: tuple[Declared, ...]
    is_package: bool
    targets: tuple[Target, ...]


def find_locks(given: Given, folder: str) -> tuple[str, ...]:
    """Return the paths of the lock files in a folder, the one to obey first. Raises DetectError where that cannot be told."""
    names = given.tree.names(folder)
    found = [join(folder, name) for name in ORDER if name in names and given.has(join(folder, name))]
    if found or any(given.has(join(folder, name)) for name in _DECLARATIONS):
        return tuple(found)
    named = [join(folder, name) for name in names if fnmatchcase(name, "pylock.*.toml")]
    named = [path for path in named if given.has(path)]
    if len(named) > 1:
        raise DetectError(
            f"{' and '.join(map(printable, named[:4]))} are each the lock of another environment",
            hint="take one of them: " + " ".join(f"--ignore {printable(path)}" for path in named[1:]),
        )
    return tuple(named)


def read_locks(given: Given, folder: str, paths: tuple[str, ...]) -> Heard:
    """Return what the first of the lock files says, and in what others beside it say something else. Raises DetectError."""
    pyproject = read_pyproject(given, folder)
    locked = _read(given, folder, paths[0], pyproject)
    lock, targets = locked.lock, locked.targets
    chosen = {target.minor: select(lock, target) for target in targets}
    named = {demand.edge.name for demand in locked.declared}
    pins = _pins(lock, chosen, targets)
    direct = tuple(sorted({name for name, _ in pins if not named or name in named}))
    obeyed = ObeyedLock(
        path=lock.path,
        tool=lock.tool,
        pins=tuple(asked for _, asked in pins),
        direct=direct,
        pythons=tuple(chosen),
    )
    heard = Heard(
        files=(lock.path, *_made_of(given, folder, lock, pyproject)),
        unheard=(*unmet(lock, locked.declared, targets), *_notes(lock, obeyed)),
        python=lock.python,
        sources=tuple(_sources(chosen, targets, folder, given)),
        obeyed=(obeyed,),
    )
    heard += _own(locked, given, folder)
    for path in paths[1:]:
        heard += _other_lock(given, folder, path, heard)
    for name in ("Pipfile", "requirements.txt"):
        if given.has(path := join(folder, name)) and path not in heard.files:
            heard += _beside(given, path, locked)
    return heard


def _other_lock(given: Given, folder: str, path: str, heard: Heard) -> Heard:
    """Return what is to be known of a lock file over which another one stands."""
    obeyed = heard.obeyed[0]
    try:
        other = _read(given, folder, path, read_pyproject(given, folder))
        chosen = {target.minor: select(other.lock, target) for target in other.targets}
        pins = {asked.text for _, asked in _pins(other.lock, chosen, other.targets)}
    except DetectError as error:
        reason = f"{obeyed.path} stands over it, and it cannot be understood: {error.message}"
        return Heard(unheard=(UnheardFile(path=path, reason=reason, matters=True),))
    same = pins == {asked.text for asked in obeyed.pins}
    reason = f"{obeyed.path} stands over it, and they " + (
        "say the same" if same else "differ: ignore one of the two"
    )
    return Heard(unheard=(UnheardFile(path=path, reason=reason, matters=not same),))


def _beside(given: Given, path: str, locked: _Locked) -> Heard:
    """Return what is to be known of a file over which the lock stands: whether the lock has all that it asks for."""
    try:
        other = read_pipfile(given, path) if path.endswith("Pipfile") else read_requirements(given, path)
    except DetectError as error:
        reason = f"{locked.lock.path} stands over it, and it cannot be understood: {error.message}"
        return Heard(unheard=(UnheardFile(path=path, reason=reason, matters=True),))
    declared = [Declared(edge_of(asked.text, asked.origin), asked.origin) for asked in other.requirements]
    missing = [item.reason for item in unmet(locked.lock, declared, locked.targets)]
    names = {pin.name for pin in locked.lock.pins}
    missing += [
        f"{asked.origin} asks for {asked.name or asked.url or asked.folder}, which {locked.lock.path} does not tell of"
        for asked in other.sources
        if asked.name not in names
    ]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        reason = f"{missing[0]}{more}: ignore one of the two"
    else:
        reason = f"{locked.lock.path} has all that it asks for"
    return Heard(unheard=(UnheardFile(path=path, reason=reason, matters=bool(missing)),))


def _own(locked: _Locked, given: Given, folder: str) -> Heard:
    """Return the demand for the repository's own package, when it is one that gets installed."""
    if folder != given.base or not locked.is_package:
        return Heard()
    pyproject, script = read_pyproject(given), join(given.base, "setup.py")
    if pyproject is not None and (pyproject.has_project or pyproject.is_poetry):
        path = pyproject.path
        origin = pyproject.origin("[project]" if pyproject.has_project else "[tool.poetry]")
    elif given.has(script):
        path = origin = script
    else:
        return Heard()
    own = (Asked(text="", origin=origin),)
    return Heard(files=(path,), own=own, build_requirements=build_requirements(pyproject))


def _read(given: Given, folder: str, path: str, pyproject: Pyproject | None) -> _Locked:
    """Return the lock, the demands that it was made of as far as they are there, and whether the project is a package."""
    name = path.rpartition("/")[2]
    if name == "Pipfile.lock":
        lock, declared, is_package = _read_pipenv(given, folder, path)
    elif name.startswith("pylock."):
        lock = read_pylock(given.read(path) or "", path, given.selection)
        demands = pyproject is not None and _has_demands(pyproject)
        declared = tuple(declared_by_project(pyproject, given.selection, "")) if demands and pyproject else ()
        is_package = pyproject is not None and pyproject.has_build_system
    elif pyproject is None:
        raise DetectError(
            f"{path} is the lock of a project, and {join(folder, 'pyproject.toml')} is not there",
            hint=f"go on without the lock: --ignore {path}",
        )
    elif name == "poetry.lock":
        lock, declared, is_package = _read_poetry(given, path, pyproject)
    elif name == "pdm.lock":
        lock = read_pdm(
            given.read(path) or "", path, given.selection, _pdm_project(pyproject, given.selection.extras)
        )
        declared = tuple(declared_by_project(pyproject, given.selection, "PDM"))
        is_package = (
            pyproject.has_build_system and pyproject.tool.get("pdm", {}).get("distribution") is not False
        )
    else:
        lock = read_uv(given.read(path) or "", path, given.selection, default_groups(pyproject, "uv"))
        demands = pyproject.has_project or lock.own == ""
        declared = tuple(declared_by_project(pyproject, given.selection, "uv")) if demands else ()
        is_package = lock.has_own
    targets = _targets(lock)
    return _Locked(lock, declared, is_package, _serving(lock, declared, targets))


_Parts = tuple[LockFile, tuple[Declared, ...], bool]


def _read_pipenv(given: Given, folder: str, path: str) -> _Parts:
    pipfile = join(folder, "Pipfile")
    tables = read_pipfile_tables(given, pipfile)
    lock = read_pipfile_lock(given.read(path) or "", path, given.selection, tables)
    declared = tuple(declared_by_pipfile(tables, pipfile, given.selection)) if tables is not None else ()
    is_own = any(
        pin.place is not None and not pin.place.path and pin.place.kind == "folder" for pin in lock.pins
    )
    requires = (
        tables if tables is not None else {"requires": read_meta(given.read(path) or "", path).requires}
    )
    return replace(lock, python=pipfile_python(requires, pipfile)), declared, is_own


def _read_poetry(given: Given, path: str, pyproject: Pyproject) -> _Parts:
    project = read_poetry_project(pyproject.tables, pyproject.path)
    lock = read_poetry(given.read(path) or "", path, given.selection, project, pyproject.tables)
    own = _has_demands(pyproject)
    standard = dependency_groups(pyproject)
    groups = given.selection.groups & standard.keys()
    if given.selection.defaults:
        groups |= standard.keys() - project.optional_groups
    selection = Selection(given.selection.extras, frozenset(groups), defaults=False)
    declared = tuple(declared_by_project(pyproject, selection, "")) if own else ()
    return (
        lock,
        (*declared, *declared_by_poetry(pyproject, project, given.selection, main=not own)),
        project.is_package,
    )


def _has_demands(pyproject: Pyproject) -> bool:
    return pyproject.has_project and "dependencies" in pyproject.table("project")


def _pdm_project(pyproject: Pyproject, extras: frozenset[str]) -> PdmProject:
    groups: dict[str, tuple[str, ...]] = {"default": project_texts(pyproject, frozenset())}
    groups |= {extra: project_texts(pyproject, frozenset({extra})) for extra in extras}
    groups |= {str(name): texts for name, texts in dependency_groups(pyproject).items()}
    return PdmProject(groups, default_groups(pyproject, "PDM"))


def _targets(lock: LockFile) -> tuple[Target, ...]:
    """Return the Pythons of Debian that the lock was made for, others where there is none of these.

    Raises DetectError when it is for another machine.
    """
    sets = [SpecifierSet(asked.text) for asked in lock.python]
    found = [t for t in TARGETS.values() if all(one.contains(t.version, prereleases=True) for one in sets)]
    if not found and not any(_accepts_any(sets, minor) for minor in TARGETS):
        found = [target for minor, target in ELSEWHERE.items() if _accepts_any(sets, minor)]
    fitting = [t for t in found if not lock.environments or any(holds(m, t) for m in lock.environments)]
    if found and not fitting:
        raise DetectError(
            f"{lock.path} was made for other machines only: {str(lock.environments[0])[:200]}",
            hint=f"go on without it: --ignore {lock.path}",
        )
    return tuple(fitting)


def _accepts_any(sets: list[SpecifierSet], minor: str) -> bool:
    return any(all(one.contains(f"{minor}.{patch}") for one in sets) for patch in range(100))


def _serving(
    lock: LockFile, declared: tuple[Declared, ...], targets: tuple[Target, ...]
) -> tuple[Target, ...]:
    """Return the Pythons for which the lock meets the demands: all of them where it does so for none.

    A lock that was made for one Python does not always say so.
    """
    return tuple(target for target in targets if not unmet(lock, declared, (target,))) or targets


def _pins(
    lock: LockFile, chosen: dict[str, tuple[Pin, ...]], targets: tuple[Target, ...]
) -> list[tuple[NormalizedName, Asked]]:
    """Return each package of an index with what it is pinned to, and for which Pythons."""
    found: dict[tuple[NormalizedName, str], tuple[Pin, list[str]]] = {}
    for minor, pins in chosen.items():
        for pin in pins:
            if pin.place is None:
                found.setdefault((pin.name, pin.version), (pin, []))[1].append(minor)
    return [(name, _asked(pin, lock, minors, targets)) for (name, _), (pin, minors) in sorted(found.items())]


def _asked(pin: Pin, lock: LockFile, minors: list[str], targets: tuple[Target, ...]) -> Asked:
    if not pin.version:
        raise DetectError(
            f"{lock.path} names {pin.name}, and no version of it",
            hint="its tool could not lock it where it ran; have it write the lock anew on Linux",
        )
    fitting = [file.sha256 for file in pin.files if _may_serve(file.name, targets) and file.sha256]
    hashes = fitting or [file.sha256 for file in pin.files if file.sha256]
    marker = _marker(minors, targets)
    text = f"{pin.name}=={pin.version}" + (f"; {marker}" if marker else "")
    return Asked(text=text, origin=pin.origin, sha256=tuple(sorted(set(hashes))))


def _may_serve(filename: str, targets: tuple[Target, ...]) -> bool:
    """Whether a file can serve on any Python on offer, or one of the targets: one without a name may."""
    ranks = _ranks(tuple(dict.fromkeys((*TARGETS.values(), *targets))))
    return not filename.endswith(".whl") or any(rank_of(filename, one) is not None for one in ranks)


@functools.cache
def _ranks(targets: tuple[Target, ...]) -> tuple[dict[Tag, int], ...]:
    return tuple(target.ranks() for target in targets)


def _marker(minors: list[str], targets: tuple[Target, ...]) -> str:
    if len(minors) == len(targets):
        return ""
    return " or ".join(f'python_version == "{minor}"' for minor in minors)


def _sources(
    chosen: dict[str, tuple[Pin, ...]], targets: tuple[Target, ...], folder: str, given: Given
) -> Iterator[AskedSource]:
    """Yield the packages that come from no index, but for the project itself."""
    found: dict[Place, tuple[Pin, list[str]]] = {}
    for minor, pins in chosen.items():
        for pin in pins:
            if pin.place is not None and pin.place.path + pin.place.url:
                found.setdefault(pin.place, (pin, []))[1].append(minor)
    for place, (pin, minors) in found.items():
        if place.kind == "git" and not _COMMIT.fullmatch(place.ref):
            raise DetectError(f"{pin.origin}: {pin.name} comes from git, and no commit is named")
        name = canonicalize_name("" if _HASHED_NAME.fullmatch(pin.name) else pin.name)
        digests = tuple({file.sha256 for file in pin.files if file.sha256})
        exact = replace(place, ref=place.ref.lower(), sha256=digests)
        asked = ask_place(exact, Edge(name), folder, pin.origin, given)
        yield msgspec.structs.replace(asked, marker=_marker(minors, targets))


def _made_of(given: Given, folder: str, lock: LockFile, pyproject: Pyproject | None) -> tuple[str, ...]:
    """Return the files that the lock was made of, which were read with it."""
    if lock.tool == "Pipenv":
        path = join(folder, "Pipfile")
        return (path,) if given.has(path) else ()
    if pyproject is None or (lock.tool == "pylock" and not _has_demands(pyproject)):
        return ()
    return (pyproject.path,)


def _notes(lock: LockFile, obeyed: ObeyedLock) -> Iterator[UnheardFile]:
    if lock.hash_matches is False:
        reason = "it was made of another version of what is beside it, whose demands it meets but for those that are named"
        yield UnheardFile(path=f"{lock.path}#hash", reason=reason, matters=False)
    bare = sorted({asked.text.partition("==")[0] for asked in obeyed.pins if not asked.sha256})
    if bare:
        shown = ", ".join(bare[:5]) + (f" and {len(bare) - 5} more" if len(bare) > 5 else "")
        reason = f"it has no SHA-256 for {shown}: the version is obeyed, and the hash is the index's"
        yield UnheardFile(path=f"{lock.path}#hashes", reason=reason, matters=False)
