"""Resolved packages as pins: the best wheel of each, and what was built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec
from packaging.utils import NormalizedName

from reprolake_builder.documents.lock import BuiltWheelLock, WheelLock
from reprolake_builder.download import Wanted
from reprolake_builder.solvers.pypi_requirements import Demand, hashes_of, origins_of
from reprolake_builder.solvers.pypi_target import Target, rank_of
from reprolake_builder.solvers.pypi_urls import remember
from reprolake_builder.solvers.pypi_uv import Answer, Found, Wheel
from reprolake_builder.solvers.pypi_words import Refusal, UnsatisfiableError
from reprolake_builder.tools import Tools

_LARGEST_WHEEL = 16 << 30  # bytes


def taken(
    answer: Answer, offers: Sequence[BuiltWheelLock | WheelLock], direct: Sequence[NormalizedName]
) -> tuple[BuiltWheelLock, ...]:
    """Return those of the built wheels that the answer holds, sorted by name."""
    return _held(answer, [wheel for wheel in offers if isinstance(wheel, BuiltWheelLock)], direct)


def fetched(
    answer: Answer, offers: Sequence[BuiltWheelLock | WheelLock], direct: Sequence[NormalizedName]
) -> tuple[WheelLock, ...]:
    """Return those of the wheels of an address that the answer holds, sorted by name."""
    return _held(answer, [wheel for wheel in offers if isinstance(wheel, WheelLock)], direct)


W = TypeVar("W", BuiltWheelLock, WheelLock)


def _held(answer: Answer, offers: Sequence[W], direct: Sequence[NormalizedName]) -> tuple[W, ...]:
    offered = {wheel.sha256: wheel for wheel in offers}
    found = [
        msgspec.structs.replace(offered[item.sha256], requested=package.name in direct)
        for package in answer.packages.values()
        for item in package.wheels
        if item.sha256 in offered
    ]
    return tuple(sorted(found, key=lambda wheel: wheel.name))


def by_name(wheels: Iterable[WheelLock]) -> tuple[WheelLock, ...]:
    """Return the wheels sorted by name."""
    return tuple(sorted(wheels, key=lambda wheel: wheel.name))


def pin(
    packages: Mapping[NormalizedName, Found],
    target: Target,
    tools: Tools,
    direct: Sequence[NormalizedName],
    demands: Sequence[Demand],
) -> tuple[WheelLock, ...]:
    """Return the best wheel of each package, sorted by name, and keep their addresses for the build that may follow.

    Where demands name hashes, only wheels that have one of them count.
    """
    ranks = target.ranks()
    chosen: list[tuple[Found, Wheel]] = []
    for found in packages.values():
        fitting = [wheel for wheel in found.wheels if rank_of(wheel.filename, ranks) is not None]
        if not fitting:
            reason = f"{found.name} {found.version} has no wheel for Python {target.minor}"
            raise UnsatisfiableError(Refusal(reason, "", reason))
        named = hashes_of(found.name, demands, target)
        if named is not None and not (fitting := [wheel for wheel in fitting if wheel.sha256 in named]):
            where = origins_of(found.name, demands, target)
            reason = f"no wheel of {found.name} {found.version} for Python {target.minor} has a hash that {where} names"
            raise UnsatisfiableError(Refusal(reason, "", reason, (found.name,)))
        best = max(fitting, key=lambda wheel: (rank_of(wheel.filename, ranks), wheel.filename))
        chosen.append((found, best))
    remember((wheel for _, wheel in chosen), tools.site, tools.store)
    pins = [
        WheelLock(
            name=found.name,
            version=found.version,
            filename=wheel.filename,
            size=_size(wheel, tools) if wheel.size is None else wheel.size,
            sha256=wheel.sha256,
            requested=found.name in direct,
        )
        for found, wheel in chosen
    ]
    return by_name(pins)


def _size(wheel: Wheel, tools: Tools) -> int:
    """Return the size in bytes of a wheel whose index does not tell it: it is fetched, which the build needs anyway."""
    wanted = Wanted(wheel.filename, (wheel.url,), wheel.sha256, _LARGEST_WHEEL)
    tools.downloader.fetch_all([wanted], tools.store, tools.progress, f"Fetching {wheel.filename}")
    return tools.store.archive(wheel.sha256).stat().st_size
