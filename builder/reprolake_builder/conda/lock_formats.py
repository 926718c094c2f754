"""conda-lock.yml, pixi.lock and @EXPLICIT files, read for linux-64.

Source: conda-lock's documentation, "Output" (version 1 of the format); pixi's, "The lock file" (versions 4 to 7); conda's,
"Building identical conda environments".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from packaging.utils import parse_sdist_filename, parse_wheel_filename

from reprolake_builder.conda.lock_files import (
    CondaLockFile,
    channel_name,
    entries,
    pin_of,
    pip_pin,
    tables,
    without,
    word,
)
from reprolake_builder.documents.environment import Asked, CondaPin
from reprolake_builder.errors import DetectError
from reprolake_builder.process import printable
from reprolake_builder.yaml_nodes import parse_yaml, plain

PLATFORM = "linux-64"
_OF_PLATFORM = re.compile(rf"^\s+platform:\s*['\"]?{PLATFORM}['\"]?\s*$", re.MULTILINE)
_LARGEST = 8 << 20  # characters of what is for this platform
_CATEGORIES = {"main", "dev", ""}
"""Those that conda-lock installs when it is told nothing."""
_PIXI_VERSIONS = {"4", "5", "6", "7"}
_EXPLICIT_PIP = re.compile(r"#\s*pip\s+(\S+)\s+@\s+(\S+)(?:\s+--hash=sha256[:=](\S*))?.*")


def read_conda_lock(text: str, path: str) -> CondaLockFile:
    """Return what conda-lock's file pins. Raises DetectError."""
    short = without(entries(text, "package", lambda entry: bool(_OF_PLATFORM.search(entry))), "dependencies")
    root = _root(short, path)
    if word(root, "version") != "1":
        raise DetectError(
            f"{path} has version {printable(word(root, 'version'))[:20]!r} of conda-lock's format; read is 1"
        )
    metadata = root.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    _refuse_other_platform(metadata.get("platforms"), path)
    channels = [
        word(one, "url") if isinstance(one, dict) else str(one) for one in _list(metadata.get("channels"))
    ]
    pins: list[CondaPin] = []
    pip: list[Asked] = []
    places: list[Asked] = []
    for item in tables(root.get("package"), path):
        if word(item, "platform") != PLATFORM or word(item, "category") not in _CATEGORIES:
            continue
        origin = f"{path}#{printable(word(item, 'name'))[:100]}"
        sums = item.get("hash")
        sums = sums if isinstance(sums, dict) else {}
        if word(item, "manager") == "conda":
            pins.append(pin_of(word(item, "url"), origin, sha256=word(sums, "sha256"), md5=word(sums, "md5")))
        elif word(item, "url").startswith("git+"):
            places.append(Asked(text=word(item, "url"), origin=origin))
        else:
            pip.append(pip_pin(word(item, "name"), word(item, "version"), word(sums, "sha256"), origin))
    return _whole(
        CondaLockFile(path, "conda-lock", _channels(channels, pins), tuple(pins), tuple(pip), tuple(places))
    )


def read_pixi_lock(text: str, path: str) -> CondaLockFile:
    """Return what pixi's file pins for the environment `default`. Raises DetectError."""
    head = _root(entries(text, "packages", lambda _: False), path)
    if word(head, "version") not in _PIXI_VERSIONS:
        raise DetectError(
            f"{path} has version {printable(word(head, 'version'))[:20]!r} of pixi's format; read are 4 to 7",
            hint="`pixi lock` writes it anew",
        )
    environment = _at(head, "environments", "default")
    if environment is None:
        raise DetectError(f"{path} has no environment `default`")
    chosen = _at(environment, "packages")
    _refuse_other_platform(list(chosen or {}), path)
    named = list(tables((chosen or {}).get(PLATFORM), f"{path}: the list for {PLATFORM}"))
    conda = [word(item, "conda") for item in named if "conda" in item]
    index = [word(item, "pypi") for item in named if "pypi" in item]
    wanted = {*conda, *index}
    short = entries(text, "packages", lambda entry: any(token in wanted for token in entry[:4000].split()))
    known: dict[str, Mapping[str, object]] = {}
    for item in tables(_root(short, path).get("packages"), path):
        for key in ("conda", "pypi", "url", "path"):
            if word(item, key):
                known[word(item, key)] = item
    pins = [_pixi_pin(url, known.get(url, {}), path) for url in conda]
    local = [url for url in index if url.startswith(("git+", "."))]
    pip = [_pixi_package(url, known.get(url, {}), path) for url in index if url not in local]
    places = [Asked(text=url, origin=_entry(path, url)) for url in local]
    channels = [
        word(one, "url") if isinstance(one, dict) else str(one) for one in _list(environment.get("channels"))
    ]
    return _whole(
        CondaLockFile(path, "pixi", _channels(channels, pins), tuple(pins), tuple(pip), tuple(places))
    )


