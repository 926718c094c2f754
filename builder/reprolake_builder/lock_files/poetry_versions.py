"""Poetry's words for sets of versions, as PEP 440 has them.

Source: Poetry's documentation, "Dependency specification".
"""

from __future__ import annotations

import re

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from reprolake_builder.errors import DetectError
from reprolake_builder.process import printable

_LONGEST = 500  # characters
_CLAUSE = re.compile(r"(\^|~=|~|===|==|!=|<=|>=|<|>|=)?\s*v?([0-9][0-9A-Za-z.!+_-]*?)(\.\*|\.x)?")


def alternatives(text: str, origin: str) -> tuple[SpecifierSet, ...]:
    """Return sets of versions, one of which has to hold: `^1.2 || >=3`. Raises DetectError naming the origin."""
    if len(text) > _LONGEST:
        raise _refused(text, origin)
    return tuple(_together(part.strip(), origin) for part in re.split(r"\|\|?", text))


def _together(text: str, origin: str) -> SpecifierSet:
    clauses: list[str] = []
    # As in Poetry: a comma or a blank between two clauses means that both hold.
    joined = re.sub(r"(\^|~=|~|===|==|!=|<=|>=|<|>|=)\s+", r"\1", text)
    for word in filter(None, re.split(r"[\s,]+", joined)):
        clauses += _clause(word, text, origin)
    try:
        return SpecifierSet(",".join(clauses))
    except InvalidSpecifier as error:
        raise _refused(text, origin) from error


def _clause(word: str, text: str, origin: str) -> list[str]:
    if word in {"*", "==*", "=*"}:
        return []
    found = _CLAUSE.fullmatch(word)
    if found is None:
        raise _refused(text, origin)
    operator, number, star = found.groups()
    try:
        version = Version(number)
    except InvalidVersion as error:
        raise _refused(text, origin) from error
    if operator == "^":
        return [f">={number}", f"<{_next_caret(version)}"]
    if operator == "~":
        return [f">={number}", f"<{_next(version, 0 if len(version.release) == 1 else 1)}"]
    if star:
        return [f"{'!=' if operator == '!=' else '=='}{number}.*"]
    if operator in {None, "="}:
        return [f"=={number}"]
    return [f"{operator}{number}"]


def _next_caret(version: Version) -> str:
    """Return the first version that may break what the leftmost number that is not zero promises."""
    release = version.release
    place = next((i for i, number in enumerate(release) if number), len(release) - 1)
    return _next(version, place)


def _next(version: Version, place: int) -> str:
    kept = [*version.release[:place], version.release[place] + 1]
    epoch = f"{version.epoch}!" if version.epoch else ""
    return epoch + ".".join(map(str, kept))


def _refused(text: str, origin: str) -> DetectError:
    return DetectError(
        f"{printable(origin)}: {printable(text)[:100]!r} is no set of versions as Poetry has it",
        hint="write it like ^1.2, ~1.2, >=1.2,<2 or 1.*",
    )
