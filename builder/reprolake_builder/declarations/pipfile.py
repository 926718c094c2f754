"""Pipfile: what Pipenv's own file asks for.

Source: Pipenv's documentation, "Pipfile & Pipfile.lock" and "Specifying versions of a package".
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from reprolake_builder.declarations.demands import Declared
from reprolake_builder.declarations.heard import Given, Heard
from reprolake_builder.declarations.sources import ask_archive, ask_folder, ask_git
from reprolake_builder.documents.environment import Asked, AskedSource, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.interface import Edge, Selection
from reprolake_builder.lock_files.reading import converted, marker_of, name_of
from reprolake_builder.process import printable

_USUAL = "pypi"  # what Pipenv calls the index that everybody has
_TABLES = frozenset({"source", "requires", "pipenv", "scripts", "build-system"})
_VERSION = re.compile(r"3\.\d+(?:\.\d+)?")
# Keys of a package that are markers in other words.
_MARKERS = (
    "os_name",
    "sys_platform",
    "platform_machine",
    "platform_system",
    "python_version",
    "python_full_version",
)


class _Package(msgspec.Struct, frozen=True):
    version: str = "*"
    extras: tuple[str, ...] = ()
    markers: str = ""
    git: str = ""
    ref: str = ""
    subdirectory: str = ""
    path: str = ""
    file: str = ""
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
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DetectError(f"{path} is no TOML: {printable(str(error))[:200]}") from error


def read_pipfile(given: Given, path: str) -> Heard:
    """Return what the Pipfile asks for where there is no lock of it. Raises DetectError naming the package."""
    tables = read_pipfile_tables(given, path) or {}
    if given.selection.extras:
        raise DetectError(f"{path} has no extras", hint="groups of packages are chosen with --group NAME")
    heard = Heard(files=(path,), python=pipfile_python(tables, path))
    for name, item in _packages(tables, path, given.selection):
        origin = f"{path} ({name})"
        if place := _source(name, item, origin, path, given):
            heard += place
            continue
        edge = _edge(name, item, path)
        extras = f"[{','.join(sorted(edge.extras))}]" if edge.extras else ""
        marker = f"; {edge.marker}" if edge.marker else ""
        heard += Heard(
            requirements=(Asked(text=f"{name}{extras}{edge.specifiers[0]}{marker}", origin=origin),)
        )
    for source in converted(tables.get("source", []), path, tuple[_Source, ...]):
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
    requires = converted(tables.get("requires", {}), path, _Requires)
    text = requires.python_full_version or requires.python_version
    if not text or text == "*":
        return ()
    if not _VERSION.fullmatch(text):
        raise DetectError(
            f"{path}: {printable(text)[:60]!r} is no version of Python",
            hint='write it like python_version = "3.11"',
        )
    series = f"=={text}" if text.count(".") == 2 else f"=={text}.*"
    return (Asked(text=series, origin=f"{path} (requires)"),)


def _packages(tables: Mapping[str, Any], path: str, selection: Selection) -> Iterator[tuple[str, _Package]]:
    known = {canonicalize_name(name): name for name in tables if name not in _TABLES}
    known[canonicalize_name("develop")] = known[canonicalize_name("dev")] = "dev-packages"
    wanted = ["packages", *(["dev-packages"] if selection.defaults else [])]
    for group in sorted(selection.groups):
        if group not in known:
            raise DetectError(
                f"{path} has no group {group!r}", hint="its groups: " + ", ".join(sorted(known))
            )
        wanted.append(known[group])
    for table in dict.fromkeys(wanted):
        written = converted(tables.get(table, {}), path, dict[str, str | _Package])
        for name, item in written.items():
            yield name_of(name, path), item if isinstance(item, _Package) else _Package(version=item)


def _edge(name: str, item: _Package, path: str) -> Edge:
    text = "" if item.version.strip() == "*" else item.version
    try:
        specifier = SpecifierSet(text)
    except InvalidSpecifier as error:
        raise DetectError(
            f"{path} ({name}): {printable(text)[:80]!r} is no set of versions",
            hint='write it like ">=1.2" or "*"',
        ) from error
    parts = [f"({item.markers})"] if item.markers else []
    parts += [f"{key} {value}" for key in _MARKERS if (value := getattr(item, key))]
    return Edge(
        name=canonicalize_name(name),
        extras=frozenset(canonicalize_name(extra) for extra in item.extras),
        marker=marker_of(" and ".join(parts), f"{path} ({name})"),
        specifiers=(specifier,),
    )


def _source(name: str, item: _Package, origin: str, path: str, given: Given) -> Heard | None:
    """Return the demand for a package by where it is, None for one of an index."""
    folder = path.rpartition("/")[0]
    extras = tuple(sorted(canonicalize_name(extra) for extra in item.extras))
    marker = str(_edge(name, item, path).marker or "")
    if item.path in {".", "./"}:
        return Heard(own=(Asked(text=",".join(item.extras), origin=origin),))
    if item.file:
        archive = ask_archive(item.file, (canonicalize_name(name), extras, marker), (), origin, given)
        return Heard(sources=(archive,))
    if item.path:
        asked = ask_folder(
            item.path if item.path.startswith(".") else f"./{item.path}", folder, origin, given
        )
    elif item.git:
        url = item.git if item.git.startswith("git+") else f"git+{item.git}"
        below = f"#subdirectory={item.subdirectory}" if item.subdirectory else ""
        asked = ask_git(url + (f"@{item.ref}" if item.ref else "") + below, origin, given)
    else:
        return None
    named = AskedSource(
        url=asked.url,
        ref=asked.ref,
        folder=asked.folder,
        name=canonicalize_name(name),
        extras=extras,
        marker=marker,
        origin=origin,
    )
    return Heard(sources=(named,))
