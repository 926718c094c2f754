"""Requirements as they may be handed to a resolver: parsed, judged and written anew, never passed on as text."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.documents.environment import Asked
from reprolake_builder.errors import LockError
from reprolake_builder.process import printable
from reprolake_builder.solvers.pypi_target import TARGETS, Target

_SHOWN = 10
_WORD = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class Demand:
    """A requirement or constraint: parsed, the one line that says it (`line`), where it stands, and the hashes that it names."""

    requirement: Requirement
    line: str
    origin: str
    sha256: frozenset[str] = frozenset()

    @property
    def name(self) -> NormalizedName:
        """The package's normalised name."""
        return canonicalize_name(self.requirement.name)


def parse_all(asked: Iterable[Asked]) -> tuple[Demand, ...]:
    """Return the demands, in order. Raises LockError for what is not a plain PEP 508 requirement."""
    return tuple(parse(item) for item in asked)


def parse(asked: Asked) -> Demand:
    """Return one demand; its line cannot hold an option, a second line or the name of a variable.

    A marker's quoted strings may hold anything, also line breaks, and uv replaces `${NAME}` by variables of its environment.
    """
    try:
        requirement = Requirement(asked.text)
    except InvalidRequirement as error:
        raise LockError(
            f"{asked.origin}: {printable(asked.text)[:200]!r} is no requirement: {printable(str(error))[:400]}",
            hint='write it as PEP 508 has it, such as `numpy>=1.20; python_version < "3.12"`',
        ) from error
    line = str(requirement)
    if requirement.url is not None:
        raise LockError(
            f"{asked.origin}: {printable(asked.text)[:200]!r} refers to an address, not to a package index",
            hint="name a released version of it instead",
        )
    if not line.isprintable() or "${" in line:
        raise LockError(
            f"{asked.origin}: {printable(asked.text)[:200]!r} holds characters that no requirement needs"
        )
    return Demand(requirement, line, asked.origin, frozenset(asked.sha256))


def allowed_versions(name: NormalizedName, demands: Iterable[Demand], target: Target) -> SpecifierSet:
    """Return what all demands of that name that hold on the target allow together."""
    together = SpecifierSet()
    for demand in demands:
        if demand.name == name and target.holds(demand.requirement.marker):
            together &= demand.requirement.specifier
    return together


def hashes_of(name: NormalizedName, demands: Iterable[Demand], target: Target) -> frozenset[str] | None:
    """Return the SHA-256 of which an archive must have one; None where no demand of that name names any."""
    named = [demand.sha256 for demand in _hashing(name, demands, target)]
    return frozenset.intersection(*named) if named else None


def origins_of(name: NormalizedName, demands: Iterable[Demand], target: Target) -> str:
    """Return where the demands stand that name hashes."""
    return " and ".join(dict.fromkeys(demand.origin for demand in _hashing(name, demands, target)))


def _hashing(name: NormalizedName, demands: Iterable[Demand], target: Target) -> list[Demand]:
    return [d for d in demands if d.name == name and d.sha256 and target.holds(d.requirement.marker)]


def places(words: str, demands: Iterable[Demand]) -> str:
    """Return lines that say where the demands stand whose packages occur in `words`; "" when none does."""
    mentioned = {canonicalize_name(word.rstrip(".-")) for word in _WORD.findall(words)}
    lines = [f"  {demand.line} stands in {demand.origin}" for demand in demands if demand.name in mentioned]
    if len(lines) > _SHOWN:
        lines = [*lines[:_SHOWN], f"  … and {len(lines) - _SHOWN} more"]
    return "\n".join(dict.fromkeys(lines))


def required_by_package(
    lines: Iterable[str],
    name: NormalizedName,
    extras: Iterable[str],
    targets: Iterable[Target] = tuple(TARGETS.values()),
) -> tuple[Asked, ...]:
    """Return what a built package's `Requires-Dist` lines demand with these extras, for each target apart.

    A package may name itself with further extras (`all = ["pkg[plot,io]"]`): these count as well.
    Source: core metadata specification, Requires-Dist and Provides-Extra.
    """
    origin = f"the metadata of {name}"
    demands = parse_all(Asked(text=line, origin=origin) for line in lines)
    given = frozenset(canonicalize_name(extra) for extra in extras)
    required: list[Asked] = []
    for target in targets:
        for demand in _held(demands, name, given, target):
            plain = copy.copy(demand.requirement)
            plain.marker = Marker(f'python_version == "{target.minor}"')
            required.append(Asked(text=str(plain), origin=origin))
    return tuple(required)


def _held(
    demands: Sequence[Demand], name: NormalizedName, extras: frozenset[NormalizedName], target: Target
) -> list[Demand]:
    while True:
        held = [demand for demand in demands if target.holds(demand.requirement.marker, extras)]
        more = {canonicalize_name(extra) for d in held if d.name == name for extra in d.requirement.extras}
        if more <= extras:
            return [demand for demand in held if demand.name != name]
        extras |= more
