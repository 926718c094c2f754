"""What a lock file of conda's tools pins for linux-64, and how its packages are named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import Version

from reprolake_builder.conda.channels import default_alias, split_url
from reprolake_builder.documents.environment import Asked, CondaPin
from reprolake_builder.errors import DetectError, LockError
from reprolake_builder.process import printable

MOST_PACKAGES = 20_000
_HEX = re.compile(r"[0-9a-fA-F]*")


@dataclass(frozen=True, slots=True)
class CondaLockFile:
    """A lock file: `channels` by name or address, conda's packages, and those of pip with their hashes.

    `places` are packages of pip that come from a git repository, as pip writes them.
    """

    path: str
    tool: Literal["conda-lock", "pixi", "explicit"]
    channels: tuple[str, ...]
    pins: tuple[CondaPin, ...]
    pip: tuple[Asked, ...] = ()
    places: tuple[Asked, ...] = ()


def pin_of(url: str, origin: str, *, sha256: str = "", md5: str = "", size: int | None = None) -> CondaPin:
    """Return what an address and its hashes pin. Raises DetectError naming the origin."""
    try:
        channel, subdir, filename = split_url(url, origin)
    except LockError as error:
        raise DetectError(error.message) from error
    if not sha256 and not md5:
        raise DetectError(
            f"{origin}: {printable(filename)[:100]} has no hash, so nothing pins it",
            hint="have its tool write the file with hashes: `conda list --explicit --md5`",
        )
    told = {
        "channel": channel_name(channel),
        "subdir": subdir,
        "filename": filename,
        "sha256": sha256.lower(),
        "md5": md5.lower(),
        "size": size,
    }
    try:
        return msgspec.convert(told, CondaPin)
    except msgspec.ValidationError as error:
        raise DetectError(
            f"{origin}: {printable(url)[:200]!r} pins no package for this platform: {error}"
        ) from error


def pip_pin(name: str, version: str, sha256: str, origin: str) -> Asked:
    """Return a package of an index at one version. Raises DetectError naming the origin."""
    try:
        normal, public = canonicalize_name(name, validate=True), str(Version(version))
    except ValueError as error:
        raise DetectError(
            f"{origin}: {printable(f'{name} {version}')[:100]!r} is no package of pip"
        ) from error
    if len(sha256) != 64 or not _HEX.fullmatch(sha256):
        raise DetectError(
            f"{origin}: {normal} has no SHA-256, so nothing pins it", hint="have its tool write the file anew"
        )
    return Asked(text=f"{normal}=={public}", origin=origin, sha256=(sha256.lower(),))


def channel_name(text: str) -> str:
    """Return a channel's name where its address is the usual one of all channels, else the address."""
    text = text.rstrip("/")
    return text.removeprefix(f"{default_alias()}/")


def entries(text: str, key: str, wanted: Callable[[str], bool]) -> str:
    """Return the YAML text with only the wanted entries of the list at the top-level `key`, as tools write it.

    The parser of YAML is slow, and locks for several platforms are long: what is for others is left out before it is parsed.
    Entries begin at the first column or are indented alike; what is written otherwise is left as it is.
    """
    found = re.search(rf"^{key}:[ ]*\n", text, re.MULTILINE)
    if found is None:
        return text
    end = re.compile(r"^[A-Za-z_]", re.MULTILINE).search(text, found.end())
    body = text[found.end() : end.start() if end else len(text)]
    dash = re.match(r"(?:[ ]*#[^\n]*\n)*([ ]*)- ", body)
    if dash is None:
        return text
    start = re.compile(rf"^{dash[1]}- ", re.MULTILINE)
    places = [one.start() for one in start.finditer(body)]
    parts = [body[at:to] for at, to in zip(places, (*places[1:], len(body)), strict=True)]
    kept = "".join(part for part in parts if wanted(part))
    listed = f"{key}:\n{kept}" if kept else f"{key}: []\n"
    return text[: found.start()] + listed + (text[end.start() :] if end else "")


def without(text: str, key: str) -> str:
    """Return the text of entries without the nested mappings or lists at `key`, which nobody asks for."""
    nested = re.compile(rf"^([ ]+){key}:[ ]*\n(?:\1[ ]+[^\n]*\n|\1- [^\n]*\n)*", re.MULTILINE)
    return nested.sub("", text)


def tables(value: object, origin: str) -> Iterator[Mapping[str, object]]:
    """Yield the mappings in a list. Raises DetectError for anything else."""
    if not isinstance(value, list) or len(value) > MOST_PACKAGES:
        raise DetectError(f"{origin} is no list of packages, or too long for one")
    for item in value:
        if not isinstance(item, dict):
            raise DetectError(f"{origin} holds what is no package")
        yield item


def word(table: Mapping[str, object], key: str) -> str:
    """Return the text at a key, "" where there is none."""
    value = table.get(key)
    return value if isinstance(value, str) else ""
