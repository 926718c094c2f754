"""How lock files are read: as strictly as their types say, and an error names the file and the entry."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, Literal, TypeVar
from urllib.parse import unquote

import msgspec
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from reprolake_builder.errors import DetectError, without_logins
from reprolake_builder.lock_files.interface import Edge, LockedFile
from reprolake_builder.process import printable

T = TypeVar("T")
MOST_PACKAGES = 20_000
_DEEPEST = 50  # tables and lists in one another
_MOST_PARTS = 100  # of a dotted key: the time that the parser takes grows with the square
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_LONG_KEY = re.compile(rf"(?<![\w-])(?:{_PART}\.[ \t]*+){{{_MOST_PARTS}}}")
_LONG_NUMBER = re.compile(r"[0-9]{100}")  # Python turns no text of thousands of digits into a number
_SHA256 = re.compile(r"sha256[:=]([0-9a-fA-F]{64})")
_FILE = re.compile(r"[0-9A-Za-z][0-9A-Za-z.!+_-]*")
_EXTRA = re.compile(r"""\bextra\s*(==|!=)\s*(["'])([^"']*)\2|(["'])([^"']*)\4\s*(==|!=)\s*extra\b""")


class Table(msgspec.Struct, frozen=True, rename="kebab"):
    """Base of the tables of lock files: what is unknown in them is passed over, as their tools do."""


class SnakeTable(msgspec.Struct, frozen=True):
    """The same with names that have underscores where others have hyphens."""


class FileTable(Table, frozen=True):
    """A file of a package as Poetry and PDM write it."""

    file: str = ""
    hash: str = ""
    url: str = ""

    def locked(self, path: str) -> LockedFile:
        """The file as it is pinned. Raises DetectError for an odd name."""
        return file_of(self.file or self.url, self.hash, path)


def read_tables(text: str, path: str) -> dict[str, Any]:
    """Return the tables of a TOML file. Raises DetectError for what is none, or is nested or long as none ever is."""
    if found := _LONG_KEY.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise DetectError(f"{path}:{line}: a key of more than {_MOST_PARTS} parts is in no file of this kind")
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DetectError(f"{path} is no TOML: {printable(str(error))[:200]}") from error
    level: list[Any] = [tables]
    for _ in range(_DEEPEST):
        level = [inner for item in level for inner in _inside(item)]
        if any(isinstance(item, int) and item.bit_length() > 64 for item in level):
            raise DetectError(f"{path} holds a number that is larger than those of TOML")
    if level:
        raise DetectError(f"{path} is nested deeper than any file of this kind")
    return tables


def _inside(item: Any) -> Iterable[Any]:
    return item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()


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
    return DetectError(f"{path} is not as its tool writes it: {printable(str(error))[:300]}")


@contextmanager
def instead(path: str) -> Iterator[None]:
    """Say what to do about a lock that cannot be used, where the DetectError that is raised here does not say it."""
    try:
        yield
    except DetectError as error:
        hint = f"have its tool write it anew, or go on without it: --ignore {printable(path)}"
        raise DetectError(error.message, hint=error.hint or hint) from error


def metadata_of(tables: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the table `[metadata]` of a lock, an empty one where there is none."""
    found = tables.get("metadata")
    return found if isinstance(found, dict) else {}


def check_version(version: object, majors: Sequence[str], path: str) -> None:
    """Return when the version of a lock's format is one that is read here. Raises DetectError."""
    if str(version).partition(".")[0] not in majors:
        raise DetectError(
            f"{path} has version {printable(str(version))[:20]!r} of its format, and what is read here is {' and '.join(majors)}"
        )


def refuse_unknown(
    kind: Literal["extra", "group"], wanted: Iterable[str], known: Iterable[str], path: str
) -> None:
    """Return when a file has all extras or groups that are wanted of it. Raises DetectError naming those that it has."""
    there = sorted(known)
    if unknown := sorted(set(wanted) - set(there)):
        raise DetectError(
            f"{path} has no {kind} {', '.join(map(repr, unknown))}",
            hint=f"its {kind}s: " + (", ".join(map(printable, there)) or "none"),
        )


def _parsed(kind: Callable[[str], T], text: str, path: str, what: str, hint: str = "") -> T:
    try:
        found = kind(text)
        if _LONG_NUMBER.search(text) or not str(found).isprintable():
            raise ValueError("a number of more digits than any has, or control characters")
    except (ValueError, RecursionError) as error:
        shown = without_logins(printable(text))[:200]
        raise DetectError(f"{path}: {shown!r} is no {what}", hint=hint) from error
    return found


def name_of(text: str, path: str) -> NormalizedName:
    """Return the normalised name of a package. Raises DetectError."""
    return _parsed(
        lambda name: canonicalize_name(name, validate=True), text, path, "name of a package, extra or group"
    )


def names_of(texts: Iterable[str], path: str) -> frozenset[NormalizedName]:
    """Return the normalised names of extras or groups. Raises DetectError."""
    return frozenset(name_of(text, path) for text in texts)


def version_of(text: str, name: str, path: str) -> str:
    """Return the version as it is written, once it is one; "" stays. Raises DetectError."""
    if not text:
        return ""
    _parsed(Version, text, path, f"version of {name}")
    return text.strip()


def marker_of(text: str, path: str) -> Marker | None:
    """Return a marker that knows extras as a set, None for an empty text. Raises DetectError.

    `extra == "x"` says of one extra what `"x" in extras` says of all.
    """
    if not text.strip():
        return None
    return _parsed(lambda marker: Marker(_EXTRA.sub(_as_set, marker)), text, path, "marker")


def _as_set(found: re.Match[str]) -> str:
    name = found[3] if found[1] else found[5]
    negated = (found[1] or found[6]) == "!="
    return f'"{canonicalize_name(name)}" {"not in" if negated else "in"} extras'


def specifier_of(text: str, path: str, hint: str = "") -> SpecifierSet:
    """Return a set of versions. Raises DetectError."""
    return _parsed(SpecifierSet, text, path, "set of versions", hint)


def requirement_of(text: str, path: str, hint: str = "") -> Requirement:
    """Return a demand written as PEP 508 has it. Raises DetectError."""
    return _parsed(Requirement, text, path, "requirement", hint)


def edge_of(text: str, path: str) -> Edge:
    """Return what a demand written as PEP 508 has it leads to. Raises DetectError."""
    requirement = requirement_of(text, path)
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
    plain = unquote(re.split(r"[?#]", name)[0]).rpartition("/")[2] if "/" in name else name
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
    if "://" in text:
        return text  # whoever refuses it knows an address, and shows no login
    path = str(PurePosixPath(text.replace("\\", "/")))
    return "" if path == "." else path
