"""Dependency groups of a pyproject.toml: the standard's own, and those of uv and PDM of before it.

Source: PyPA specifications, "Dependency groups" (PEP 735); uv's and PDM's documentation, "Development dependencies".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.declarations.pyproject import Pyproject
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.reading import name_of, names_of

_DEV = canonicalize_name("dev")
_MOST = 10_000  # demands of a group with all that it includes


def dependency_groups(pyproject: Pyproject) -> dict[NormalizedName, tuple[str, ...]]:
    """Return the demands of every group, with those of the groups that it includes. Raises DetectError."""
    table: dict[NormalizedName, list[Any]] = {}
    for name, items in pyproject.table("dependency-groups").items():
        key = name_of(name, pyproject.origin(name))
        if key in table or not isinstance(items, list):
            raise DetectError(
                f"{pyproject.origin(name)}: the dependency group {key} is no list, or stands here twice",
                hint='write it like NAME = ["numpy>=1.20", {include-group = "OTHER"}]',
            )
        table[key] = items
    found: dict[NormalizedName, tuple[str, ...]] = {}
    for name in table:
        _resolve(pyproject, table, name, (), found)
    for name, texts in _older(pyproject).items():
        found[name] = (*found.get(name, ()), *texts)
    return found


def default_groups(pyproject: Pyproject, tool: str) -> frozenset[NormalizedName]:
    """Return the groups that the tool installs when it is told nothing. Raises DetectError."""
    groups = frozenset(dependency_groups(pyproject))
    if tool == "PDM":
        return groups
    if tool != "uv":
        return frozenset()
    said = pyproject.tool.get("uv", {}).get("default-groups", ["dev"])
    if said == "all":
        return groups
    names = pyproject.texts({"default-groups": said}, "default-groups")
    return names_of(names, pyproject.origin("default-groups"))


def tool_of(pyproject: Pyproject) -> str:
    """Return the tool whose default groups count where there is no lock: the one that has a table of its own."""
    return "uv" if "uv" in pyproject.tool else "PDM" if "pdm" in pyproject.tool else ""


def _resolve(
    pyproject: Pyproject,
    table: Mapping[NormalizedName, list[Any]],
    name: NormalizedName,
    chain: tuple[str, ...],
    known: dict[NormalizedName, tuple[str, ...]],
) -> tuple[str, ...]:
    """Return the demands of a group with those that it includes; each group is resolved once, and then `known`."""
    if name in known:
        return known[name]
    origin = pyproject.origin(name)
    if name in chain:
        raise DetectError(f"{origin}: the dependency group {name} includes itself")
    if name not in table:
        raise DetectError(
            f"{origin}: the dependency group {name} is included and not there",
            hint="the groups that are there: " + (", ".join(sorted(table)) or "none"),
        )
    found: list[str] = []
    for item in table[name]:
        if isinstance(item, str):
            found.append(item)
        elif (
            isinstance(item, dict) and isinstance(other := item.get("include-group"), str) and len(item) == 1
        ):
            found += _resolve(pyproject, table, name_of(other, origin), (*chain, name), known)
        else:
            raise DetectError(
                f"{origin}: the dependency group {name} holds what is neither demand nor include-group"
            )
        if len(found) > _MOST:
            raise DetectError(
                f"{origin}: the dependency group {name} asks for more than any environment needs"
            )
    known[name] = tuple(found)
    return known[name]


def _older(pyproject: Pyproject) -> dict[NormalizedName, tuple[str, ...]]:
    """Return the groups in the words that uv and PDM had before there was a standard."""
    uv, pdm = pyproject.tool.get("uv", {}), pyproject.tool.get("pdm", {})
    found = {_DEV: pyproject.texts(uv, "dev-dependencies")} if "dev-dependencies" in uv else {}
    table = pdm.get("dev-dependencies", {})
    for name in table if isinstance(table, dict) else ():
        texts = tuple(text for text in pyproject.texts(table, name) if not text.startswith("-e "))
        key = name_of(name, pyproject.origin(name))
        found[key] = (*found.get(key, ()), *texts)
    return found
