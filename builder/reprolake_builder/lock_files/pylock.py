"""pylock.toml: a flat list of packages with markers.

Source: PyPA specifications, "pylock.toml" (PEP 751).
"""

from __future__ import annotations

from reprolake_builder.documents.environment import Asked
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files import reading
from reprolake_builder.lock_files.interface import Edge, LockedFile, LockFile, Pin, Place, Selection
from reprolake_builder.process import printable


class _Vcs(reading.Table, frozen=True):
    type: str
    commit_id: str
    url: str = ""
    path: str = ""
    subdirectory: str = ""


class _Directory(reading.Table, frozen=True):
    path: str
    subdirectory: str = ""


class _File(reading.Table, frozen=True):
    hashes: dict[str, str]
    name: str = ""
    url: str = ""
    path: str = ""


class _Archive(_File, frozen=True):
    subdirectory: str = ""


class _Package(reading.Table, frozen=True):
    name: str
    version: str = ""
    marker: str = ""
    requires_python: str = ""
    vcs: _Vcs | None = None
    directory: _Directory | None = None
    archive: _Archive | None = None
    sdist: _File | None = None
    wheels: tuple[_File, ...] = ()


class _Pylock(reading.Table, frozen=True):
    packages: tuple[_Package, ...]
    environments: tuple[str, ...] = ()
    requires_python: str = ""
    extras: tuple[str, ...] = ()
    dependency_groups: tuple[str, ...] = ()
    default_groups: tuple[str, ...] = ()


def read_pylock(text: str, path: str, selection: Selection) -> LockFile:
    """Return the lock. Raises DetectError."""
    tables = reading.read_tables(text, path)
    reading.check_version(tables.get("lock-version"), ("1",), path)
    lock = reading.converted(tables, path, _Pylock)
    reading.checked_count(len(lock.packages), path)
    extras = reading.names_of(lock.extras, path)
    groups = reading.names_of(lock.dependency_groups, path)
    reading.refuse_unknown("extra", selection.extras, extras, path)
    reading.refuse_unknown("group", selection.groups, groups, path)
    defaults = reading.names_of(lock.default_groups, path) if selection.defaults else set()
    pins = tuple(_pin(package, path) for package in lock.packages)
    own = next((pin for pin in pins if pin.place is not None and pin.place.is_own), None)
    python = (Asked(text=str(reading.specifier_of(lock.requires_python, path)), origin=path),)
    return LockFile(
        path=path,
        tool="pylock",
        pins=pins,
        roots=tuple(
            Edge(pin.name, pin.version, marker=pin.markers[0] if pin.markers else None) for pin in pins
        ),
        extras=selection.extras,
        groups=selection.groups | defaults,
        python=python if lock.requires_python else (),
        environments=tuple(m for marker in lock.environments if (m := reading.marker_of(marker, path))),
        own=own.name if own is not None else "",
        has_own=own is not None,
    )


def _pin(package: _Package, path: str) -> Pin:
    name = reading.name_of(package.name, path)
    marker = reading.marker_of(package.marker, path)
    single = [item for item in (package.sdist, package.archive) if item is not None]
    files = (*single, *package.wheels)
    return Pin(
        name=name,
        version=reading.version_of(package.version, name, path),
        origin=path,
        files=tuple(_file(item, path) for item in files),
        place=_place(package, path),
        markers=(marker,) if marker is not None else (),
    )


def _file(item: _File, path: str) -> LockedFile:
    return reading.file_of(
        item.name or item.url or item.path, f"sha256:{item.hashes.get('sha256', '')}", path
    )


def _place(package: _Package, path: str) -> Place | None:
    if package.vcs is not None:
        vcs = package.vcs
        if vcs.type != "git" or not vcs.url:
            raise DetectError(f"{path}: {printable(package.name)[:100]} comes from no git address")
        return Place("git", url=vcs.url, ref=vcs.commit_id, subdir=vcs.subdirectory)
    if package.directory is not None:
        return Place(
            "folder", path=reading.folder_of(f"{package.directory.path}/{package.directory.subdirectory}")
        )
    if package.archive is not None:
        return Place(
            "archive", url=package.archive.url, path=package.archive.path, subdir=package.archive.subdirectory
        )
    if package.sdist is None and not package.wheels:
        raise DetectError(f"{path}: nothing says where {printable(package.name)[:100]} comes from")
    if not package.version:
        raise DetectError(f"{path}: {printable(package.name)[:100]} has no version")
    return None
