"""Lock files of other tools: which one is obeyed, what it pins here, and where it disagrees with what it was made of."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import replace

import msgspec
from packaging.tags import Tag
from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.declarations.demands import Declared, unmet
from reprolake_builder.declarations.heard import Given, Heard, join
from reprolake_builder.declarations.locked_projects import Locked, declares_packages, read_locked
from reprolake_builder.declarations.pipfile import (
    read_pipfile,
)
from reprolake_builder.declarations.precedence import beside_lock, misunderstood, named_lock, one_of_two
from reprolake_builder.declarations.pyproject import (
    Pyproject,
    build_requirements,
    read_pyproject,
)
from reprolake_builder.declarations.requirements import read_requirements
from reprolake_builder.declarations.sources import ask_place
from reprolake_builder.declarations.unheard import PYTHON_LOCKS
from reprolake_builder.documents.environment import Asked, AskedSource, ObeyedLock, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.interface import Edge, LockFile, Pin, Place
from reprolake_builder.lock_files.reading import edge_of
from reprolake_builder.lock_files.select import select
from reprolake_builder.solvers.pypi_target import TARGETS, Target, rank_of

_DECLARATIONS = ("Pipfile", "requirements.txt", "pyproject.toml", "setup.py")
_HASHED_NAME = re.compile(r"[0-9a-f]{7}")  # what Pipenv writes in place of a name that it does not know
_COMMIT = re.compile(r"[0-9a-fA-F]{40}(?:[0-9a-fA-F]{24})?")


def find_locks(given: Given, folder: str) -> tuple[str, ...]:
    """Return the paths of the lock files in a folder, the one to obey first. Raises DetectError where that cannot be told."""
    names = given.tree.names(folder)
    found = [join(folder, name) for name in PYTHON_LOCKS if name in names and given.has(join(folder, name))]
    if found or any(given.has(join(folder, name)) for name in _DECLARATIONS):
        return tuple(found)
    return named_lock(given, folder, "pylock.*.toml")


def read_locks(given: Given, folder: str, paths: tuple[str, ...]) -> Heard:
    """Return what the first of the lock files says, and in what others beside it say something else. Raises DetectError."""
    pyproject = read_pyproject(given, folder)
    locked = read_locked(given, folder, paths[0], pyproject)
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
    files = (lock.path, *_made_of(given, folder, lock, pyproject))
    beside = [join(folder, name) for name in ("Pipfile", "requirements.txt")]
    heard = Heard(
        files=files,
        unheard=(
            *unmet(lock, locked.declared, targets),
            *_notes(lock, obeyed),
            *(_other_lock(given, folder, path, obeyed) for path in paths[1:]),
            *(_beside(given, path, locked) for path in beside if given.has(path) and path not in files),
        ),
        python=lock.python,
        sources=tuple(_sources(chosen, targets, folder, given)),
        obeyed=(obeyed,),
    )
    return heard + _own(locked, given, folder)


def _other_lock(given: Given, folder: str, path: str, obeyed: ObeyedLock) -> UnheardFile:
    """Return what is to be known of a lock file over which another one stands."""
    try:
        other = read_locked(given, folder, path, read_pyproject(given, folder))
        chosen = {target.minor: select(other.lock, target) for target in other.targets}
        pins = {asked.text for _, asked in _pins(other.lock, chosen, other.targets)}
    except DetectError as error:
        return misunderstood(path, obeyed.path, error)
    return one_of_two(path, obeyed.path, same=pins == {asked.text for asked in obeyed.pins})


def _beside(given: Given, path: str, locked: Locked) -> UnheardFile:
    """Return what is to be known of a file over which the lock stands: whether the lock has all that it asks for."""
    lock = locked.lock
    try:
        other = read_pipfile(given, path) if path.endswith("Pipfile") else read_requirements(given, path)
    except DetectError as error:
        return misunderstood(path, lock.path, error)
    declared = [Declared(edge_of(asked.text, asked.origin), asked.origin) for asked in other.requirements]
    names = {pin.name for pin in lock.pins}
    bounds = [Declared(edge_of(asked.text, asked.origin), asked.origin) for asked in other.constraints]
    declared += [item for item in bounds if item.edge.name in names]
    missing = [item.reason for item in unmet(lock, declared, locked.targets)]
    missing += [
        f"{asked.origin} asks for {asked.name or asked.url or asked.folder}, which {lock.path} does not tell of"
        for asked in other.sources
        if asked.name not in names
    ]
    if not locked.is_package:
        missing += [
            f"{asked.origin} asks for the repository's own package, which {lock.path} does not install"
            for asked in other.own
        ]
    return beside_lock(path, lock.path, missing)


def _own(locked: Locked, given: Given, folder: str) -> Heard:
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
            raise DetectError(
                f"{pin.origin}: {pin.name} comes from git, and no commit is named",
                hint="have its tool write it anew",
            )
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
    if pyproject is None or (lock.tool == "pylock" and not declares_packages(pyproject)):
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
