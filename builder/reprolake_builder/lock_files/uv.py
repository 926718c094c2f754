"""uv.lock: the graph of a project or workspace, for every machine that uv solved it for.

Source: uv's documentation, "Locking and syncing"; the format's version 1 as `uv lock` writes it.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.documents.environment import Asked
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files import reading
from reprolake_builder.lock_files.interface import Edge, LockedFile, LockFile, Pin, Place, Selection
from reprolake_builder.process import printable


class _Source(reading.Table, frozen=True):
    registry: str | None = None
    git: str | None = None
    url: str | None = None
    path: str | None = None
    directory: str | None = None
    editable: str | None = None
    virtual: str | None = None
    subdirectory: str = ""

    @property
    def folder(self) -> str | None:
        """The folder of a package of the repository itself, relative to the lock."""
        found = next(
            (text for text in (self.editable, self.virtual, self.directory) if text is not None), None
        )
        return None if found is None else reading.folder_of(found)


class _File(reading.Table, frozen=True):
    url: str = ""
    path: str = ""
    filename: str = ""
    hash: str = ""


class _Dependency(reading.Table, frozen=True):
    name: str
    version: str = ""
    marker: str = ""
    extra: tuple[str, ...] = ()


class _Package(reading.Table, frozen=True):
    name: str
    source: _Source
    version: str = ""
    resolution_markers: tuple[str, ...] = ()
    dependencies: tuple[_Dependency, ...] = ()
    optional_dependencies: dict[str, tuple[_Dependency, ...]] = {}
    dev_dependencies: dict[str, tuple[_Dependency, ...]] = {}
    sdist: _File | None = None
    wheels: tuple[_File, ...] = ()


class _Manifest(reading.Table, frozen=True):
    dependency_groups: dict[str, tuple[_Dependency, ...]] = {}
    requirements: tuple[_Dependency, ...] = ()


class _UvLock(reading.Table, frozen=True):
    requires_python: str = ""
    supported_markers: tuple[str, ...] = ()
    manifest: _Manifest = _Manifest()
    package: tuple[_Package, ...] = ()


def read_uv(text: str, path: str, selection: Selection, default_groups: frozenset[str]) -> LockFile:
    """Return the lock of the project in the lock's own folder; `default_groups` are those that uv installs unasked.

    Raises DetectError.
    """
    tables = reading.read_tables(text, path)
    reading.check_version(tables.get("version"), ("1",), path)
    lock = reading.converted(tables, path, _UvLock)
    reading.checked_count(len(lock.package), path)
    own = next((package for package in lock.package if package.source.folder == ""), None)
    wanted = selection.groups | (default_groups if selection.defaults else frozenset())
    groups = own.dev_dependencies if own is not None else lock.manifest.dependency_groups
    known = {reading.name_of(name, path): items for name, items in groups.items()}
    optional = own.optional_dependencies if own is not None else {}
    extras = reading.names_of(optional, path)
    reading.refuse_unknown("extra", selection.extras, extras, path)
    reading.refuse_unknown("group", selection.groups, known, path)
    chosen = [name for name in known if name in wanted]
    roots = [_edge(item, path) for group in chosen for item in known[group]]
    roots += [_edge(item, path) for item in lock.manifest.requirements] if own is None else []
    if own is not None:
        roots.append(Edge(reading.name_of(own.name, path), extras=selection.extras))
    return LockFile(
        path=path,
        tool="uv",
        pins=tuple(_pin(package, path) for package in lock.package),
        roots=tuple(roots),
        extras=_conflicts(own, selection, chosen),
        python=(Asked(text=str(reading.specifier_of(lock.requires_python, path)), origin=path),)
        if lock.requires_python
        else (),
        environments=tuple(m for text in lock.supported_markers if (m := reading.marker_of(text, path))),
        own=reading.name_of(own.name, path) if own is not None else "",
        has_own=own is not None and own.source.virtual is None,
    )


def _conflicts(own: _Package | None, selection: Selection, groups: list[NormalizedName]) -> frozenset[str]:
    """Return the words by which uv's markers speak of a project, its extras and groups that cannot be had together."""
    if own is None:
        return frozenset()
    name = canonicalize_name(own.name)
    found = {f"project-{len(name)}-{name}"}
    found |= {f"extra-{len(name)}-{name}-{extra}" for extra in selection.extras}
    return frozenset(found | {f"group-{len(name)}-{name}-{group}" for group in groups})


def _pin(package: _Package, path: str) -> Pin:
    name = reading.name_of(package.name, path)
    files = (*((package.sdist,) if package.sdist is not None else ()), *package.wheels)
    return Pin(
        name=name,
        version=reading.version_of(package.version, name, path),
        origin=path,
        files=tuple(_file(item, path) for item in files),
        place=_place(package, path),
        markers=tuple(m for text in package.resolution_markers if (m := reading.marker_of(text, path))),
        requires=tuple(_edge(item, path) for item in package.dependencies),
        extras={
            canonicalize_name(extra): tuple(_edge(item, path) for item in items)
            for extra, items in package.optional_dependencies.items()
        },
    )


def _file(item: _File, path: str) -> LockedFile:
    return reading.file_of(item.filename or item.url or item.path, item.hash, path)


def _place(package: _Package, path: str) -> Place | None:
    source = package.source
    if source.registry is not None:
        return None
    if source.folder is not None:
        return Place("folder", path=source.folder)
    if source.git is not None:
        return _git(source.git, package.name, path)
    if source.path is not None:
        return Place("archive", path=reading.folder_of(source.path))
    if source.url is not None:
        return Place("archive", url=source.url, subdir=source.subdirectory)
    raise DetectError(f"{path}: nothing says where {printable(package.name)[:100]} comes from")


def _git(address: str, name: str, path: str) -> Place:
    """Return the place that `URL?rev=…&subdirectory=DIR#COMMIT` names."""
    address, _, commit = address.partition("#")
    url, _, query = address.partition("?")
    if not commit:
        raise DetectError(f"{path}: no commit is named for {printable(name)[:100]}")
    return Place("git", url=url, ref=commit, subdir=parse_qs(query).get("subdirectory", [""])[0])


def _edge(item: _Dependency, path: str) -> Edge:
    return Edge(
        name=reading.name_of(item.name, path),
        version=reading.version_of(item.version, item.name, path),
        extras=reading.names_of(item.extra, path),
        marker=reading.marker_of(item.marker, path),
    )
