"""Which Debian packages it takes: a greedy search that chooses as apt does for a fresh system.

The first alternative that can be had is taken; of several packages that provide a virtual one the more important, then the
first by name. Nothing is ever un-chosen: in a released suite that finds what apt finds, and where it does not the
message names the two packages in each other's way.
"""

from __future__ import annotations

import difflib
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from reprolake_builder.documents.environment import Asked
from reprolake_builder.errors import LockError
from reprolake_builder.process import printable
from reprolake_builder.solvers.debian_archive import ARCHITECTURE, Catalogue, Package
from reprolake_builder.solvers.debian_versions import Relation, parse_relations

_PRIORITIES = {"required": 0, "important": 1, "standard": 2}
_DEMAND = re.compile(r"([a-z0-9][a-z0-9+.-]*)(?:=(\S+))?")


class _Need(NamedTuple):
    """One group of alternatives, and the chain of packages that led to it."""

    group: tuple[Relation, ...]
    origin: str


class Selection:
    """The packages chosen so far, in the order in which they were."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.packages: dict[str, Package] = {}
        self._provided: dict[str, list[tuple[str, str]]] = {}
        self._against: dict[str, list[tuple[Relation, str]]] = {}

    def require(self, demands: Sequence[Asked]) -> None:
        """Choose the packages demanded, with all that they need. Raises LockError naming the demand's origin."""
        needs = deque(_Need((self._demanded(asked),), asked.origin) for asked in demands)
        while needs:
            need = needs.popleft()
            if any(self._is_satisfied(relation) for relation in need.group):
                continue
            package = self._choose(need)
            self._add(package)
            origin = f"{package.name}, needed by {need.origin}" if need.origin else package.name
            needs.extend(_Need(group, origin) for group in package.relations("Pre-Depends", "Depends"))

    def _demanded(self, asked: Asked) -> Relation:
        match = _DEMAND.fullmatch(asked.text)
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

    def _is_satisfied(self, relation: Relation) -> bool:
        if _foreign(relation):
            return False
        package = self.packages.get(relation.name)
        if package is not None and relation.admits(package.version):
            return True
        return any(relation.admits(version) for _, version in self._provided.get(relation.name, ()))

    def _choose(self, need: _Need) -> Package:
        refused = ""
        for relation in need.group:
            for package in self._candidates(relation):
                if opponent := self._opponent(package):
                    refused = refused or f"{package.name} {package.version} cannot stand beside {opponent}"
                    continue
                return package
        wanted = " or ".join(str(relation) for relation in need.group)
        by = f"{need.origin}: " if need.origin else ""
        if refused:
            raise LockError(f"{by}{wanted} is needed, but {refused}", hint="leave one of the two out")
        raise LockError(
            f"{by}{wanted} is needed and not on offer in this state of the suite",
            hint="if the mirror is being updated right now, try again in a few minutes",
        )

    def _candidates(self, relation: Relation) -> Iterator[Package]:
        if _foreign(relation):
            return
        packages = self._catalogue.packages
        package = packages.get(relation.name)
        if package is not None and relation.admits(package.version):
            yield package
        providers = self._catalogue.providers.get(relation.name, ())
        for _, name, version in sorted(
            (_PRIORITIES.get(packages[name].field("Priority"), 3), name, version)
            for name, version in providers
        ):
            if relation.admits(version):
                yield packages[name]

    def _opponent(self, package: Package) -> str:
        """Name a chosen package that conflicts with `package`, either way round."""
        for (relation,) in package.relations("Conflicts", "Breaks"):
            if _foreign(relation):
                continue
            chosen = self.packages.get(relation.name)
            if chosen is not None and chosen.name != package.name and relation.admits(chosen.version):
                return chosen.name
            for name, version in self._provided.get(relation.name, ()):
                if name != package.name and relation.admits(version):
                    return name
        offered = [(package.name, package.version), *_provided(package)]
        for name, version in offered:
            for relation, by in self._against.get(name, ()):
                if by != package.name and relation.admits(version):
                    return by
        return ""

    def _add(self, package: Package) -> None:
        self.packages[package.name] = package
        for name, version in _provided(package):
            self._provided.setdefault(name, []).append((package.name, version))
        for (relation,) in package.relations("Conflicts", "Breaks"):
            if not _foreign(relation):
                self._against.setdefault(relation.name, []).append((relation, package.name))


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
