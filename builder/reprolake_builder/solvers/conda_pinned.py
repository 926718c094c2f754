"""Conda packages as a lock file of conda's tools pins them: fetched, and taken at their own word for the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from reprolake_builder.archives.conda import reading_conda
from reprolake_builder.archives.members import LIMITS
from reprolake_builder.conda.channels import channel_bases, channel_of
from reprolake_builder.documents.base import Sha256
from reprolake_builder.documents.conda import CondaChannel, CondaLock, CondaPackage
from reprolake_builder.documents.environment import CondaAsked, CondaPin
from reprolake_builder.download import Offer
from reprolake_builder.errors import FetchError, LockError
from reprolake_builder.git_tree import TreeError
from reprolake_builder.process import printable
from reprolake_builder.solvers.conda import name_of, virtual_packages
from reprolake_builder.solvers.pythons import WITHOUT_PYTHON
from reprolake_builder.tools import Tools

_INDEX = b"info/index.json"
_LARGEST = 4 << 20  # bytes of a package's own metadata


def take_pinned(asked: CondaAsked, told_by: str, tools: Tools) -> CondaLock:
    """Return the packages that the lock file pins, all of which lie in the store then; `told_by` is as in channels.channel_of.

    Raises LockError where a package is not what the file says, FetchError where one cannot be had.
    """
    known = {text: channel_of(text, asked.obeyed, tools.site, told_by) for text in _named(asked)}
    sums = _fetched([(pin, known[pin.channel]) for pin in asked.pins], tools)
    requested = {name_of(item.text) for item in asked.specs}
    packages: dict[str, CondaPackage] = {}
    for pin, sha256 in zip(asked.pins, sums, strict=True):
        package = _package(pin, known[pin.channel], sha256, requested, tools)
        if package.name in packages:
            raise LockError(
                f"{asked.obeyed} pins {package.name} twice: {packages[package.name].filename} and {package.filename}",
                hint="have its tool write it anew",
            )
        packages[package.name] = package
    return CondaLock(
        channels=tuple(dict.fromkeys(known.values())),
        virtual_packages=virtual_packages(WITHOUT_PYTHON.glibc),
        packages=tuple(packages[name] for name in sorted(packages)),
        obeyed=asked.obeyed,
    )


def _named(asked: CondaAsked) -> dict[str, None]:
    """Return the channels as the file calls them: in its order of priority, and at its end those that only packages name."""
    used = {pin.channel for pin in asked.pins}
    return dict.fromkeys([*(item.text for item in asked.channels if item.text in used), *sorted(used)])


def _fetched(pins: Sequence[tuple[CondaPin, CondaChannel]], tools: Tools) -> tuple[Sha256, ...]:
    """Return the SHA-256 of each package, fetched from the first addresses of the channels that have them all."""
    bases = {channel: channel_bases(channel, tools.site) for _, channel in pins}
    failures: list[FetchError] = []
    for place in range(max(map(len, bases.values()))):
        offers = [
            Offer(
                name=pin.filename,
                url=f"{bases[channel][min(place, len(bases[channel]) - 1)]}/{pin.subdir}/{pin.filename}",
                size=pin.size,
                sha256=pin.sha256,
                md5=pin.md5,
                here=True,  # a channel of this host is always one that the configuration names
            )
            for pin, channel in pins
        ]
        try:
            arrived = tools.downloader.receive_all(
                offers, tools.store, tools.progress, "Fetching conda packages"
            )
        except FetchError as error:
            failures.append(error)
        else:
            return tuple(one.sha256 for one in arrived)
    raise failures[-1]


def _package(
    pin: CondaPin, channel: CondaChannel, sha256: Sha256, requested: set[str], tools: Tools
) -> CondaPackage:
    """Return the package by its own index.json. Raises LockError where that is another than its file name says."""
    archive = tools.store.archive(sha256)
    index = _index(archive, pin.filename)
    noarch = index.get("noarch")
    told = {
        "name": index.get("name"),
        "version": index.get("version"),
        "build": index.get("build"),
        "build_number": index.get("build_number", 0),
        "subdir": pin.subdir,
        "channel": channel.name,
        "filename": pin.filename,
        "size": archive.stat().st_size,
        "sha256": sha256,
        "md5": pin.md5 or _md5(archive),
        "depends": index.get("depends", []),
        "constrains": index.get("constrains", []),
        "noarch": "python" if noarch == "python" else "generic" if noarch else "",
        "site_packages": index.get("python_site_packages_path") or "",
        "license": printable(str(index.get("license") or ""))[:300].replace("\n", " "),
        "requested": index.get("name") in requested,
    }
    try:
        package = msgspec.convert(told, CondaPackage)
    except msgspec.ValidationError as error:
        raise LockError(f"{pin.filename} cannot be pinned: {error}") from error
    stem = pin.filename.removesuffix(".conda").removesuffix(".tar.bz2")
    if stem != f"{package.name}-{package.version}-{package.build}":
        raise LockError(
            f"{pin.filename} says of itself that it is {package.name} {package.version} {package.build}",
            hint="the lock, or the channel, was changed by hand",
        )
    return package


def _index(archive: Path, filename: str) -> Mapping[str, Any]:
    try:
        with reading_conda(archive, LIMITS.allowed(archive.stat().st_size)) as members:
            for member in members:
                if member.path == _INDEX and member.kind == "file" and member.size <= _LARGEST:
                    return msgspec.json.decode(b"".join(member.pieces()), type=dict[str, Any])
    except (TreeError, msgspec.DecodeError, RecursionError) as error:
        raise LockError(f"{filename} is no sound conda package: {error}") from error
    raise LockError(f"{filename} is no sound conda package: it has no info/index.json")


def _md5(archive: Path) -> str:
    with archive.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
