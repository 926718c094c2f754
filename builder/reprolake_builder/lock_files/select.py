"""What of a lock file belongs to the environment of one machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.utils import NormalizedName
from packaging.version import Version

from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.interface import Edge, LockFile, Pin
from reprolake_builder.solvers.pypi_target import Target

_MOST_STEPS = 1_000_000
_MOST_OF_ONE = 100  # entries for one package: each edge to it is held against all of them


def select(lock: LockFile, target: Target) -> tuple[Pin, ...]:
    """Return what the lock pins for the target, sorted by name. Raises DetectError where it contradicts itself."""
    walk = _Walk(lock, target)
    pending: list[tuple[Edge, NormalizedName | None]] = [(edge, None) for edge in lock.roots]
    for _ in range(_MOST_STEPS):
        if not pending:
            return tuple(walk.chosen[name] for name in sorted(walk.chosen))
        pending += walk.follow(*pending.pop())
    raise DetectError(f"{lock.path} leads from package to package without an end")


class _Walk:
    """From the roots along all edges whose markers hold; an extra that comes up later is followed then."""

    def __init__(self, lock: LockFile, target: Target) -> None:
        self._lock = lock
        self._target = target
        self._by_name: dict[NormalizedName, list[Pin]] = defaultdict(list)
        for pin in lock.pins:
            self._by_name[pin.name].append(pin)
            if len(self._by_name[pin.name]) > _MOST_OF_ONE:
                raise DetectError(f"{lock.path} pins {pin.name} more than {_MOST_OF_ONE} times")
        self._extras: dict[NormalizedName, frozenset[NormalizedName]] = {}
        self.chosen: dict[NormalizedName, Pin] = {}

    def follow(self, edge: Edge, parent: NormalizedName | None) -> list[tuple[Edge, NormalizedName | None]]:
        """Return the further edges that this one leads to."""
        extras = self._lock.extras | (self._extras.get(parent, frozenset()) if parent else frozenset())
        if not holds(edge.marker, self._target, extras, self._lock.groups):
            return []
        pin = self._pick(edge)
        known = self.chosen.setdefault(pin.name, pin)
        if known is not pin:
            raise DetectError(
                f"{self._lock.path} pins {pin.name} {known.version} and {pin.version} for Python {self._target.minor}"
            )
        before = self._extras.get(pin.name)
        if before is not None and edge.extras <= before:
            return []
        now = (before or frozenset()) | edge.extras
        self._extras[pin.name] = now
        further = [*pin.requires, *(e for extra in sorted(now) for e in pin.extras.get(extra, ()))]
        return [(item, pin.name) for item in further]

    def _pick(self, edge: Edge) -> Pin:
        """Return the pin that an edge means. Raises DetectError when there is none, or more than one."""
        named = self._by_name.get(edge.name, [])
        fitting = [pin for pin in named if self._fits(pin, edge)]
        if len(fitting) == 1:
            return fitting[0]
        if (known := self.chosen.get(edge.name)) and known in fitting:
            return known
        if len(named) == 1 and not edge.version:
            return named[0]  # whatever is asked for, the lock knows one: that it disagrees is told elsewhere
        wanted = f"{edge.name} {edge.version}".strip()
        raise DetectError(
            f"{self._lock.path} pins {'more than one' if fitting else 'no'} {wanted} for Python {self._target.minor}"
        )

    def _fits(self, pin: Pin, edge: Edge) -> bool:
        if edge.version and pin.version != edge.version:
            return False
        extras, groups = self._lock.extras, self._lock.groups
        if pin.markers and not any(holds(m, self._target, extras, groups) for m in pin.markers):
            return False
        if not edge.specifiers or not pin.version:
            return True
        return any(s.contains(Version(pin.version), prereleases=True) for s in edge.specifiers)


def holds(
    marker: Marker | None,
    target: Target,
    extras: frozenset[str] = frozenset(),
    groups: frozenset[str] = frozenset(),
) -> bool:
    """Whether a lock file's marker is true on the target, with these extras and groups. Raises DetectError."""
    if marker is None:
        return True
    environment: Mapping[str, str | frozenset[str]] = {
        **target.markers(),
        "extras": extras,
        "dependency_groups": groups,
    }
    try:
        return marker.evaluate(environment, context="lock_file")
    except (UndefinedComparison, UndefinedEnvironmentName, KeyError) as error:
        raise DetectError(
            f"the marker {str(marker)[:200]!r} of a lock file says nothing of a machine"
        ) from error
