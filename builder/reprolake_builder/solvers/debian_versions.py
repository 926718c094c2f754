"""Debian's versions in order, and the relations between packages. Source: Debian Policy 4.7, sections 5.6.12 and 7.1."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

VersionKey = tuple[int, tuple[tuple[int, ...] | int, ...], tuple[tuple[int, ...] | int, ...]]

_PIECES = re.compile(r"([^0-9]*)([0-9]*)")
_END = (0,)  # what is over stands before every letter and after a tilde
_RELATION = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9+.-]*)"
    r"(?::(?P<architecture>[a-z0-9-]+))?"
    r"(?:\s*\(\s*(?P<operator><<|<=|=|>=|>>)\s*(?P<version>[^\s()]+)\s*\))?"
)


@functools.lru_cache(maxsize=8192)
def version_key(version: str) -> VersionKey:
    """Return a value that sorts as Debian's versions do. Raises ValueError when the epoch is no number."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    if not dash:
        upstream, revision = rest, "0"
    return (int(epoch), _part_key(upstream), _part_key(revision))


def _part_key(part: str) -> tuple[tuple[int, ...] | int, ...]:
    pieces = _PIECES.findall(part or "0")
    if len(pieces) > 1 and pieces[-1] == ("", ""):
        pieces.pop()  # the empty match at the end
    key: list[tuple[int, ...] | int] = []
    for text, digits in pieces:
        key += [(*(_order(character) for character in text), 0), int(digits or "0")]
    return (*key, _END)


def _order(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


class Relation(NamedTuple):
    """One package by name, with the versions that will do ("" for any)."""

    name: str
    operator: str = ""
    version: str = ""
    architecture: str = ""

    def admits(self, version: str) -> bool:
        """Whether a package of that version will do; no version ("") does only where none is asked for."""
        if not self.operator:
            return True
        if not version:
            return False
        have, want = version_key(version), version_key(self.version)
        return {
            "<<": have < want,
            "<=": have <= want,
            "=": have == want,
            ">=": have >= want,
            ">>": have > want,
        }[self.operator]

    def __str__(self) -> str:
        return f"{self.name} ({self.operator} {self.version})" if self.operator else self.name


@functools.lru_cache(maxsize=8192)
def parse_relations(field: str) -> tuple[tuple[Relation, ...], ...]:
    """Return a relation field's value: every group must hold, by any one of its alternatives.

    Raises ValueError for what is no relation.
    """
    return tuple(
        tuple(_parse(alternative) for alternative in group.split("|"))
        for group in field.split(",")
        if group.strip()
    )


def _parse(text: str) -> Relation:
    match = _RELATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r} is no relation to a package")
    return Relation(
        match["name"], match["operator"] or "", match["version"] or "", match["architecture"] or ""
    )
