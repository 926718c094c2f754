"""What Debian's archive offers: signed releases, and the packages that they vouch for."""

from __future__ import annotations

import functools
import hashlib
import lzma
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Literal

from reprolake_builder.debs.mirror import archive_bases
from reprolake_builder.documents.lock import DebPackage, SignedRelease
from reprolake_builder.download import Downloader, Wanted
from reprolake_builder.errors import FetchError, LockError
from reprolake_builder.process import printable
from reprolake_builder.progress import Progress
from reprolake_builder.site import Site
from reprolake_builder.solvers.debian_signatures import KEYRING, verified
from reprolake_builder.solvers.debian_versions import Relation, parse_relations, version_key
from reprolake_builder.store import Store

ARCHITECTURE = "amd64"
Alias = Literal["debian", "debian-security"]

_INDEX = f"main/binary-{ARCHITECTURE}/Packages.xz"
_PIECE = 1 << 20
_CLOCK_SLACK = timedelta(days=1)
_FIELD = re.compile(rb"^([A-Za-z0-9-]+):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)
_CHECKSUM = re.compile(r"^ ?([0-9a-f]{64}) +(\d+) +(\S+)$")


@functools.cache
def _field(name: str) -> re.Pattern[bytes]:
    return re.compile(rb"^" + name.encode() + rb":[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Package:
    """One package of an index: `stanza` is its text there, of which a field is read when somebody asks for it."""

    archive: Alias
    stanza: bytes

    def field(self, name: str) -> str:
        """Return a field's value, "" when the package has none."""
        found = _field(name).search(self.stanza)
        return found[1].decode("utf-8", "replace") if found else ""

    @property
    def name(self) -> str:
        """The package's name."""
        return self.field("Package")

    @property
    def version(self) -> str:
        """The package's version."""
        return self.field("Version")

    def relations(self, *fields: str) -> tuple[tuple[Relation, ...], ...]:
        """Return the groups of those relation fields, in order."""
        return tuple(group for field in fields for group in parse_relations(self.field(field)))

    def locked(self) -> DebPackage:
        """Return the package as a lock names it."""
        return DebPackage(
            name=self.name,
            version=self.version,
            architecture=self.field("Architecture"),
            archive=self.archive,
            path=self.field("Filename"),
            size=int(self.field("Size")),
            sha256=self.field("SHA256"),
        )


@dataclass(frozen=True, slots=True)
class Release:
    """A verified release: what the lock says of it, and its index as (size in bytes, SHA-256)."""

    signed: SignedRelease
    index: tuple[int, str]


def suites_of(suite: str) -> tuple[tuple[Alias, str], ...]:
    """Return the archives and suites that make up the current state of a suite."""
    return (
        ("debian", suite),
        ("debian", f"{suite}-updates"),
        ("debian-security", f"{suite}-security"),
    )


def fetch_release(archive: Alias, suite: str, site: Site, downloader: Downloader, now: datetime) -> Release:
    """Return the newest release of a suite from the first place that has it.

    `now` is the time that the release must be valid at. Raises FetchError, LockError when it cannot be trusted.
    """
    failures: list[FetchError] = []
    for base in archive_bases(archive, now, site):
        url = f"{base}/dists/{suite}/InRelease"
        try:
            data = downloader.get(url)
        except FetchError as error:
            failures.append(error)
        else:
            return read_release(data, archive, suite, url, now)
    raise FetchError(
        f"no mirror offers Debian's {suite}: " + "; ".join(error.message for error in failures),
        hint=failures[-1].hint if failures else f'the configuration names no mirror for "{archive}"',
        transient=any(error.transient for error in failures),
    )


def read_release(
    data: bytes, archive: Alias, suite: str, origin: str, now: datetime, keyring: Path = KEYRING
) -> Release:
    """Return what an InRelease file says once its signature, its suite and its dates have been checked.

    `origin` is for messages. Raises LockError. Source: Debian wiki, DebianRepository/Format.
    """
    text, signers = verified(data, origin, keyring)
    fields = {name.decode(): value.decode("utf-8", "replace").strip() for name, value in _FIELD.findall(text)}
    if fields.get("Codename") != suite:
        raise LockError(
            f"{origin} is the release of {printable(fields.get('Codename', 'nothing'))}, not of {suite}",
            hint="the mirror serves another suite under this name; configure another mirror",
        )
    date = _date(fields.get("Date", ""), origin)
    if date > now + _CLOCK_SLACK:
        raise LockError(
            f"{origin} is dated {date:%Y-%m-%d}, later than this host's clock", hint="set the host's clock"
        )
    # A suite that gets no updates any more has no such date: nothing would renew it. Its signature still counts.
    if "Valid-Until" in fields and _date(fields["Valid-Until"], origin) < now:
        raise LockError(
            f"{origin} was valid until {printable(fields['Valid-Until'])} only",
            hint="the mirror is out of date, or this host's clock is wrong",
        )
    signed = SignedRelease(
        archive=archive,
        suite=suite,
        date=date,
        sha256=hashlib.sha256(data).hexdigest(),
        signed_by=signers,
    )
    return Release(signed, _index_of(fields.get("SHA256", ""), origin))


def _date(text: str, origin: str) -> datetime:
    try:
        # Debian writes "UTC" where the mail format has "+0000".
        return parsedate_to_datetime(text.replace("UTC", "+0000")).astimezone(UTC)
    except ValueError as error:
        raise LockError(f"{origin} holds {printable(text)!r} where a date should be") from error


def _index_of(checksums: str, origin: str) -> tuple[int, str]:
    for line in checksums.splitlines():
        match = _CHECKSUM.match(line)
        if match and match[3] == _INDEX:
            return int(match[2]), match[1]
    raise LockError(f"{origin} names no {_INDEX}: the suite does not hold packages for {ARCHITECTURE}")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The newest version of every package of a suite, the essential ones, and who provides which virtual package."""

    suite: str
    packages: Mapping[str, Package]
    essential: tuple[str, ...]
    providers: Mapping[str, tuple[tuple[str, str], ...]]  # (package, provided version or "")


def fetch_catalogue(
    releases: Iterable[Release], site: Site, downloader: Downloader, store: Store, progress: Progress
) -> Catalogue:
    """Return the packages of all releases together; the newest version of each wins."""
    releases = tuple(releases)
    wanted = [
        Wanted(
            f"Debian's list of packages of {release.signed.suite}",
            tuple(
                f"{base}/dists/{release.signed.suite}/{place}"
                for base in archive_bases(release.signed.archive, release.signed.date, site)
                # By its hash first: under its plain name the file may already belong to the next release.
                for place in (f"{_INDEX.rpartition('/')[0]}/by-hash/SHA256/{release.index[1]}", _INDEX)
            ),
            release.index[1],
            release.index[0],
        )
        for release in releases
    ]
    downloader.fetch_all(wanted, store, progress, "Fetching Debian's lists of packages")
    packages: dict[str, Package] = {}
    for release, item in zip(releases, wanted, strict=True):
        with lzma.open(store.archive(item.sha256)) as stream:  # its hash stands in the signed release
            add_stanzas(packages, _stanzas(stream), release.signed.archive)
    return make_catalogue(releases[0].signed.suite, packages)


def _stanzas(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the stanzas of an index, which is too long to be held in memory twice."""
    rest = b""
    while piece := stream.read(_PIECE):
        *whole, rest = (rest + piece).split(b"\n\n")
        yield from whole
    yield rest


def add_stanzas(packages: dict[str, Package], stanzas: Iterable[bytes], archive: Alias) -> None:
    """Add an index's packages; of two versions the newer one stays."""
    for stanza in stanzas:
        if not stanza.startswith(b"Package: "):
            continue
        name = stanza[9 : stanza.find(b"\n")].decode("ascii", "replace")
        package = Package(archive, stanza)
        known = packages.get(name)
        if known is None or version_key(package.version) > version_key(known.version):
            packages[name] = package


def make_catalogue(suite: str, packages: Mapping[str, Package]) -> Catalogue:
    """Return the packages with what can be asked of them as a whole."""
    essential: list[str] = []
    providers: dict[str, list[tuple[str, str]]] = {}
    for name, package in sorted(packages.items()):
        if b"\nEssential: yes" in package.stanza:
            essential.append(name)
        if b"\nProvides:" in package.stanza:
            for (
                provided,
                *_,
            ) in package.relations("Provides"):
                providers.setdefault(provided.name, []).append((name, provided.version))
    return Catalogue(suite, packages, tuple(essential), {name: tuple(by) for name, by in providers.items()})
