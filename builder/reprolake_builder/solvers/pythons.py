"""Which Pythons there are: of Debian, each from the one suite that has it as its own, and standalone builds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class PythonOnOffer:
    """A Python minor version ("3.11"), the suite that holds it, the day of its first release, the suite's glibc ("2.36")."""

    version: str
    suite: str
    released: date
    glibc: str


@dataclass(frozen=True, slots=True)
class StandaloneBuild:
    """An archive with a Python that runs anywhere: its `version` in full, the day it was built, its file's name and address.

    `sha256` is "" where nothing tells it.
    """

    version: str
    built: date
    filename: str
    url: str
    sha256: str = ""

    @property
    def minor(self) -> str:
        """Major and minor version ("3.12")."""
        return self.version.rpartition(".")[0]

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version as numbers."""
        return tuple(map(int, self.version.split(".")))


PYTHONS_ON_OFFER: dict[str, PythonOnOffer] = {
    python.version: python
    for python in (
        PythonOnOffer("3.9", "bullseye", date(2020, 10, 5), "2.31"),
        PythonOnOffer("3.11", "bookworm", date(2022, 10, 24), "2.36"),
        PythonOnOffer("3.13", "trixie", date(2024, 10, 7), "2.41"),
    )
}
WITHOUT_PYTHON = PYTHONS_ON_OFFER["3.11"]
"""The one whose suite is the base of environments that bring a Python of their own."""
RELEASED: dict[str, date] = {
    "2.7": date(2010, 7, 3),
    "3.5": date(2015, 9, 13),
    "3.6": date(2016, 12, 23),
    "3.7": date(2018, 6, 27),
    "3.8": date(2019, 10, 14),
    "3.9": date(2020, 10, 5),
    "3.10": date(2021, 10, 4),
    "3.11": date(2022, 10, 24),
    "3.12": date(2023, 10, 2),
    "3.13": date(2024, 10, 7),
    "3.14": date(2025, 10, 7),
}
"""The day of the first release of each minor version."""
