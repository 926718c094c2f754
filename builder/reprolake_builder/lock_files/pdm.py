"""pdm.lock: packages with the groups that they belong to, or, without these, a graph.

Source: PDM's documentation, "Lock file"; the formats 3 to 4.5 as `pdm lock` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from reprolake_builder.documents.environment import Asked
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files import reading
from reprolake_builder.lock_files.interface import Edge, LockedFile, LockFile, Pin, Place, Selection


class _Package(reading.SnakeTable, frozen=True):
    name: str
    version: str = ""
    requires_python: str = ""
    marker: str = ""
    groups: tuple[str, ...] | None = None
    extras: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    files: tuple[reading.FileTable, ...] = ()
    git: str = ""
    revision: str = ""
    subdirectory: str = ""
    url: str = ""
    path: str = ""


class _Target(reading.SnakeTable, frozen=True):
    requires_python: str = ""


class _Metadata(reading.SnakeTable, frozen=True):
    groups: tuple[str, ...] = ()
    files: dict[str, tuple[reading.FileTable, ...]] = {}
    targets: tuple[_Target, ...] = ()


class _Written(reading.SnakeTable, frozen=True):
    metadata: _Metadata = _Metadata()
    package: tuple[_Package, ...] = ()


@dataclass(frozen=True, slots=True)
class PdmProject:
    """What a lock was made of: the demands of each group, "default" for the project's own, and which groups are default."""

    groups: Mapping[str, Sequence[str]]
    default_groups: frozenset[str]


def read_pdm(text: str, path: str, selection: Selection, project: PdmProject) -> LockFile:
    """Return the lock of the project beside it. Raises DetectError."""
    tables = reading.read_tables(text, path)
    reading.check_version(reading.metadata_of(tables).get("lock_version"), ("3", "4"), path)
    lock = reading.converted(tables, path, _Written)
    reading.checked_count(len(lock.package), path)
    locked = reading.names_of(lock.metadata.groups, path) | {"default"}
    wanted = {"default", *selection.extras, *selection.groups}
    reading.refuse_unknown("extra", selection.extras, locked | set(project.groups), path)
    reading.refuse_unknown("group", selection.groups, locked | set(project.groups), path)
    if missing := wanted - locked:
        raise DetectError(
            f"{path} was made without the group {', '.join(map(repr, sorted(missing)))}",
            hint="its groups: " + ", ".join(sorted(locked)) + "; `pdm lock -G :all` locks all",
        )
    plain = not selection.extras and not selection.groups
    # As PDM: told nothing, it installs all that was locked; told something, that and what is for development.
    defaults = locked if plain else project.default_groups & locked
    groups = wanted | (defaults if selection.defaults else set())
    pins = _pins(lock, path)
    flat = all(package.groups is not None for package in lock.package)
    roots = _flat(lock, groups, path) if flat else _asked(project, groups, path)
    python = {target.requires_python for target in lock.metadata.targets} - {""}
    return LockFile(
        path=path,
        tool="PDM",
        pins=pins,
        roots=roots,
        python=tuple(Asked(text=str(reading.specifier_of(text, path)), origin=path) for text in python)
        if len(python) == 1
        else (),
    )


def _flat(lock: _Written, groups: set[str], path: str) -> tuple[Edge, ...]:
    return tuple(
        Edge(
            reading.name_of(package.name, path),
            package.version,
            marker=reading.marker_of(package.marker, path),
        )
        for package in lock.package
        if groups & {canonicalize_name(group) for group in package.groups or ()}
    )


def _asked(project: PdmProject, groups: set[str], path: str) -> tuple[Edge, ...]:
    return tuple(
        reading.edge_of(text, path) for group in sorted(groups) for text in project.groups.get(group, ())
    )


def _pins(lock: _Written, path: str) -> tuple[Pin, ...]:
    """Return the pins; a package stands once for itself, and once more for every set of its extras."""
    flat = all(package.groups is not None for package in lock.package)
    found: dict[tuple[str, str], Pin] = {}
    extras: dict[tuple[str, str], dict[str, tuple[Edge, ...]]] = {}
    for package in sorted(lock.package, key=lambda item: bool(item.extras)):
        name = reading.name_of(package.name, path)
        key = (name, package.version)
        edges = () if flat else tuple(reading.edge_of(text, path) for text in package.dependencies)
        for extra in package.extras:
            extras.setdefault(key, {})[reading.name_of(extra, path)] = edges
        if key not in found:
            marker = reading.marker_of(package.marker, path)
            found[key] = Pin(
                name=name,
                version=reading.version_of(package.version, name, path),
                origin=path,
                files=_files(package, lock, path),
                place=_place(package),
                markers=(marker,) if marker is not None and not package.extras else (),
                requires=() if package.extras else edges,
                extras=extras.setdefault(key, {}),  # type: ignore[arg-type]
            )
    return tuple(found.values())


def _files(package: _Package, lock: _Written, path: str) -> tuple[LockedFile, ...]:
    files = package.files or lock.metadata.files.get(f"{package.name} {package.version}", ())
    return tuple(item.locked(path) for item in files)


def _place(package: _Package) -> Place | None:
    if package.git:
        return Place("git", url=package.git, ref=package.revision, subdir=package.subdirectory)
    if package.path:
        return Place("archive" if package.files else "folder", path=reading.folder_of(package.path))
    if package.url:
        return Place("archive", url=package.url, subdir=package.subdirectory)
    return None
