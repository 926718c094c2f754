"""What an index says about one package. Source: the simple repository API (PEP 503, 691) with upload times (PEP 700)."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from reprolake_builder.download import Downloader
from reprolake_builder.errors import FetchError
from reprolake_builder.solvers.pypi_target import Target

_JSON = "application/vnd.pypi.simple.v1+json"


class IndexFile(msgspec.Struct, frozen=True, rename="kebab"):
    """A file that an index offers; `size` in bytes."""

    filename: str
    url: str = ""
    hashes: dict[str, str] = {}
    size: int | None = None
    upload_time: datetime | None = None
    yanked: bool | str = False
    requires_python: str | None = None

    @property
    def is_wheel(self) -> bool:
        """Whether it is a wheel."""
        return self.filename.endswith(".whl")

    @property
    def uploaded(self) -> datetime | None:
        """The time of upload in UTC, None where the index does not tell."""
        time = self.upload_time
        return time if time is None or time.tzinfo else time.replace(tzinfo=UTC)

    @property
    def version(self) -> Version | None:
        """Its version, or None for files of kinds that nobody installs any more."""
        try:
            if self.is_wheel:
                return parse_wheel_filename(self.filename)[1]
            return parse_sdist_filename(self.filename)[1]
        except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
            return None

    def is_open(self, target: Target) -> bool:
        """Whether it is for that Python."""
        try:
            return self.requires_python is None or SpecifierSet(self.requires_python).contains(target.version)
        except InvalidSpecifier:
            return True


class _Page(msgspec.Struct, frozen=True):
    files: tuple[IndexFile, ...]


def read_page(
    index: str, name: NormalizedName, downloader: Downloader, *, withdrawn: bool = False
) -> tuple[IndexFile, ...] | None:
    """Return all files of a package, `withdrawn` ones or none of them; None when the index has no such page, or not as JSON.

    `index` is the URL without a slash at its end. Raises FetchError (transient) when it cannot be reached.
    """
    if not index.startswith(("https://", "http://")):
        return None
    try:
        page = msgspec.json.decode(downloader.get(f"{index}/{name}/", accept=_JSON), type=_Page)
    except msgspec.DecodeError:
        return None
    except FetchError as error:
        if error.transient:
            raise
        return None
    return tuple(file for file in page.files if withdrawn or not file.yanked)
