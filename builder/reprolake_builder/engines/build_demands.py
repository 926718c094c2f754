"""What a build demands: by its own files, by its backend, and by the set that it is for."""

from __future__ import annotations

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from reprolake_builder.documents.environment import Asked
from reprolake_builder.engines.backend import build_system
from reprolake_builder.engines.sources import Source
from reprolake_builder.errors import SourceBuildError
from reprolake_builder.process import printable
from reprolake_builder.solvers.pypi_requirements import Demand, allowed_versions
from reprolake_builder.solvers.pypi_target import Target


def required(source: Source) -> tuple[Asked, ...]:
    """Return what the source says that it is built with."""
    origin = f"pyproject.toml of {source.what}"
    requires = build_system(source.tree, source.path)["requires"]
    return tuple(Asked(text=text, origin=origin) for text in requires)


def holding(texts: tuple[str, ...], what: str, target: Target) -> list[Asked]:
    """Return those of a backend's demands that hold on the target."""
    found = []
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise SourceBuildError(
                f"{what} asks its backend for {printable(text)[:100]!r}, which is no requirement"
            ) from error
        if target.holds(requirement.marker):
            found.append(Asked(text=text, origin=f"the backend of {what}"))
    return found


def narrowed(demand: str, demands: tuple[Demand, ...], target: Target) -> str:
    """Return the demand with what the whole set asks of that package: what is compiled against it has to work with it."""
    requirement = Requirement(demand)
    requirement.specifier &= allowed_versions(canonicalize_name(requirement.name), demands, target)
    return str(requirement)