def _pixi_pin(url: str, item: Mapping[str, object], path: str) -> CondaPin:
    size = word(item, "size")
    if "://" not in url and word(item, "channel"):  # the channel is a folder of whoever made the lock
        url = f"{word(item, 'channel').rstrip('/')}/{word(item, 'subdir')}/{url.rpartition('/')[2]}"
    return pin_of(
        url,
        _entry(path, url),
        sha256=word(item, "sha256"),
        md5=word(item, "md5"),
        size=int(size) if re.fullmatch(r"[0-9]{1,15}", size) else None,
    )


def _pixi_package(url: str, item: Mapping[str, object], path: str) -> Asked:
    return pip_pin(word(item, "name"), word(item, "version"), word(item, "sha256"), _entry(path, url))


def _entry(path: str, url: str) -> str:
    return f"{path}#{printable(url.rpartition('/')[2])[:100]}"


def read_explicit(text: str, path: str) -> CondaLockFile:
    """Return what a list of addresses pins, with the lines for pip that conda-lock writes as comments. Raises DetectError."""
    pins: list[CondaPin] = []
    pip: list[Asked] = []
    if "@EXPLICIT" not in (line.strip() for line in text.splitlines()):
        raise DetectError(f"{path} has no line @EXPLICIT")
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        origin = f"{path}:{number}"
        if found := re.match(r"#\s*platform:\s*(\S+)", line):
            _refuse_other_platform([found[1]], path)
        elif found := _EXPLICIT_PIP.fullmatch(line):
            pip.append(pip_pin(found[1], _version_in(found[2], origin), found[3] or "", origin))
        elif line and not line.startswith(("#", "@")):
            url, _, digest = line.partition("#")
            kind, _, value = digest.rpartition(":")
            long = kind == "sha256" or len(value) == 64
            pins.append(pin_of(url.strip(), origin, sha256=value if long else "", md5="" if long else value))
    return _whole(CondaLockFile(path, "explicit", _channels([], pins), tuple(pins), tuple(pip)))


def _version_in(url: str, origin: str) -> str:
    """Return the version in the file name of an address. Raises DetectError."""
    name = unquote(re.split(r"[?#]", url)[0]).rpartition("/")[2]
    try:
        return str(parse_wheel_filename(name)[1] if name.endswith(".whl") else parse_sdist_filename(name)[1])
    except ValueError as error:
        raise DetectError(f"{origin}: {printable(name)[:100]!r} is no archive of an index") from error


def _channels(named: list[str], pins: list[CondaPin]) -> tuple[str, ...]:
    """Return the channels by name or address: those that the file names, then those that packages are from."""
    return tuple(
        dict.fromkeys([*(channel_name(one) for one in named if one), *(pin.channel for pin in pins)])
    )


def _whole(lock: CondaLockFile) -> CondaLockFile:
    if not lock.pins:
        raise DetectError(f"{lock.path} pins no conda packages for {PLATFORM}")
    return lock


def _root(text: str, path: str) -> dict[str, object]:
    found = plain(parse_yaml(text, path, _LARGEST))
    if not isinstance(found, dict):
        raise DetectError(f"{path} is no lock file: it holds no keys")
    return dict(found)


def _at(table: Mapping[str, object], *keys: str) -> dict[str, object] | None:
    found: object = table
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _refuse_other_platform(platforms: object, path: str) -> None:
    named = [str(one) for one in _list(platforms)]
    if named and PLATFORM not in named:
        raise DetectError(
            f"{path} is for {printable(', '.join(named))[:200]}, and not for {PLATFORM}",
            hint=f"have its tool lock for {PLATFORM} as well, or take it out of play with --ignore {printable(path)}",
        )
