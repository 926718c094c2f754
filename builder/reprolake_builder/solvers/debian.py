"""The Debian base and the packages of apt.txt, resolved against the newest signed state of the Python's own suite."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from reprolake_builder.debs import signed_base
from reprolake_builder.debs.archive import control_files
from reprolake_builder.debs.mirror import wanted_debs
from reprolake_builder.debs.scripts import read_postinst
from reprolake_builder.documents.base import Document, content_hash
from reprolake_builder.documents.environment import Asked
from reprolake_builder.documents.lock import LAYOUT, DebianInterpreter, DebianLock, DebPackage, SignedRelease
from reprolake_builder.errors import LockError
from reprolake_builder.solvers.debian_archive import (
    Catalogue,
    Package,
    fetch_catalogue,
    fetch_release,
    suites_of,
)
from reprolake_builder.solvers.debian_resolve import Selection
from reprolake_builder.solvers.pythons import PYTHONS_ON_OFFER, WITHOUT_PYTHON
from reprolake_builder.tools import Tools

SOLVER = 2
"""Raised whenever the same releases would give another set of packages: stored answers of older solvers are not used."""

# Beyond the essential packages and Python: certificates, time zones, and the libraries that wheels expect of any system.
_ALWAYS = ("ca-certificates", "tzdata", "libstdc++6", "libgomp1", "libexpat1", "zlib1g")
# Demanded, or something would choose `usrmerge`, which converts a running system and needs perl.
_FIRST = "usr-is-merged"
_UPSTREAM = re.compile(r"(?:\d+:)?(\d+\.\d+\.\d+)")


class SolvedDebian(Document, frozen=True, kw_only=True):
    """The packages and, where one was asked for, the interpreter among them."""

    debian: DebianLock
    interpreter: DebianInterpreter | None


def solve_debian(
    python: str, extra: tuple[Asked, ...], tools: Tools, toolchain: tuple[Asked, ...] = ()
) -> SolvedDebian:
    """Return the newest signed state of the suite that has `python` ("3.11"; "" for none), with the packages demanded by `extra`.

    `toolchain` packages are chosen after these and kept apart. The base set depends on the suite's state alone, never on `extra`. Raises LockError naming the demand that cannot be
    met, FetchError when the mirror does not answer.
    """
    suite = _suite_of(python)
    now = datetime.now(UTC)
    releases = tuple(
        fetch_release(archive, suite, tools.site, tools.downloader, now)
        for archive, suite in suites_of(suite)
    )
    signed = tuple(release.signed for release in releases)
    texts = [sorted({asked.text for asked in demands}) for demands in (extra, toolchain)]
    key = content_hash(
        {"solver": SOLVER, "layout": LAYOUT, "releases": signed, "python": python, "extra": texts}
    )
    if (known := tools.store.get("debian", key, SolvedDebian)) is not None:
        _vouch(known, tools)
        return known
    catalogue = fetch_catalogue(releases, tools.site, tools.downloader, tools.store, tools.progress)
    base, added, apart = resolve(catalogue, python, extra, toolchain)
    solved = SolvedDebian(
        debian=DebianLock(
            suite=suite,
            releases=signed,
            base=base,
            extra=added,
            toolchain=apart,
            unconfigured=_unconfigured(added, signed, tools),
        ),
        interpreter=_interpreter(base, python) if python else None,
    )
    tools.store.put("debian", key, solved)
    _vouch(solved, tools)
    return solved


def _suite_of(python: str) -> str:
    """Return the suite that has the Python; without one, that of a Python from elsewhere."""
    if not python:
        return WITHOUT_PYTHON.suite
    offer = PYTHONS_ON_OFFER.get(python)
    if offer is None:
        raise LockError(
            f"Debian has no Python {python} for us; on offer are {', '.join(PYTHONS_ON_OFFER)}",
            hint="choose one of these with --python",
        )
    return offer.suite


def _vouch(solved: SolvedDebian, tools: Tools) -> None:
    if solved.interpreter is not None:
        signed_base.remember(solved.debian.base, solved.interpreter, tools.store)


def resolve(
    catalogue: Catalogue, python: str, extra: tuple[Asked, ...], toolchain: tuple[Asked, ...] = ()
) -> tuple[tuple[DebPackage, ...], tuple[DebPackage, ...], tuple[DebPackage, ...]]:
    """Return the base set, what `extra` adds to it, and what `toolchain` adds to both, each sorted by name."""
    selection = Selection(catalogue)
    selection.require([Asked(text=name, origin="") for name in base_demands(catalogue, python)])
    base = dict(selection.packages)
    selection.require(extra)
    asked = dict(selection.packages)
    selection.require(toolchain)
    return (
        _locked(base.values()),
        _locked(package for name, package in asked.items() if name not in base),
        _locked(package for name, package in selection.packages.items() if name not in asked),
    )


def base_demands(catalogue: Catalogue, python: str) -> tuple[str, ...]:
    """Return the packages that the base is asked to hold: the essential ones, Python if there is one, and what wheels expect."""
    own = (f"python{python}", f"libpython{python}-stdlib", *_ALWAYS) if python else _ALWAYS
    # Parts of the standard library, and zone names of old, that some suites keep in packages of their own.
    parts = (f"python{python}-distutils", f"python{python}-lib2to3") if python else ()
    split = (*parts, "tzdata-legacy")
    apart = tuple(name for name in split if name in catalogue.packages or name in catalogue.providers)
    first = (_FIRST,) if _FIRST in catalogue.packages else ()
    return (*catalogue.essential, *first, *own, *apart)


def _locked(packages: Iterable[Package]) -> tuple[DebPackage, ...]:
    return tuple(sorted((package.locked() for package in packages), key=lambda deb: deb.name))


def _interpreter(base: tuple[DebPackage, ...], python: str) -> DebianInterpreter:
    """Return the interpreter that the base holds; Debian's version of the package begins with Python's own."""
    name = f"python{python}-minimal"
    deb = next(deb for deb in base if deb.name == name)
    version = _UPSTREAM.match(deb.version)
    if version is None:
        raise LockError(f"the version {deb.version} of Debian's {name} does not tell Python's own")
    return DebianInterpreter(
        version=version[1], executable=f"/usr/bin/python{python}", package=name, sha256=deb.sha256
    )


def _unconfigured(
    added: tuple[DebPackage, ...], releases: tuple[SignedRelease, ...], tools: Tools
) -> tuple[str, ...]:
    """Return the packages whose script does what nothing stands in for; they are fetched, as the build needs them anyway."""
    tools.downloader.fetch_all(
        wanted_debs(added, releases, tools.site),
        tools.store,
        tools.progress,
        "Fetching Debian packages of apt.txt",
    )
    return tuple(
        deb.name
        for deb in added
        if read_postinst(control_files(tools.store.archive(deb.sha256)).get("postinst", b"")).others
    )
