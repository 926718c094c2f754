"""What a conda package says of itself, below its `info/`, and what is written of it below the prefix's `conda-meta/`.

Source: conda-build's "package metadata" (index.json, paths.json, link.json; has_prefix and files before those), conda's
PrefixRecord.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from reprolake_builder.documents.base import encode
from reprolake_builder.documents.conda import CondaPackage
from reprolake_builder.errors import BuildError

NEEDED = ("info/index.json", "info/paths.json", "info/link.json", "info/has_prefix", "info/no_link")
"""All of it that is read."""
LONGEST = 128 << 20  # bytes of one of these
_OLD_PLACEHOLDER = "/opt/anaconda1anaconda2anaconda3"
_LONGEST_PLACEHOLDER = 4096
_SOURCE = "channel:"
M = TypeVar("M")


class PathEntry(msgspec.Struct, frozen=True):
    """A file of a package: `path` in the archive and, but for noarch packages of Python, below the prefix; `size` in bytes."""

    path: str = msgspec.field(name="_path")
    path_type: Literal["hardlink", "softlink", "directory"] = "hardlink"
    sha256: str | None = None
    size: int | None = msgspec.field(name="size_in_bytes", default=None)
    prefix_placeholder: str | None = None
    file_mode: Literal["text", "binary"] | None = None


class _Paths(msgspec.Struct, frozen=True):
    paths: tuple[PathEntry, ...]
    paths_version: Literal[1] = 1


class _Noarch(msgspec.Struct, frozen=True):
    type: str
    entry_points: tuple[str, ...] = ()


class _Link(msgspec.Struct, frozen=True):
    noarch: _Noarch | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What the archive says: `index` as it stands there, the files, and commands as NAME = MODULE:FUNCTION."""

    index: Mapping[str, Any]
    paths: tuple[PathEntry, ...]
    entry_points: tuple[str, ...]


def read_told(info: Mapping[str, bytes], held: Collection[str], package: CondaPackage) -> Told:
    """Return what the files in `info` (by name) say; `held` are the archive's other members.

    Raises BuildError where that is not what the lock says, and for what cannot be read.
    """
    index = _index(info, package)
    if "info/paths.json" in info:
        paths = _read(info, "info/paths.json", _Paths, package).paths
    else:
        paths = _paths_of_old(info, held)
    for entry in paths:
        placeholder = entry.prefix_placeholder
        if placeholder is not None and not (
            placeholder.startswith("/") and 2 <= len(placeholder) <= _LONGEST_PLACEHOLDER
        ):
            raise BuildError(f"{package.filename}: the prefix that {entry.path!r} was built for is none")
    link = _read(info, "info/link.json", _Link, package) if "info/link.json" in info else _Link()
    is_python = package.noarch == "python" and link.noarch is not None
    return Told(index, paths, link.noarch.entry_points if is_python and link.noarch else ())


def _index(info: Mapping[str, bytes], package: CondaPackage) -> Mapping[str, Any]:
    index = _read(info, "info/index.json", dict[str, Any], package)
    found = tuple(index.get(field) for field in ("name", "version", "build"))
    if found != (package.name, package.version, package.build):
        said = " ".join(str(part)[:100] for part in found)
        raise BuildError(
            f"the lock says that {package.filename} is {package.name} {package.version} {package.build}, and it holds {said!r}",
            hint="the lock was changed by hand; make a new one with `reprolake lock`",
        )
    if (index.get("noarch") == "python") != (package.noarch == "python"):
        raise BuildError(
            f"the lock and {package.filename} do not agree whether it is a noarch package of Python",
            hint="the lock was changed by hand; make a new one with `reprolake lock`",
        )
    return index


def _read(info: Mapping[str, bytes], name: str, kind: type[M], package: CondaPackage) -> M:
    try:
        return msgspec.json.decode(info[name], type=kind)
    except KeyError:
        raise BuildError(f"{package.filename} is no sound conda package: it has no {name}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise BuildError(f"{package.filename} is no sound conda package: its {name}: {error}") from error


def _paths_of_old(info: Mapping[str, bytes], held: Collection[str]) -> tuple[PathEntry, ...]:
    """Return the files of a package that was made before there was a paths.json."""
    prefixed: dict[str, tuple[str, Literal["text", "binary"]]] = {}
    if "info/has_prefix" in info:
        for line in info["info/has_prefix"].decode("utf-8", "replace").splitlines():
            words = shlex.split(line, posix=False)
            if len(words) == 3:
                prefixed[words[2].strip("\"'")] = (
                    words[0].strip("\"'"),
                    "binary" if words[1] == "binary" else "text",
                )
            elif line.strip():
                prefixed[line.strip()] = (_OLD_PLACEHOLDER, "text")
    return tuple(
        PathEntry(
            path,
            prefix_placeholder=prefixed[path][0] if path in prefixed else None,
            file_mode=prefixed[path][1] if path in prefixed else None,
        )
        for path in sorted(held)
    )


@dataclass(frozen=True, slots=True)
class Laid:
    """A file below the prefix: `entry` is what the package said of it, `sha256` what it holds now, "" for a link.

    `kind` is conda's word for how it came there.
    """

    path: str
    kind: str
    sha256: str = ""
    size: int = 0
    entry: PathEntry | None = None


def prefix_record(package: CondaPackage, index: Mapping[str, Any], laid: Iterable[Laid]) -> bytes:
    """Return the text of conda-meta/NAME-VERSION-BUILD.json: without dates, and with no place on this host.

    The address is of a scheme of its own: where the channel is, is a matter of the site's configuration.
    """
    files = sorted(laid, key=lambda file: file.path)
    record = {
        **index,
        "channel": package.channel,
        "extracted_package_dir": "",
        "files": [file.path for file in files],
        "fn": package.filename,
        "link": {"source": "", "type": 1},
        "package_tarball_full_path": "",
        "paths_data": {"paths": [_path_data(file) for file in files], "paths_version": 1},
        "requested_spec": "None",
        "sha256": package.sha256,
        "size": package.size,
        "subdir": package.subdir,
        "url": f"{_SOURCE}//{package.channel}/{package.subdir}/{package.filename}",
    }
    if package.md5:
        record["md5"] = package.md5
    return msgspec.json.format(encode(record), indent=2) + b"\n"


def _path_data(file: Laid) -> dict[str, object]:
    data: dict[str, object] = {"_path": file.path, "path_type": file.kind}
    if file.sha256:
        data |= {"sha256_in_prefix": file.sha256, "size_in_bytes": file.size}
    if file.entry is not None and file.entry.sha256:
        data["sha256"] = file.entry.sha256
    if file.entry is not None and file.entry.prefix_placeholder:
        data |= {
            "prefix_placeholder": file.entry.prefix_placeholder,
            "file_mode": file.entry.file_mode or "text",
        }
    return data
