"""Where uv takes a project's packages from, as `[tool.uv.sources]` says: git repositories, folders, archives at addresses.

Source: uv's documentation, "Managing dependencies", "Dependency sources".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.declarations.heard import Given
from reprolake_builder.declarations.sources import ask_place
from reprolake_builder.documents.environment import AskedSource
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.interface import Place
from reprolake_builder.lock_files.reading import Table, converted, edge_of
from reprolake_builder.process import printable


class _Source(Table, frozen=True):
    git: str = ""
    rev: str = ""
    tag: str = ""
    branch: str = ""
    subdirectory: str = ""
    path: str = ""
    url: str = ""
    workspace: bool = False
    index: str = ""
    marker: str = ""
    extra: str = ""
    group: str = ""


Sources = Mapping[NormalizedName, _Source | tuple[_Source, ...]]


def uv_sources(settings: Mapping[str, Any], path: str) -> Sources:
    """Return where uv's `settings` say that packages are, by name. Raises DetectError naming the path."""
    origin = f"{path} [tool.uv.sources]"
    table = converted(settings.get("sources", {}), origin, dict[str, _Source | tuple[_Source, ...]])
    return {canonicalize_name(name): item for name, item in table.items()}


def uv_source(requirement: Requirement, named: Sources, origin: str, given: Given) -> AskedSource | None:
    """Return where a package is by uv's sources, None for one of the index. Raises DetectError.

    `origin` is where the demand stands.
    """
    found = named.get(canonicalize_name(requirement.name))
    if found is None:
        return None
    source = found if isinstance(found, _Source) else found[0] if len(found) == 1 else None
    if source is None or source.index or source.workspace or source.marker or source.extra or source.group:
        raise DetectError(
            f"{origin}: {printable(requirement.name)} comes from an index of its own, a workspace, or from several places by [tool.uv.sources]",
            hint="commit a uv.lock: what it pins is obeyed",
        )
    edge = edge_of(str(requirement), origin)
    if source.url:
        place = Place("archive", url=source.url, subdir=source.subdirectory)
    elif source.git:
        ref = source.rev or source.tag or source.branch
        place = Place("git", url=source.git, ref=ref, subdir=source.subdirectory)
    else:
        place = Place("folder", path=source.path)
    return ask_place(place, edge, given.base, origin, given)
