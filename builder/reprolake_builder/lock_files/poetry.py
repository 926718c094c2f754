"""poetry.lock: packages with groups and markers (formats of Poetry 2), or a graph that starts at pyproject.toml (Poetry 1).

Source: poetry, Locker; the formats 1.0 to 2.1 as `poetry lock` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.documents.environment import Asked
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files import reading
from reprolake_builder.lock_files.interface import Edge, LockedFile, LockFile, Pin, Place, Selection
from reprolake_builder.lock_files.poetry_project import MAIN, PoetryProject, content_hashes
from reprolake_builder.lock_files.poetry_versions import alternatives


class _Source(reading.SnakeTable, frozen=True):
    type: str = ""
    url: str = ""
    resolved_reference: str = ""
    reference: str = ""
    subdirectory: str = ""


class _Dependency(reading.Table, frozen=True):
    version: str = "*"
    python: str = ""
    markers: str = ""
    extras: tuple[str, ...] = ()
    optional: bool = False


_Written = str | _Dependency | tuple[_Dependency, ...]


class _Package(reading.Table, frozen=True):
    name: str
    version: str
    optional: bool = False
    category: str = ""
    groups: tuple[str, ...] | None = None
    markers: str | dict[str, str] = ""
    files: tuple[reading.FileTable, ...] = ()
    dependencies: dict[str, _Written] = {}
    source: _Source = _Source()


class _Metadata(reading.Table, frozen=True):
    python_versions: str = ""
    content_hash: str = ""
    files: dict[str, tuple[reading.FileTable, ...]] = {}
    hashes: dict[str, tuple[str, ...]] = {}


class _Lock(reading.Table, frozen=True):
    metadata: _Metadata
    package: tuple[_Package, ...] = ()
    extras: dict[str, tuple[str, ...]] = {}


def read_poetry(
    text: str, path: str, selection: Selection, project: PoetryProject, pyproject: Mapping[str, Any]
) -> LockFile:
    """Return the lock of the project beside it, whose tables are `pyproject`. Raises DetectError."""
    tables = reading.read_tables(text, path)
    reading.check_version(
        reading.metadata_of(tables).get("lock-version", "1.0"), ("1", "2"), path
    )  # the first format told none
    lock = reading.converted(tables, path, _Lock)
    reading.checked_count(len(lock.package), path)
    extras = reading.names_of(lock.extras, path) | set(project.extras)
    groups = _groups(selection, project, path)
    reading.refuse_unknown("extra", selection.extras, extras, path)
    flat = all(package.groups is not None for package in lock.package) and bool(lock.package)
    roots = _flat(lock, groups, path) if flat else _asked(project, selection, groups)
    python = alternatives(lock.metadata.python_versions, path) if lock.metadata.python_versions else ()
    hashes = content_hashes(pyproject)
    return LockFile(
        path=path,
        tool="Poetry",
        pins=tuple(_pin(package, lock, path, flat=flat) for package in lock.package),
        roots=roots,
        extras=selection.extras if flat else frozenset(),
        python=tuple(Asked(text=str(one), origin=path) for one in python) if len(python) == 1 else (),
        own=canonicalize_name(project.name) if project.name else "",
        has_own=project.is_package,
        hash_matches=lock.metadata.content_hash in hashes if hashes and lock.metadata.content_hash else None,
    )


def _groups(selection: Selection, project: PoetryProject, path: str) -> set[NormalizedName]:
    """Return the groups that `poetry install` takes with this selection."""
    reading.refuse_unknown("group", selection.groups, project.groups, path)
    defaults = project.groups.keys() - project.optional_groups if selection.defaults else set()
    return {MAIN, *defaults, *selection.groups}


def _flat(lock: _Lock, groups: set[NormalizedName], path: str) -> tuple[Edge, ...]:
    roots = []
    for package in lock.package:
        for group in sorted(canonicalize_name(name) for name in package.groups or ()):
            if group in groups:
                by_group = package.markers if isinstance(package.markers, dict) else {}
                text = by_group.get(group, "") if by_group else str(package.markers or "")
                roots.append(
                    Edge(
                        reading.name_of(package.name, path),
                        package.version,
                        marker=reading.marker_of(text, path),
                    )
                )
    return tuple(roots)


def _asked(project: PoetryProject, selection: Selection, groups: set[NormalizedName]) -> tuple[Edge, ...]:
    taken = {name for extra in selection.extras for name in project.extras.get(extra, ())}
    return tuple(
        demand.edge
        for group in sorted(groups)
        for demand in project.groups.get(group, ())
        if not demand.optional or demand.edge.name in taken
    )


def _pin(package: _Package, lock: _Lock, path: str, *, flat: bool) -> Pin:
    name = reading.name_of(package.name, path)
    return Pin(
        name=name,
        version=reading.version_of(package.version, name, path),
        origin=path,
        files=_files(package, lock, path),
        place=_place(package.source, name, path),
        requires=() if flat else tuple(_edges(package.dependencies, path)),
    )


def _files(package: _Package, lock: _Lock, path: str) -> tuple[LockedFile, ...]:
    files = package.files or lock.metadata.files.get(package.name, ())
    found = [item.locked(path) for item in files]
    found += [
        reading.file_of("", f"sha256:{digest}", path) for digest in lock.metadata.hashes.get(package.name, ())
    ]
    return tuple(found)


def _edges(table: Mapping[str, _Written], path: str) -> list[Edge]:
    return [
        _edge(text, item, path)
        for text, written in table.items()
        for item in (written if isinstance(written, tuple) else (written,))
    ]


def _edge(text: str, written: str | _Dependency, path: str) -> Edge:
    name = reading.name_of(text, path)
    item = written if isinstance(written, _Dependency) else _Dependency(version=written)
    sets: tuple[SpecifierSet, ...] = alternatives(item.version, f"{path} ({name})")
    return Edge(
        name=name,
        extras=reading.names_of(item.extras, path),
        marker=reading.marker_of(item.markers, path),
        specifiers=sets,
    )


def _place(source: _Source, name: str, path: str) -> Place | None:
    match source.type:
        case "" | "legacy":
            return None
        case "git":
            return Place("git", url=source.url, ref=source.resolved_reference, subdir=source.subdirectory)
        case "directory":
            return Place("folder", path=reading.folder_of(source.url), subdir=source.subdirectory)
        case "url":
            return Place("archive", url=source.url, subdir=source.subdirectory)
        case "file":
            return Place("archive", path=source.url)
        case _:
            raise DetectError(f"{path}: {name} comes from a source of the unknown kind {source.type[:40]!r}")
