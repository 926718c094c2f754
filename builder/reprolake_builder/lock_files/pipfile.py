"""Pipfile.lock: flat lists of packages with markers, `default` and `develop`.

Source: Pipenv's documentation, "Pipfile & Pipfile.lock"; `pipfile-spec` 6.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.interface import Edge, LockedFile, LockFile, Pin, Place, Selection
from reprolake_builder.lock_files.reading import (
    checked_count,
    file_of,
    folder_of,
    marker_of,
    name_of,
    read_json,
    version_of,
)
from reprolake_builder.process import printable

_EXACT = re.compile(r"===?\s*(\S+)")


class _Package(msgspec.Struct, frozen=True):
    version: str = ""
    hashes: tuple[str, ...] = ()
    markers: str = ""
    git: str = ""
    ref: str = ""
    subdirectory: str = ""
    path: str = ""
    file: str = ""


class _Hash(msgspec.Struct, frozen=True):
    sha256: str = ""


class PipfileMeta(msgspec.Struct, frozen=True):
    """What a Pipfile.lock says of the Pipfile that it was made of."""

    hash: _Hash = _Hash()
    requires: dict[str, str] = {}


class _Categories(msgspec.Struct, frozen=True):
    meta: PipfileMeta = msgspec.field(name="_meta", default_factory=PipfileMeta)


def read_meta(text: str, path: str) -> PipfileMeta:
    """Return what the lock says of its Pipfile. Raises DetectError."""
    return read_json(text, path, _Categories).meta


def read_pipfile_lock(
    text: str, path: str, selection: Selection, pipfile: Mapping[str, Any] | None
) -> LockFile:
    """Return the lock; `pipfile` are the tables of the Pipfile beside it, if there is one. Raises DetectError.

    Groups are the categories of packages: `default` always, `develop` (or `dev`) as the selection has it.
    """
    meta = read_meta(text, path)
    tables = read_json(text, path, dict[str, Any])
    tables.pop("_meta", None)
    categories = read_json(json.dumps(tables), path, dict[str, dict[str, _Package]])
    known: dict[NormalizedName, str] = {canonicalize_name(name): name for name in categories}
    known[canonicalize_name("dev")] = "develop"
    wanted = {"default", *({"develop"} if selection.defaults else ())}
    for group in sorted(selection.groups):
        if group not in known:
            raise DetectError(
                f"{path} knows no group {group!r}", hint="its groups: " + ", ".join(sorted(categories))
            )
        wanted.add(known[group])
    if selection.extras:
        raise DetectError(
            f"a Pipfile has no extras, and --extra {min(selection.extras)} asks for one",
            hint="groups of packages are chosen with --group NAME",
        )
    named = [(name, item) for group in sorted(wanted) for name, item in categories.get(group, {}).items()]
    checked_count(len(named), path)
    pins: dict[NormalizedName, Pin] = {}
    for text_of_name, item in named:
        pin = _pin(text_of_name, item, path)
        pins.setdefault(pin.name, pin)
    return LockFile(
        path=path,
        tool="Pipenv",
        pins=tuple(pins.values()),
        roots=tuple(Edge(pin.name, marker=pin.markers[0] if pin.markers else None) for pin in pins.values()),
        hash_matches=None
        if not pipfile or "source" not in pipfile or not meta.hash.sha256
        else pipfile_hash(pipfile) == meta.hash.sha256,
    )


def pipfile_hash(tables: Mapping[str, Any]) -> str:
    """Return the hash by which Pipenv tells whether a lock was made of a Pipfile with these tables.

    Source: pipenv, plette.pipfiles.Pipfile.get_hash.
    """
    data: dict[str, Any] = {
        "_meta": {"sources": tables.get("source", []), "requires": tables.get("requires", {})},
        "default": tables.get("packages", {}),
        "develop": tables.get("dev-packages", {}),
    }
    known = ("packages", "dev-packages", "source", "pipenv", "requires", "scripts", "build-system")
    data |= {name: value for name, value in tables.items() if name not in known}
    return hashlib.sha256(
        json.dumps(data, sort_keys=True, separators=(",", ":"), default=str).encode()
    ).hexdigest()


def _pin(text: str, item: _Package, path: str) -> Pin:
    name = name_of(text, path)
    marker = marker_of(item.markers, path)
    exact = _EXACT.fullmatch(item.version)
    place = _place(item, path)
    if exact is None and place is None and item.version not in {"*", ""}:
        raise DetectError(f"{path}: {name} {printable(item.version)[:60]!r} is not one version")
    return Pin(
        name=name,
        version=version_of(exact[1], name, path) if exact is not None else "",
        origin=path,
        files=tuple(_file(digest, path) for digest in item.hashes),
        place=place,
        markers=(marker,) if marker is not None else (),
    )


def _file(digest: str, path: str) -> LockedFile:
    return file_of("", digest, path)


def _place(item: _Package, path: str) -> Place | None:
    if item.git:
        url = item.git
        for found in re.findall(r"\$\{?\w+\}?", url):
            raise DetectError(f"{path}: {printable(found)} stands for a variable of whoever installs it")
        return Place("git", url=url.removeprefix("git+"), commit=item.ref, subdir=item.subdirectory)
    if item.path and not item.path.endswith((".whl", ".tar.gz", ".zip")):
        return Place("folder", path=folder_of(item.path))
    if item.path or item.file:
        local = item.path or ("" if "://" in item.file else item.file)
        return Place("archive", url="" if local else item.file, path=local)
    return None
