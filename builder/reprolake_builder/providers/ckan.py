"""CKAN's data sets: links to them on any portal, and what the API says of one.

Source: CKAN's API guide, package_show. A data set may change at any time; a resource may lie on any host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

import msgspec

_PATH = re.compile(r"(?P<base>/.*?)??/dataset/(?:(?:activity|groups)/)?(?P<id>[\w.-]{1,256})(?:/.*)?")
_API = re.compile(r"(?P<base>/.*?)??/api/(?:3/)?action/package_show/?")
_ID = re.compile(r"[\w.-]{1,256}")
_CHECKSUM = re.compile(r"(?:(md5|sha-?1|sha-?256|sha-?512)[:-])?([0-9a-f]{32,128})", re.IGNORECASE)
_LENGTHS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}


@dataclass(frozen=True, slots=True)
class CkanLink:
    """A data set of a portal (`portal` is its base URL), by name or id; `past` where an earlier state of it is named."""

    portal: str
    dataset: str
    past: bool = False

    @property
    def question(self) -> str:
        """The address at which the API tells of it."""
        return f"{self.portal}/api/3/action/package_show?id={quote(self.dataset)}"


class Resource(msgspec.Struct, frozen=True):
    """A file of a data set, or a link to something else."""

    id: str
    url: str | None = None
    name: str | None = None
    hash: str | None = None
    size: int | str | float | None = None
    url_type: str | None = None
    state: str | None = "active"

    @property
    def checksum(self) -> str:
        """The hash as ALGORITHM:DIGITS, "" where none is given that is understood."""
        found = _CHECKSUM.fullmatch(self.hash or "")
        if found is None:
            return ""
        kind = _LENGTHS.get(len(found[2]), "")
        said = (found[1] or kind).lower().replace("-", "")
        return f"{kind}:{found[2].lower()}" if kind and said == kind else ""

    @property
    def basename(self) -> str:
        """The last part of the address, its id where there is none."""
        return unquote(urlsplit(self.url or "").path.rpartition("/")[2]) or self.id


class Package(msgspec.Struct, frozen=True):
    """A data set."""

    id: str
    name: str = ""
    title: str | None = None
    version: str | None = None
    metadata_modified: str | None = None
    private: bool = False
    resources: tuple[Resource, ...] = ()


class PackageAnswer(msgspec.Struct, frozen=True):
    """The answer to package_show."""

    success: bool
    result: Package


def parse_ckan_link(text: str) -> CkanLink | None:
    """Return the data set that an address may name on any host, None when its path is no data set's."""
    try:
        parts = urlsplit(text)
        host = f"{(parts.hostname or '').lower()}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return None
    if parts.scheme not in {"https", "http"} or not host or "@" in parts.netloc:
        return None
    path = unquote(parts.path)
    if found := _API.fullmatch(path):
        named = parse_qs(parts.query).get("id", [""])[-1]
        return (
            CkanLink(f"{parts.scheme}://{host}{found['base'] or ''}", named) if _ID.fullmatch(named) else None
        )
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    past = "activity_id" in parse_qs(parts.query)
    return CkanLink(f"{parts.scheme}://{host}{found['base'] or ''}", found["id"], past)
