"""Which Debian packages it takes: a search that chooses as apt does for a fresh system.

What is demanded comes first, then package by package and depth first what it needs. The first alternative that can be had is
taken; of several packages that provide a virtual one the more important, then the first by name. Before a package is chosen,
all that comes with it for certain is looked at: when that stands in the way of what is certain already, the next
alternative's turn has come. Nothing is ever un-chosen; where nothing is left, the message names the two in each other's way.

docs/reference/debian-and-apt.md compares the outcome with apt's.
"""

from __future__ import annotations

import difflib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from reprolake_builder.documents.environment import Asked
from reprolake_builder.errors import LockError
from reprolake_builder.process import printable
from reprolake_builder.solvers.debian_archive import ARCHITECTURE, Catalogue, Package
from reprolake_builder.solvers.debian_versions import Relation, parse_relations

_PRIORITIES = {"required": 0, "important": 1, "standard": 2}
_TOLD = 6  # links of a chain: more are no help
DEMAND = re.compile(r"([a-z0-9][a-z0-9+.-]*)(?:=(\S+))?")
"""How a Debian package is asked for: NAME or NAME=VERSION."""


class _Chain(NamedTuple):
    """What led to a need: a package, what led to that in turn, and at the end a demand's origin ("" for the base's own)."""

    name: str
    above: _Chain | None = None

    def __str__(self) -> str:
        names = [self.name]
        chain = self.above
        while chain is not None:
            names.append(chain.name)
            chain = chain.above
        if len(names) > _TOLD:
            names[_TOLD - 2 : -2] = [f"… ({len(names) - _TOLD} more)"]
        return ", needed by ".join(filter(None, names))


class _Need(NamedTuple):
    """One group of alternatives, and what led to it."""

    group: tuple[Relation, ...]
    origin: _Chain


class _Company:
    """Packages that stand beside each other, by what they are called, what they provide and what they exclude."""

    def __init__(self) -> None:
        self.packages: dict[str, Package] = {}
        self.origins: dict[str, _Chain] = {}
        self._provided: dict[str, list[tuple[str, str]]] = {}
        self._against: dict[str, list[tuple[Relation, str]]] = {}

    def add(self, package: Package, origin: _Chain) -> None:
        """Let the package, which `origin` needs, stand among the others."""
        self.packages[package.name] = package
        self.origins[package.name] = origin
        for name, version in _provided(package):
            self._provided.setdefault(name, []).append((package.name, version))
        for (relation,) in package.relations("Conflicts", "Breaks"):
            if not _foreign(relation):
                self._against.setdefault(relation.name, []).append((relation, package.name))

    def satisfies(self, group: tuple[Relation, ...]) -> bool:
        """Whether one of them is, or provides, one of the alternatives."""
        return any(next(self._named(relation), "") for relation in group if not _foreign(relation))

    def opponent(self, package: Package) -> str:
        """Name one of them that conflicts with the package, either way round."""
        for (relation,) in package.relations("Conflicts", "Breaks"):
            if not _foreign(relation):
                for name in self._named(relation):
                    if name != package.name:
                        return name
        for name, version in [(package.name, package.version), *_provided(package)]:
            for relation, by in self._against.get(name, ()):
                if by != package.name and relation.admits(version):
                    return by
        return ""

    def _named(self, relation: Relation) -> Iterator[str]:
        """Yield the packages that the relation speaks of."""
        package = self.packages.get(relation.name)
        if package is not None and relation.admits(package.version):
            yield package.name
        yield from (
            name for name, version in self._provided.get(relation.name, ()) if relation.admits(version)
        )


