"""Which Pythons there are: each comes from the one Debian suite that has it as its own."""

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


PYTHONS_ON_OFFER: dict[str, PythonOnOffer] = {
    python.version: python
    for python in (
        PythonOnOffer("3.9", "bullseye", date(2020, 10, 5), "2.31"),
        PythonOnOffer("3.11", "bookworm", date(2022, 10, 24), "2.36"),
        PythonOnOffer("3.13", "trixie", date(2024, 10, 7), "2.41"),
    )
}
