"""The seam between resolving and building: what is lacking, and who may supply it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from reprolake_builder.documents.lock import BuiltWheelLock
from reprolake_builder.solvers.pypi_requirements import Demand
from reprolake_builder.solvers.pypi_target import Target
from reprolake_builder.solvers.pypi_uv import Direct


@dataclass(frozen=True, slots=True)
class Lack:
    """A set of packages of which those called `names` have no wheel: `words` are uv's about it.

    `elsewhere` are Pythons that may serve as well: what has wheels for one of them is not built here. `locked` tells that the
    demands are the pins of a lock, which count whatever the date.
    """

    names: tuple[str, ...]
    demands: tuple[Demand, ...]
    target: Target
    elsewhere: tuple[str, ...] = ()
    words: str = ""
    locked: bool = False


class Supplier(Protocol):
    """Builds wheels where an index has none."""

    def offered(self, target: Target) -> tuple[BuiltWheelLock, ...]:
        """Return the wheels that were built for the target so far; all lie in the store."""

    def direct(self, target: Target) -> tuple[Direct, ...]:
        """Return the wheels of the packages that are asked for by where they are. Raises SourceBuildError."""

    def supply(self, lack: Lack) -> bool:
        """Return whether a wheel was built that may help. Raises SourceBuildError when its build failed."""


class WheelsOnly:
    """Supplies nothing."""

    def offered(self, target: Target) -> tuple[BuiltWheelLock, ...]:
        """Return no wheels."""
        del target
        return ()

    def direct(self, target: Target) -> tuple[Direct, ...]:
        """Return no wheels."""
        del target
        return ()

    def supply(self, lack: Lack) -> bool:
        """Return that nothing was built."""
        del lack
        return False


@dataclass(frozen=True, slots=True)
class BuildNeed:
    """What is to be built, in words, and who builds what its build needs."""

    what: str
    supplier: Supplier
