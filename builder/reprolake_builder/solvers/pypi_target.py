"""The machine that packages have to fit: which wheels, which markers, which demands on Python.

Source: the platform compatibility tags specification (PEP 425, 600) and PEP 508.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import BuildTag, InvalidWheelFilename, parse_wheel_filename

from reprolake_builder.solvers.pythons import (
    PYTHONS_ON_OFFER,
    RELEASED,
    WITHOUT_PYTHON,
    PythonOnOffer,
    StandaloneBuild,
)

# A released suite stays with its upstream version. Reading it from the suite would mean to resolve each suite's Debian packages
# before any Python is chosen; the lock compares it with what Debian's package says in the end (`moved_on`).
_PATCH = {"3.9": 2, "3.11": 2, "3.13": 5}
_LEGACY = {17: "manylinux2014_x86_64", 12: "manylinux2010_x86_64", 5: "manylinux1_x86_64"}


@dataclass(frozen=True, slots=True)
class Target:
    """CPython `version` ("3.11.2") on linux/amd64 with glibc 2.`glibc`; `build` where it is a standalone one."""

    version: str
    glibc: int
    build: StandaloneBuild | None = None

    @property
    def minor(self) -> str:
        """Major and minor version ("3.11")."""
        return ".".join(self.version.split(".")[:2])

    @property
    def pair(self) -> tuple[int, int]:
        """Major and minor version as numbers."""
        major, minor = self.minor.split(".")
        return int(major), int(minor)

    def ranks(self) -> dict[Tag, int]:
        """Every tag that fits, with its place in the order of preference (0 is best)."""
        platforms = list(_platforms(self.glibc))
        interpreter = "cp{}{}".format(*self.pair)
        tags = [
            *cpython_tags(self.pair, abis=[interpreter], platforms=platforms),
            *compatible_tags(self.pair, interpreter, platforms),
        ]
        return {tag: place for place, tag in reversed(list(enumerate(tags)))}

    def holds(self, marker: Marker | None, extras: Iterable[str] = ("",)) -> bool:
        """Whether the marker is true here, with any of the extras ("" is none)."""
        return marker is None or any(
            marker.evaluate({**self.markers(), "extra": extra}) for extra in ("", *extras)
        )

    def markers(self) -> dict[str, str]:
        """The variables of PEP 508 markers here."""
        return {
            "implementation_name": "cpython",
            "implementation_version": self.version,
            "os_name": "posix",
            "platform_machine": "x86_64",
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.version,
            "python_version": self.minor,
            "sys_platform": "linux",
        }


def target_of(python: PythonOnOffer) -> Target:
    """Return the target that a Python on offer stands for."""
    return Target(f"{python.version}.{_PATCH[python.version]}", int(python.glibc.split(".")[1]))


TARGETS: dict[str, Target] = {minor: target_of(python) for minor, python in PYTHONS_ON_OFFER.items()}
ELSEWHERE: dict[str, Target] = {
    minor: Target(f"{minor}.99", int(WITHOUT_PYTHON.glibc.split(".")[1]))
    for minor in RELEASED
    if minor not in TARGETS and minor.startswith("3.")
}
"""Pythons that Debian does not have for us, in the last release that there may be, which most packages accept."""


def moved_on(target: Target, version: str) -> str:
    """Return what to tell when the suite's Python has another version than the one resolved for, "" when it has not."""
    if version == target.version:
        return ""
    return (
        f"packages were chosen for Python {target.version}, and Debian's is {version} by now: what asks for one of the two "
        "exactly may not fit"
    )


def rank_of(filename: str, ranks: dict[Tag, int]) -> tuple[int, BuildTag] | None:
    """Return how well a wheel fits (the largest is best; among equals the highest build number), or None when it does not.

    None also for a name that is no wheel's.
    """
    try:
        _, _, build, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return None
    places = [ranks[tag] for tag in tags if tag in ranks]
    return (-min(places), build) if places else None


def _platforms(glibc: int) -> Iterator[str]:
    yield "linux_x86_64"
    for minor in range(glibc, 4, -1):
        yield f"manylinux_2_{minor}_x86_64"
        if minor in _LEGACY:
            yield _LEGACY[minor]
