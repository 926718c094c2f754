"""What a project says in Poetry's own words, in `[tool.poetry]`.

Source: Poetry's documentation, "The pyproject.toml file" and "Dependency specification".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.interface import Edge, Place
from reprolake_builder.lock_files.poetry_versions import alternatives
from reprolake_builder.lock_files.reading import Table, converted, folder_of, marker_of, name_of, names_of
from reprolake_builder.process import printable

_USUAL = "pypi"  # what Poetry calls the index that everybody has
MAIN = canonicalize_name("main")


class _Dependency(Table, frozen=True):
    version: str = "*"
    python: str = ""
    platform: str = ""
    markers: str = ""
    extras: tuple[str, ...] = ()
    optional: bool = False
    git: str = ""
    branch: str = ""
    tag: str = ""
    rev: str = ""
    subdirectory: str = ""
    path: str = ""
    url: str = ""


_Written = str | _Dependency | tuple[_Dependency, ...]


class _Group(Table, frozen=True):
    dependencies: dict[str, _Written] = {}
    optional: bool = False


class _Index(Table, frozen=True):
    name: str = ""


class _Poetry(Table, frozen=True):
    name: str = ""
    package_mode: bool = True
    dependencies: dict[str, _Written] = {}
    dev_dependencies: dict[str, _Written] = {}
    group: dict[str, _Group] = {}
    extras: dict[str, tuple[str, ...]] = {}
    source: tuple[_Index, ...] = ()


@dataclass(frozen=True, slots=True)
class PoetryDemand:
    """A demand as Poetry has it; `optional` ones come with an extra only."""

    edge: Edge
    optional: bool = False
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class PoetryProject:
    """A project in Poetry's words: demands by group, `main` among them, and which groups and names extras stand for.

    `python` are sets of versions, one of which has to hold; none says nothing. `indexes` are names of its own indexes.
    """

    name: str
    is_package: bool
    groups: Mapping[NormalizedName, tuple[PoetryDemand, ...]]
    optional_groups: frozenset[NormalizedName]
    extras: Mapping[NormalizedName, frozenset[NormalizedName]]
    python: tuple[SpecifierSet, ...]
    indexes: tuple[str, ...]


def read_poetry_project(tables: Mapping[str, Any], path: str) -> PoetryProject:
    """Return what `[tool.poetry]` says in the tables of a pyproject.toml. Raises DetectError."""
    tool = tables.get("tool", {})
    poetry = converted(tool.get("poetry", {}) if isinstance(tool, dict) else {}, path, _Poetry)
    groups: dict[NormalizedName, tuple[PoetryDemand, ...]] = {MAIN: _demands(poetry.dependencies, path)}
    if poetry.dev_dependencies:
        groups[canonicalize_name("dev")] = _demands(poetry.dev_dependencies, path)
    for name, group in poetry.group.items():
        key = name_of(name, path)
        groups[key] = groups.get(key, ()) + _demands(group.dependencies, path)
    standard = tables.get("dependency-groups", {})
    for name in standard if isinstance(standard, dict) else ():
        groups.setdefault(name_of(name, path), ())
    python = poetry.dependencies.get("python", "")
    text = python if isinstance(python, str) else getattr(python, "version", "")
    return PoetryProject(
        name=poetry.name,
        is_package=poetry.package_mode,
        groups=groups,
        optional_groups=frozenset(
            canonicalize_name(n) for n, group in poetry.group.items() if group.optional
        ),
        extras={
            name_of(extra, path): frozenset(canonicalize_name(item.partition("[")[0]) for item in items)
            for extra, items in poetry.extras.items()
        },
        python=alternatives(text, path) if text else (),
        indexes=tuple(index.name for index in poetry.source if index.name.lower() != _USUAL),
    )


def content_hashes(tables: Mapping[str, Any]) -> frozenset[str]:
    """Return the hashes by which Poetry of any version tells whether a lock was made of a pyproject.toml with these tables.

    Source: poetry, Locker._get_content_hash.
    """
    tool = tables.get("tool", {})
    poetry = tool.get("poetry", {}) if isinstance(tool, dict) else {}
    project = tables.get("project", {})
    if not isinstance(poetry, dict) or not isinstance(project, dict):
        return frozenset()
    keys = ("requires-python", "dependencies", "optional-dependencies")
    own = {key: project[key] for key in keys if project.get(key) is not None}
    found = set()
    for groups in (tables.get("dependency-groups"), None):
        legacy = ("dependencies", "source", "extras", "dev-dependencies")
        said = {key: poetry.get(key) for key in (*legacy, "group")}
        plain = not own and not groups
        kept = {k: v for k, v in said.items() if v is not None or (k in legacy and plain)}
        content: dict[str, Any] = {"project": own} if own else {}
        content |= {"dependency-groups": groups} if groups else {}
        content = {**content, "tool": {"poetry": kept}} if content else kept
        text = json.dumps(content, sort_keys=True, default=str)
        found.add(hashlib.sha256(text.encode()).hexdigest())
    return frozenset(found)


def _demands(table: Mapping[str, _Written], path: str) -> tuple[PoetryDemand, ...]:
    return tuple(
        _demand(name, item, path)
        for name, written in table.items()
        if canonicalize_name(name) != "python"
        for item in (written if isinstance(written, tuple) else (written,))
    )


def _demand(text: str, written: str | _Dependency, path: str) -> PoetryDemand:
    name = name_of(text, path)
    item = written if isinstance(written, _Dependency) else _Dependency(version=written)
    return PoetryDemand(
        Edge(
            name=name,
            extras=names_of(item.extras, path),
            marker=_marker(item, name, path),
            specifiers=alternatives(item.version, f"{path} ({name})"),
        ),
        optional=item.optional,
        place=_place(item),
    )


def _place(item: _Dependency) -> Place | None:
    if item.git:
        ref = item.rev or item.tag or item.branch
        return Place("git", url=item.git, ref=ref, subdir=item.subdirectory)
    if item.path:
        return Place("folder", path=folder_of(item.path), subdir=item.subdirectory)
    if item.url:
        return Place("archive", url=item.url, subdir=item.subdirectory)
    return None


def _marker(item: _Dependency, name: str, path: str) -> Marker | None:
    parts = [f"({item.markers})"] if item.markers else []
    if item.platform:
        if '"' in item.platform or "\\" in item.platform:
            raise DetectError(f"{path}: {printable(item.platform)[:60]!r} is no platform of {name}")
        parts.append(f'sys_platform == "{item.platform}"')
    if item.python:
        sets = alternatives(item.python, f"{path} ({name})")
        either = [" and ".join(_python_marker(s) for s in sorted(one, key=str)) for one in sets]
        if all(either):
            parts.append("(" + " or ".join(f"({text})" for text in either) + ")")
    return marker_of(" and ".join(parts), path)


def _python_marker(specifier: Any) -> str:
    return f'python_full_version {specifier.operator} "{specifier.version}"'
