"""Where a locked Debian package can be fetched from."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from reprolake_builder.documents.lock import DebPackage, SignedRelease
from reprolake_builder.download import Wanted
from reprolake_builder.errors import FetchError
from reprolake_builder.site import Site

# The dated archive takes its picture some hours after a release, and a date leads to the picture before it.
_PICTURE_TAKEN = timedelta(hours=6)
_YEARS = range(1993, 9999)


def archive_bases(archive: str, moment: datetime, site: Site) -> tuple[str, ...]:
    """Return the base URLs of an archive's alias, dated archives as they were at `moment`."""
    stamp = moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return tuple(base.rstrip("/").replace("{date}", stamp) for base in site.archives.get(archive, ()))


def pictures_of(releases: Iterable[SignedRelease]) -> dict[str, datetime]:
    """Return the times at which dated archives have what was released, by alias."""
    dates: dict[str, datetime] = {}
    for release in releases:
        if release.date.year in _YEARS:
            dates[release.archive] = max(release.date, dates.get(release.archive, release.date))
    return {archive: date + _PICTURE_TAKEN for archive, date in dates.items()}


def wanted_debs(
    packages: Iterable[DebPackage], releases: Iterable[SignedRelease], site: Site
) -> tuple[Wanted, ...]:
    """Return the packages as files to fetch: from the configured mirrors, then from the dated archive.

    Raises FetchError for packages of an archive that no release is named of, as in a lock that was changed by hand.
    """
    pictures = pictures_of(releases)
    packages = tuple(packages)
    for package in packages:
        if package.archive not in pictures:
            raise FetchError(
                f"the lock names no release of the archive {package.archive}, which {package.name} is from",
                hint="the lock was changed by hand; make a new one with `reprolake lock`",
            )
    return tuple(
        Wanted(
            f"the Debian package {package.name} {package.version}",
            tuple(
                f"{base}/{package.path}"
                for base in archive_bases(package.archive, pictures[package.archive], site)
            ),
            package.sha256,
            package.size,
        )
        for package in packages
    )
