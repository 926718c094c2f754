"""Figshare's articles: their links, and what the API says of one version.

Source: figshare's API documentation, "View article details", "Public Article Version" and "List article files".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import msgspec

from reprolake_builder.providers.dois import parse_doi

SITE = "figshare.com"
API = "https://api.figshare.com/v2/articles"
PAGE_SIZE = 1000
_DOI = re.compile(r"10\.6084/m9\.figshare\.(?:c\.)?(\d{1,18})(?:\.v(\d{1,9}))?", re.IGNORECASE)
_PATH = re.compile(r"/(?:account/)?articles/(?:[a-z_]+/)?[^/]+/(\d{1,18})(?:/(\d{1,9}))?/?")
_SHORT_PATH = re.compile(r"/(?:account/)?articles/(\d{1,18})(?:/(\d{1,9}))?/?")
_API_PATH = re.compile(r"/v2/articles/(\d{1,18})(?:/versions/(\d{1,9}))?/?(?:files/?)?")
_COLLECTION = re.compile(r"/(?:account/)?(?:collections|projects|s)/.*")


@dataclass(frozen=True, slots=True)
class FigshareLink:
    """An article; `version` is 0 where the link names none, `collection` where it is of several articles."""

    article: int
    version: int = 0
    collection: bool = False


class File(msgspec.Struct, frozen=True):
    """A file of an article; one that is only a link lies elsewhere."""

    id: int
    name: str
    size: int
    download_url: str = ""
    is_link_only: bool = False
    computed_md5: str | None = None
    supplied_md5: str | None = None


class Article(msgspec.Struct, frozen=True):
    """One version of an article; `files` are the first of them."""

    id: int
    version: int
    title: str = ""
    doi: str = ""
    url_public_html: str = ""
    published_date: str | None = None
    is_embargoed: bool = False
    is_confidential: bool = False
    is_metadata_record: bool = False
    embargo_reason: str | None = None
    files: tuple[File, ...] = ()
    folder_structure: dict[str, str] | None = None


def parse_figshare_link(text: str) -> FigshareLink | None:
    """Return the article that a DOI or a page's address names, None when it is no link to figshare."""
    if doi := parse_doi(text):
        found = _DOI.fullmatch(doi)
        return _link(found, collection="figshare.c." in doi.lower()) if found else None
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").lower()
    except ValueError:
        return None
    if parts.scheme not in {"https", "http"} or (host != SITE and not host.endswith(f".{SITE}")):
        return None
    path = unquote(parts.path)
    if _COLLECTION.fullmatch(path):
        return FigshareLink(0, collection=True)
    return _link(
        (_API_PATH if host.startswith("api.") else _SHORT_PATH).fullmatch(path) or _PATH.fullmatch(path)
    )


def parse_portal_link(text: str) -> FigshareLink | None:
    """Return the article that a page of an institute's own figshare, on any host, may be about; None for another path."""
    try:
        return _link(_PATH.fullmatch(unquote(urlsplit(text).path)))
    except ValueError:
        return None


def _link(found: re.Match[str] | None, *, collection: bool = False) -> FigshareLink | None:
    return FigshareLink(int(found[1]), int(found[2] or 0), collection) if found else None
