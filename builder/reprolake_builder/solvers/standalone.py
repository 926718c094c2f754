"""Standalone builds of Python: which there are, by a list in uv's form, and one of them brought into the store.

A list is uv's own (`uv python list`, which knows where the builds are and no hashes) or the site's, in the form of uv's file of
downloads, which may have hashes. Only what a file's name says is believed of a build: version, day, machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec

from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.lock import STANDALONE_PREFIX, StandaloneInterpreter
from reprolake_builder.download import Arrival, Offer, Wanted
from reprolake_builder.errors import FetchError, without_logins
from reprolake_builder.process import printable
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.pypi_uv import Uv
from reprolake_builder.solvers.pythons import PYTHONS_ON_OFFER, StandaloneBuild
from reprolake_builder.tools import Tools

GRACE = timedelta(days=30)
"""How long after the cut-off a build may have been made: builds come some days or weeks after the release."""
_KIND = "standalone-pythons"
_FILE = re.compile(
    r"cpython-(3\.\d{1,2}\.\d{1,2})\+(\d{8})-x86_64-unknown-linux-gnu-install_only(_stripped)?\.tar\.gz"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGEST_LIST = 64 << 20  # bytes
_SETTINGS = "set python_downloads or python_mirror in reprolake.toml to an address that this host reaches"


@dataclass(frozen=True, slots=True)
class _Listed:
    """The builds of a list; `folders` are addresses that hold a folder for each day."""

    builds: tuple[StandaloneBuild, ...]
    folders: tuple[str, ...]


def standalone_builds(tools: Tools) -> tuple[StandaloneBuild, ...]:
    """Return the builds on the list for this machine, the newest first. Raises FetchError for a list that cannot be had."""
    return _listed(tools).builds


def chosen_build(builds: tuple[StandaloneBuild, ...], as_of: AsOf) -> StandaloneBuild | None:
    """Return the newest of the builds that were made before the cut-off and GRACE, else the oldest; None where there are none."""
    last = as_of.date.date() + GRACE
    return next((build for build in builds if build.built <= last), builds[-1] if builds else None)


def pin_standalone(build: StandaloneBuild, tools: Tools) -> StandaloneInterpreter:
    """Return a build as a lock pins it, for which it is fetched: where no hash is known, what arrives first on this host counts.

    Raises FetchError.
    """
    key = content_hash({"filename": build.filename, "url": build.url})
    known = tools.store.get(_KIND, key, Arrival)
    sha256 = build.sha256 or (known.sha256 if known is not None else "")
    failures: list[FetchError] = []
    for url in _addresses(build, tools):
        offer = Offer(build.filename, url, sha256=sha256, here=True)
        try:
            arrived = tools.downloader.receive(offer, tools.store, tools.progress)
        except FetchError as error:
            failures.append(error)
            continue
        if not sha256:
            tools.store.put(_KIND, key, arrived)
        return msgspec.convert(
            {
                "kind": "standalone",
                "version": build.version,
                "executable": f"{STANDALONE_PREFIX}/bin/python{build.minor}",
                "filename": build.filename,
                "sha256": arrived.sha256,
                "size": arrived.size,
            },
            StandaloneInterpreter,
        )
    raise FetchError(
        f"the standalone Python {build.version} could not be fetched: "
        + "; ".join(error.message for error in failures),
        hint=f"{_SETTINGS}, or choose one of Debian's ({', '.join(PYTHONS_ON_OFFER)}) with `--python 3.11`",
        transient=any(error.transient for error in failures),
    ) from (failures[-1] if failures else None)


def fetch_standalone(lock: StandaloneInterpreter, tools: Tools) -> None:
    """Bring the archive of a locked Python into the store, unless it is there. Raises FetchError, also for other bytes."""
    if tools.store.has_sound_archive(lock.sha256):
        return
    build = _build_of(lock.filename, "", "")
    urls = tuple(_addresses(build, tools)) if build is not None else ()
    if not urls:
        raise FetchError(f"no list tells where {lock.filename} is", hint=_SETTINGS)
    wanted = Wanted(lock.filename, urls, lock.sha256, lock.size)
    tools.downloader.fetch_all([wanted], tools.store, tools.progress, f"Fetching Python {lock.version}")


def trusted_note(target_build: StandaloneBuild | None, lock: object) -> str:
    """Return what is to be told of a hash that no list had, "" for others."""
    if target_build is None or target_build.sha256 or not isinstance(lock, StandaloneInterpreter):
        return ""
    return (
        f"nobody vouches for the SHA-256 of {lock.filename}: the list of builds has none, so it is that of what "
        "arrived here first"
    )


def kept_build(lock: object) -> StandaloneBuild | None:
    """Return the build that an earlier lock has, None where its Python is none."""
    return _build_of(lock.filename, "", lock.sha256) if isinstance(lock, StandaloneInterpreter) else None


def _addresses(build: StandaloneBuild, tools: Tools) -> Iterator[str]:
    """Yield where a build may be: at the site's mirror, where the list has it, or beside those that the list has."""
    tail = f"{build.built:%Y%m%d}/{quote(build.filename)}"
    if mirror := tools.site.pythons.mirror:
        yield f"{mirror.rstrip('/')}/{tail}"
        return
    listed = _listed(tools)
    found = [one.url for one in listed.builds if one.filename == build.filename]
    yield from dict.fromkeys((*found, *(f"{folder}/{tail}" for folder in listed.folders)))


def _listed(tools: Tools) -> _Listed:
    place = tools.site.pythons.downloads
    if place:
        builds = read_builds(tools.downloader.get(place, limit=_LARGEST_LIST), place)
    else:
        builds = read_builds(Uv(tools.site, tools.store).list_pythons(), "of uv")
    folders = {
        one.url.rpartition("/")[0].rpartition("/")[0]
        for one in builds
        if one.url.split("/")[-2:-1] == [f"{one.built:%Y%m%d}"]
    }
    return _Listed(builds, tuple(sorted(folders)))


def read_builds(data: bytes, place: str) -> tuple[StandaloneBuild, ...]:
    """Return the builds for this machine on a list, the newest first. Raises FetchError for what is no list at `place`."""
    try:
        found = msgspec.convert(json.loads(data), list[Any] | dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise FetchError(
            f"the list of standalone Pythons {without_logins(place)} cannot be understood: {printable(str(error))[:200]}",
            hint="it has to be in the form of uv's file of downloads",
        ) from error
    rows = found.values() if isinstance(found, dict) else found
    builds = [build for build in map(_build_in, rows) if build is not None]
    builds.sort(key=lambda one: (one.numbers, one.built, "_stripped" in one.filename), reverse=True)
    return tuple(builds)


def _build_in(row: object) -> StandaloneBuild | None:
    """Return the build that a row of a list names, None where it is for others, or is none."""
    if not isinstance(row, dict):
        return None
    url, sha256 = row.get("url"), row.get("sha256")
    if not isinstance(url, str) or urlsplit(url).scheme not in {"https", "http", "file"}:
        return None
    filename = unquote(urlsplit(url).path.rpartition("/")[2])
    told = sha256 if isinstance(sha256, str) and _SHA256.fullmatch(sha256) else ""
    return _build_of(filename, url, told)


def _build_of(filename: str, url: str, sha256: str) -> StandaloneBuild | None:
    parsed = _FILE.fullmatch(filename)
    if parsed is None:
        return None
    try:
        built = date.fromisoformat(parsed[2])
    except ValueError:
        return None
    return StandaloneBuild(parsed[1], built, filename, url, sha256)
