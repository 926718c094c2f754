"""conda's words for packages, as far as they can be said without conda.

Source: conda's documentation, "Package match specifications".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from reprolake_builder.documents.environment import Asked, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.process import printable

_SPEC = re.compile(
    r"(?:([^\s\[\]]+?)::)?\s*([A-Za-z0-9_][A-Za-z0-9_.-]*)\s*([^A-Za-z0-9_.\s-].*|\s.*)?", re.DOTALL
)
_BEHIND = re.compile(r"[=<>!~\[*\d]|$")
_LONGEST = 200  # characters of a version
_ONE = re.compile(r"(==?)?\s*(\d[\d.]*?)(\.?\*)?(?:(?:=|\s+)([\w.*-]+))?")
_CLAUSE = re.compile(r"\s*(>=|<=|==|!=|~=|>|<|=)?\s*(\d[\w.]*?)(\.?\*)?\s*")


@dataclass(frozen=True, slots=True)
class Spec:
    """A specification taken apart: channel ("" for any), name in small letters, and the rest as it stands."""

    channel: str
    name: str
    rest: str


@dataclass(frozen=True, slots=True)
class Translated:
    """What a specification of python or pip is without conda."""

    python: tuple[Asked, ...] = ()
    requirements: tuple[Asked, ...] = ()
    unheard: tuple[UnheardFile, ...] = ()


def split_spec(text: str) -> Spec | None:
    """Return the parts of a specification, None for what is none; whether the versions mean something the solver knows."""
    found = _SPEC.fullmatch(text.strip())
    if found is None:
        return None
    rest = (found[3] or "").strip()
    return Spec(found[1] or "", found[2].lower(), rest) if _BEHIND.match(rest) else None


def as_pep440(text: str, origin: str) -> Translated | None:
    """Return a specification of python or pip in the words of PEP 440, None where they cannot say it.

    Raises DetectError for versions that mean nothing.
    """
    spec = split_spec(text)
    if spec is None or "[" in spec.rest or "|" in spec.rest:
        return None
    versions, unheard = _versions(spec.rest, origin)
    if spec.name == "pip":
        return Translated(requirements=(Asked(text=f"pip{versions}", origin=origin),), unheard=unheard)
    return Translated(python=(Asked(text=versions, origin=origin),) if versions else (), unheard=unheard)


def _versions(wanted: str, origin: str) -> tuple[str, tuple[UnheardFile, ...]]:
    """Return conda's version text as a PEP 440 specifier set, and the build if one is named, which cannot be honoured."""
    unheard: tuple[UnheardFile, ...] = ()
    if len(wanted) > _LONGEST:
        raise _not_understood(wanted, origin)
    if found := _ONE.fullmatch(wanted):
        operator, version, star, build = found.groups()
        if build and build != "*":
            reason = (
                f"the conda build {printable(build)[:40]} is not taken: Python and pip do not come from conda"
            )
            unheard = (UnheardFile(path=origin, reason=reason, matters=False),)
        # Conda: =3.11 means 3.11.*, but with a build behind it, or after a space, the version is exact.
        clauses = [f"=={version}.*" if star or (operator == "=" and not build) else f"=={version}"]
    else:
        clauses = [_clause(text, origin) for text in wanted.split(",")] if wanted else []
    try:
        return str(SpecifierSet(",".join(clauses))), unheard
    except InvalidSpecifier as error:
        raise _not_understood(wanted, origin) from error


def _clause(text: str, origin: str) -> str:
    found = _CLAUSE.fullmatch(text)
    if found is None:
        raise _not_understood(text, origin)
    operator, version, star = found.groups()
    if operator == "=" or (star and operator in {None, "==", "!="}):
        return f"{'!=' if operator == '!=' else '=='}{version}.*"
    return f"{operator or '=='}{version}"


def _not_understood(text: str, origin: str) -> DetectError:
    return DetectError(
        f"{origin}: the version {printable(text)[:80]!r} is not understood",
        hint="write it like python=3.11, python==3.11.4 or python>=3.9,<3.12",
    )
