"""Packages that are asked for by the address of an archive: fetched once, and pinned by what arrived."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name, parse_wheel_filename

from reprolake_builder.documents.environment import AskedSource
from reprolake_builder.documents.lock import SdistOrigin, WheelLock
from reprolake_builder.download import Arrival, Offer
from reprolake_builder.errors import LockError
from reprolake_builder.process import printable
from reprolake_builder.solvers.pypi_target import Target, rank_of
from reprolake_builder.solvers.pypi_uv import Direct
from reprolake_builder.tools import Tools


def is_wheel(asked: AskedSource) -> bool:
    """Whether a wheel is asked for by its address."""
    return asked.archive and _name(asked).endswith(".whl")


@dataclass(frozen=True, slots=True)
class Addressed:
    """The wheels that came from addresses: each is fetched once, for a server may give another one the next time."""

    _wheels: dict[AskedSource, WheelLock] = field(default_factory=dict)

    def wheel(self, asked: AskedSource, target: Target, tools: Tools) -> Direct:
        """Return the wheel at the address, which lies in the store then.

        Raises LockError when it does not fit the target, FetchError when it cannot be had or is not what was asked for.
        """
        if rank_of(_name(asked), target.ranks()) is None:
            raise LockError(
                f"{asked.origin}: {printable(_name(asked))} is no wheel for Python {target.minor}"
            )
        if asked not in self._wheels:
            self._wheels[asked] = _fetched_wheel(asked, tools)
        return Direct(self._wheels[asked], asked.extras)


def _fetched_wheel(asked: AskedSource, tools: Tools) -> WheelLock:
    filename = _name(asked)
    name, version, *_ = parse_wheel_filename(filename)
    arrived = _received(asked, tools)
    return WheelLock(
        name=canonicalize_name(name),
        version=str(version),
        filename=filename,
        size=arrived.size,
        sha256=arrived.sha256,
        url=asked.url,
    )


def fetched_sdist(asked: AskedSource, tools: Tools) -> SdistOrigin:
    """Return the source distribution at the address, which lies in the store then. Raises FetchError."""
    arrived = _received(asked, tools)
    return SdistOrigin(filename=_name(asked), size=arrived.size, sha256=arrived.sha256, url=asked.url)


def _received(asked: AskedSource, tools: Tools) -> Arrival:
    return tools.downloader.receive(
        Offer(_name(asked), asked.url, sha256=asked.sha256), tools.store, tools.progress
    )


def _name(asked: AskedSource) -> str:
    return unquote(urlsplit(asked.url).path).rpartition("/")[2]
