"""Pipfile: what Pipenv's own file asks for.

Source: Pipenv's documentation, "Pipfile & Pipfile.lock" and "Specifying versions of a package".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from packaging.utils import canonicalize_name

from reprolake_builder.declarations.demands import Declared, asked_of
from reprolake_builder.declarations.heard import Given, Heard
from reprolake_builder.declarations.lines import series
from reprolake_builder.declarations.sources import ask_place
from reprolake_builder.documents.environment import Asked, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files import reading
from reprolake_builder.lock_files.interface import Edge, Selection
from reprolake_builder.lock_files.pipfile import PipfilePackage
from reprolake_builder.process import printable

_USUAL = "pypi"  # what Pipenv calls the index that everybody has
_TABLES = frozenset({"source", "requires", "pipenv", "scripts", "build-system"})
_VERSION = re.compile(r"3\.[0-9]{1,4}(?:\.[0-9]{1,4})?")
# Keys of a package that are markers in other words.
_MARKERS = (
    "os_name",
    "sys_platform",
    "platform_machine",
    "platform_system",
    "python_version",
    "python_full_version",
)


class _Package(PipfilePackage, frozen=True):
    extras: tuple[str, ...] = ()
    os_name: str = ""
    sys_platform: str = ""
    platform_machine: str = ""
    platform_system: str = ""
    python_version: str = ""
    python_full_version: str = ""


class _Source(msgspec.Struct, frozen=True):
    name: str = ""


class _Requires(msgspec.Struct, frozen=True):
    python_version: str = ""
    python_full_version: str = ""


def read_pipfile_tables(given: Given, path: str) -> dict[str, Any] | None:
    """Return the tables of a Pipfile, None when there is none. Raises DetectError."""
    text = given.read(path)
    if text is None:
        return None
    return reading.read_tables(text, path)


def read_pipfile(given: Given, path: str) -> Heard:
    """Return what the Pipfile asks for where there is no lock of it. Raises DetectError naming the package."""
    tables = read_pipfile_tables(given, path) or {}
    if given.selection.extras:
        raise DetectError(f"{path} has no extras", hint="groups of packages are chosen with --group NAME")
    heard = Heard(files=(path,), python=pipfile_python(tables, path))
    for name, item in _packages(tables, path, given.selection):
        origin = f"{path} ({name})"
        edge, place = _edge(name, item, path), item.place(origin)
        if place is None:
            heard += Heard(requirements=(asked_of(edge, origin),))
        elif place.is_own:
            heard += Heard(own=(Asked(text=",".join(item.extras), origin=origin),))
        else:
            folder = path.rpartition("/")[0]
            heard += Heard(sources=(ask_place(place, edge, folder, origin, given),))
    for source in reading.converted(tables.get("source", []), path, tuple[_Source, ...]):
        if source.name != _USUAL:
            reason = f"the source {printable(source.name)[:60]!r}: the package index comes from the site's configuration"
            heard += Heard(unheard=(UnheardFile(path=f"{path}#source", reason=reason, matters=True),))
    return heard


def declared_by_pipfile(tables: Mapping[str, Any], path: str, selection: Selection) -> Iterator[Declared]:
    """Yield what the Pipfile asks for, to hold a lock against it."""
    for name, item in _packages(tables, path, selection):
        yield Declared(_edge(name, item, path), path)


def pipfile_python(tables: Mapping[str, Any], path: str) -> tuple[Asked, ...]:
    """Return the Python that `[requires]` names. Raises DetectError."""
    requires = reading.converted(tables.get("requires", {}), path, _Requires)
    text = requires.python_full_version or requires.python_version
    if not text or text == "*":
        return ()
    if not _VERSION.fullmatch(text):
        raise DetectError(
            f"{path}: {printable(text)[:60]!r} is no version of Python",
            hint='write it like python_version = "3.11"',
        )
    return (Asked(text=series(text), origin=f"{path} (requires)"),)


def _packages(tables: Mapping[str, Any], path: str, selection: Selection) -> Iterator[tuple[str, _Package]]:
    known = {reading.name_of(name, path): name for name in tables if name not in _TABLES}
    known[canonicalize_name("develop")] = known[canonicalize_name("dev")] = "dev-packages"
    wanted = ["packages", *(["dev-packages"] if selection.defaults else [])]
    reading.refuse_unknown("group", selection.groups, known, path)
    wanted += [known[group] for group in sorted(selection.groups)]
    for table in dict.fromkeys(wanted):
        written = reading.converted(tables.get(table, {}), path, dict[str, str | _Package])
        reading.checked_count(len(written), path)
        for name, item in written.items():
            yield reading.name_of(name, path), item if isinstance(item, _Package) else _Package(version=item)


def _edge(name: str, item: _Package, path: str) -> Edge:
    text = "" if item.version.strip() == "*" else item.version
    specifier = reading.specifier_of(text, f"{path} ({name})", 'write it like ">=1.2" or "*"')
    parts = [f"({item.markers})"] if item.markers else []
    parts += [f"{key} {value}" for key in _MARKERS if (value := getattr(item, key))]
    return Edge(
        name=canonicalize_name(name),
        extras=reading.names_of(item.extras, path),
        marker=reading.marker_of(" and ".join(parts), f"{path} ({name})"),
        specifiers=(specifier,),
    )
