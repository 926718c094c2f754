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
from reprolake_builder.lock_files import reading
from reprolake_builder.lock_files.interface import Edge, LockFile, Pin, Place, Selection
from reprolake_builder.process import printable

_VARIABLE = re.compile(r"\$\{?\w+\}?")
_ARCHIVES = (".whl", ".tar.gz", ".zip")
_EXACT = re.compile(r"===?\s*(\S+)")


class PipfilePackage(msgspec.Struct, frozen=True):
    """A package as a Pipfile and the lock of one write it: `version` is "" for any."""

    version: str = ""
    markers: str = ""
    git: str = ""
    ref: str = ""
    subdirectory: str = ""
    path: str = ""
    file: str = ""

    def place(self, origin: str) -> Place | None:
        """Where it is, None for a package of an index. Raises DetectError."""
        if self.git:
            if found := _VARIABLE.search(self.git):
                raise DetectError(
                    f"{origin}: {printable(found[0])} stands for a variable of whoever installs it",
                    hint="write the value itself",
                )
            url = self.git.removeprefix("git+")
            return Place("git", url=url, ref=self.ref, subdir=self.subdirectory)
        if self.path and not self.path.endswith(_ARCHIVES):
            return Place("folder", path=reading.folder_of(self.path))
        if self.path or self.file:
            local = self.path or ("" if "://" in self.file else self.file)
            return Place("archive", url="" if local else self.file, path=local)
        return None


class _Locked(PipfilePackage, frozen=True):
    hashes: tuple[str, ...] = ()


class _Hash(msgspec.Struct, frozen=True):
    sha256: str = ""


class PipfileMeta(msgspec.Struct, frozen=True):
    """What a Pipfile.lock says of the Pipfile that it was made of."""

    hash: _Hash = _Hash()
    requires: dict[str, str] = {}
    spec: int = msgspec.field(name="pipfile-spec", default=6)


class _Categories(msgspec.Struct, frozen=True):
    meta: PipfileMeta = msgspec.field(name="_meta", default_factory=PipfileMeta)


def read_meta(text: str, path: str) -> PipfileMeta:
    """Return what the lock says of its Pipfile. Raises DetectError."""
    return reading.read_json(text, path, _Categories).meta


def read_pipfile_lock(
    text: str, path: str, selection: Selection, pipfile: Mapping[str, Any] | None
) -> LockFile:
    """Return the lock; `pipfile` are the tables of the Pipfile beside it, if there is one. Raises DetectError.

    Groups are the categories of packages: `default` always, `develop` (or `dev`) as the selection has it.
    """
    tables = reading.read_json(text, path, dict[str, Any])
    meta = reading.converted(tables, path, _Categories).meta
    reading.check_version(meta.spec, ("6",), path)
    tables.pop("_meta", None)
    categories = reading.converted(tables, path, dict[str, dict[str, _Locked]])
    known: dict[NormalizedName, str] = {reading.name_of(name, path): name for name in categories}
    known[canonicalize_name("dev")] = "develop"
    reading.refuse_unknown("group", selection.groups, known, path)
    wanted = {
        "default",
        *({"develop"} if selection.defaults else ()),
        *(known[name] for name in selection.groups),
    }
    if selection.extras:
        raise DetectError(
            f"a Pipfile has no extras, and --extra {min(selection.extras)} asks for one",
            hint="groups of packages are chosen with --group NAME",
        )
    named = [(name, item) for group in sorted(wanted) for name, item in categories.get(group, {}).items()]
    reading.checked_count(len(named), path)
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


def _pin(text: str, item: _Locked, path: str) -> Pin:
    name = reading.name_of(text, path)
    marker = reading.marker_of(item.markers, path)
    exact = _EXACT.fullmatch(item.version)
    place = item.place(path)
    if exact is None and place is None and item.version not in {"*", ""}:
        raise DetectError(f"{path}: {name} {printable(item.version)[:60]!r} is not one version")
    return Pin(
        name=name,
        version=reading.version_of(exact[1], name, path) if exact is not None else "",
        origin=path,
        files=tuple(reading.file_of("", digest, path) for digest in item.hashes),
        place=place,
        markers=(marker,) if marker is not None else (),
    )
