"""What is asked of the resolver of Python packages, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reprolake_builder.documents.environment import Asked, ObeyedLock
from reprolake_builder.documents.lock import BuiltWheelLock, WheelLock
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.kept import Kept
from reprolake_builder.solvers.pypi_index import Behind
from reprolake_builder.solvers.pypi_requirements import Demand, parse_all
from reprolake_builder.solvers.pypi_target import Target
from reprolake_builder.solvers.pypi_uv import Question, Stand


@dataclass(frozen=True, slots=True)
class Beside:
    """What conda has put there already: `stands` for its Python packages, and whether a kernel is among them."""

    stands: tuple[Stand, ...]
    has_kernel: bool


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked for, parsed, and the cut-off; with a lock that is obeyed, the requirements are what it pins.

    `beside` is what the packages come to lie beside, None where there is nothing, `kept` what an earlier lock had.
    """

    requirements: tuple[Demand, ...]
    constraints: tuple[Demand, ...]
    as_of: AsOf
    obeyed: ObeyedLock | None = None
    beside: Beside | None = None
    kept: Kept | None = None

    def preferring(self, question: Question) -> Question:
        """Return the question with what stays of an earlier lock."""
        return question if self.kept is None else self.kept.preferred(question)

    @property
    def demands(self) -> tuple[Demand, ...]:
        """Requirements and constraints."""
        return (*self.requirements, *self.constraints)


@dataclass(frozen=True, slots=True)
class Solution:
    """Python packages for a target: wheels of the index, and `built` ones. `behind` are those much older than they need be."""

    target: Target
    wheels: tuple[WheelLock, ...]
    built: tuple[BuiltWheelLock, ...]
    added: tuple[str, ...]
    behind: tuple[Behind, ...]
    notes: tuple[str, ...] = ()


def asking(requirements: Sequence[Asked], constraints: Sequence[Asked], as_of: AsOf) -> Asking:
    """Return the demands, parsed. Raises LockError for what is no plain requirement."""
    return Asking(parse_all(requirements), parse_all(constraints), as_of)


def obeying(lock: ObeyedLock, as_of: AsOf) -> Asking:
    """Return what a lock pins as what is asked for. Raises LockError for what is no plain requirement."""
    return Asking(parse_all(lock.pins), (), as_of, lock)
