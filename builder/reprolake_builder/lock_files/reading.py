"""How lock files are read: as strictly as their types say, and an error names the file and the entry."""

from __future__ import annotations

import re
import tomllib
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidName, NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.interface import Edge, LockedFile
from reprolake_builder.process import printable

T = TypeVar("T")
MOST_PACKAGES = 20_000
_SHA256 = re.compile(r"sha256[:=]([0-9a-fA-F]{64})")
_FILE = re.compile(r"[0-9A-Za-z][0-9A-Za-z.!+_-]*")
_EXTRA = re.compile(r"""\bextra\s*(==|!=)\s*(["'])([^"']*)\2|(["'])([^"']*)\4\s*(==|!=)\s*extra\b""")


class Table(msgspec.Struct, frozen=True, rename="kebab"):
    """Base of the tables of lock files: what is unknown in them is passed over, as their tools do."""


class SnakeTable(msgspec.Struct, frozen=True):
    """The same with names that have underscores where others have hyphens."""


def read_toml(text: str, path: str, kind: type[T]) -> T:
    """Return the TOML file as the type says. Raises DetectError."""
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DetectError(f"{path} is no TOML: {printable(str(error))[:200]}") from error
    return converted(tables, path, kind)


def read_json(text: str, path: str, kind: type[T]) -> T:
    """Return the JSON file as the type says. Raises DetectError."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _not_understood(path, error) from error


def converted(data: object, path: str, kind: type[T]) -> T:
    """Return what was read as the type says. Raises DetectError naming the entry that is something else."""
    try:
        return msgspec.convert(data, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _not_understood(path, error) from error


def _not_understood(path: str, error: Exception) -> DetectError:
    return DetectError(
        f"{path} is not as its tool writes it: {printable(str(error))[:300]}",
        hint=f"have the tool write it anew, or go on without it: --ignore {path}",
    )


def name_of(text: str, path: str) -> NormalizedName:
    """Return the normalised name of a package. Raises DetectError."""
    try:
        return canonicalize_name(text, validate=True)
    except InvalidName as error:
        raise DetectError(f"{path}: {printable(text)[:100]!r} is no name of a package") from error


def version_of(text: str, name: str, path: str) -> str:
    """Return the version as it is written, once it is one. Raises DetectError."""
    try:
        Version(text)
    except InvalidVersion as error:
        raise DetectError(f"{path}: {printable(text)[:100]!r} is no version of {name}") from error
    return text.strip()


def marker_of(text: str, path: str) -> Marker | None:
    """Return a marker that knows extras as a set, None for an empty text. Raises DetectError.

    `extra == "x"` says of one extra what `"x" in extras` says of all.
    """
    if not text.strip():
        return None
    try:
        return Marker(_EXTRA.sub(_as_set, text))
    except (InvalidMarker, RecursionError) as error:
        raise DetectError(f"{path}: {printable(text)[:200]!r} is no marker") from error


def _as_set(found: re.Match[str]) -> str:
    name = found[3] if found[1] else found[5]
    negated = (found[1] or found[6]) == "!="
    return f'"{canonicalize_name(name)}" {"not in" if negated else "in"} extras'


def specifier_of(text: str, path: str) -> SpecifierSet:
    """Return a set of versions. Raises DetectError."""
    try:
        return SpecifierSet(text)
    except InvalidSpecifier as error:
        raise DetectError(f"{path}: {printable(text)[:100]!r} is no set of versions") from error


def edge_of(text: str, path: str) -> Edge:
    """Return a demand written as PEP 508 has it. Raises DetectError."""
    try:
        requirement = Requirement(text)
    except (InvalidRequirement, RecursionError) as error:
        raise DetectError(f"{path}: {printable(text)[:200]!r} is no requirement") from error
    return Edge(
        name=canonicalize_name(requirement.name),
        extras=frozenset(canonicalize_name(extra) for extra in requirement.extras),
        marker=marker_of(str(requirement.marker or ""), path),
        specifiers=() if requirement.url else (requirement.specifier,),
    )


def file_of(name: str, digest: str, path: str) -> LockedFile:
    """Return a file of a package; `name` may be an address or a path whose end it is. Raises DetectError for an odd name.

    Digests of other kinds than SHA-256 count as none.
    """
    plain = unquote(urlsplit(name).path).rpartition("/")[2] if "/" in name else name
    if plain and not _FILE.fullmatch(plain):
        raise DetectError(f"{path}: {printable(plain)[:100]!r} is no name of a package's file")
    found = _SHA256.fullmatch(digest)
    return LockedFile(plain, found[1].lower() if found else "")


def checked_count(count: int, path: str) -> None:
    """Return when a lock has no more packages than any environment. Raises DetectError."""
    if count > MOST_PACKAGES:
        raise DetectError(f"{path} has {count} packages, which no environment needs")


def folder_of(text: str) -> str:
    """Return a folder as it is written, in the form in which it is compared: "" is the lock file's own."""
    path = str(PurePosixPath(text.replace("\\", "/")))
    return "" if path == "." else path