class Selection:
    """The packages chosen so far, in the order in which they were."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._chosen = _Company()
        self._certain = _Company()  # the chosen ones, and those that must come with them

    @property
    def packages(self) -> Mapping[str, Package]:
        """The chosen packages by name."""
        return self._chosen.packages

    def require(self, demands: Iterable[Asked]) -> None:
        """Choose the packages demanded, with all that they need; the order of demands makes no difference.

        Raises LockError naming the demand's origin.
        """
        needs: deque[_Need] = deque()
        for asked in sorted(demands, key=lambda asked: (asked.text, asked.origin)):
            need = _Need((self._demanded(asked),), _Chain(asked.origin))
            name = need.group[0].name
            # What is asked for by name comes under that name, though another package provides it, too.
            own = name in self._catalogue.packages
            there = name in self.packages if own else self._chosen.satisfies(need.group)
            if not there:
                needs.extend(self._choose(need))
        while needs:
            need = needs.popleft()
            if not self._chosen.satisfies(need.group):
                needs.extendleft(reversed(self._choose(need)))

    def _demanded(self, asked: Asked) -> Relation:
        match = DEMAND.fullmatch(asked.text)
        if match is None:
            raise LockError(
                f"{asked.origin}: {printable(asked.text)!r} is no name of a Debian package",
                hint="write NAME or NAME=VERSION",
            )
        name, version = match[1], match[2]
        package = self._catalogue.packages.get(name)
        providers = self._catalogue.providers.get(name, ())
        if package is None and len({provider for provider, _ in providers}) != 1:
            raise _unknown(asked, name, [provider for provider, _ in providers], self._catalogue)
        if package is not None and version and package.version != version:
            raise LockError(
                f"{asked.origin}: {name} {printable(version)} is not on offer, the suite has {package.version}",
                hint=f"ask for {name}={package.version}, or for {name} without a version",
            )
        return Relation(name, "=", version) if version else Relation(name)

    def _choose(self, need: _Need) -> tuple[_Need, ...]:
        """Choose what meets the need, and return what that needs in turn."""
        failures: list[LockError] = []
        for package in self._candidates(need.group):
            try:
                self._make_certain(package, need)
            except LockError as error:
                failures.append(error)
            else:
                self._chosen.add(package, need.origin)
                return _needs(package, need.origin)
        raise failures[0] if failures else _not_on_offer(need)

    def _make_certain(self, package: Package, need: _Need) -> None:
        """Let the package be certain to come, with all that follows. Raises LockError when that cannot stand."""
        company = _Company()
        following = deque([(package, need)])
        while following:
            package, need = following.popleft()
            if package.name in self._certain.packages or package.name in company.packages:
                continue
            for others in (self._certain, company):
                if opponent := others.opponent(package):
                    raise _excluded(need, package, opponent, others.origins[opponent])
            company.add(package, need.origin)
            for below in _needs(package, need.origin):
                if self._certain.satisfies(below.group) or company.satisfies(below.group):
                    continue
                candidates = {candidate.name: candidate for candidate in self._candidates(below.group)}
                if not candidates:
                    raise _not_on_offer(below)
                if len(candidates) == 1:
                    following.extend((candidate, below) for candidate in candidates.values())
        for name, certain in company.packages.items():
            self._certain.add(certain, company.origins[name])

    def _candidates(self, group: tuple[Relation, ...]) -> Iterator[Package]:
        """Yield the packages on offer that meet the need, the best first."""
        packages = self._catalogue.packages
        for relation in group:
            if _foreign(relation):
                continue
            package = packages.get(relation.name)
            if package is not None and relation.admits(package.version):
                yield package
            for _, name, version in sorted(
                (_PRIORITIES.get(packages[name].field("Priority"), 3), name, version)
                for name, version in self._catalogue.providers.get(relation.name, ())
            ):
                if relation.admits(version):
                    yield packages[name]


def _needs(package: Package, origin: _Chain) -> tuple[_Need, ...]:
    chain = _Chain(package.name, origin)
    return tuple(_Need(group, chain) for group in package.relations("Pre-Depends", "Depends"))


def _told(need: _Need) -> str:
    by = str(need.origin)
    wanted = " or ".join(str(relation) for relation in need.group)
    return f"{by}: {wanted} is needed" if by else f"{wanted} is needed"


def _not_on_offer(need: _Need) -> LockError:
    return LockError(
        f"{_told(need)} and not on offer in this state of the suite",
        hint="if the mirror is being updated right now, try again in a few minutes",
    )


def _excluded(need: _Need, package: Package, opponent: str, origin: _Chain) -> LockError:
    return LockError(
        f"{_told(need)}, but {package.name} {package.version} cannot stand beside {_Chain(opponent, origin)}",
        hint="leave one of the two out",
    )


def _provided(package: Package) -> list[tuple[str, str]]:
    return [(relation.name, relation.version) for (relation,) in parse_relations(package.field("Provides"))]


def _foreign(relation: Relation) -> bool:
    """Whether the relation speaks of another architecture's packages, of which there are none here."""
    return relation.architecture not in {"", "any", "native", ARCHITECTURE}


def _unknown(asked: Asked, name: str, providers: Sequence[str], catalogue: Catalogue) -> LockError:
    if providers:
        some = ", ".join(sorted(set(providers))[:8])
        return LockError(f"{asked.origin}: {name} is provided by several packages; name one of them: {some}")
    holding = sorted(
        (other for other in catalogue.packages if name in other), key=lambda other: (len(other), other)
    )
    near = difflib.get_close_matches(name, catalogue.packages, n=3, cutoff=0.75) or holding[:3]
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return LockError(
        f"{asked.origin}: Debian {catalogue.suite} has no package {name}{meant}",
        hint=f"names are those of Debian {catalogue.suite}, where `apt-cache search WORD` finds them; "
        "another --python comes with another Debian",
    )
