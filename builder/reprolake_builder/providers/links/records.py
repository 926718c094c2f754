"""Links to records of Zenodo and of other InvenioRDM sites, in every form that people paste, read without asking anybody.

Source: Zenodo's addresses (record, records, api/records, doi, badge) of before and since its move to InvenioRDM in 2023;
InvenioRDM's routes `/records/<id>`, `/api/records/<id>`, `/doi/<doi>`, and its ids: numbers at Zenodo, elsewhere ten
characters of Crockford's base 32 in two halves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from reprolake_builder.providers.links.dois import parse_doi
from reprolake_builder.providers.links.web import FORGES

ZENODO = "zenodo.org"
SANDBOX = "sandbox.zenodo.org"
CALTECH = "data.caltech.edu"
SITES: Mapping[str, str] = {
    "zenodo.org": ZENODO,
    "www.zenodo.org": ZENODO,
    "sandbox.zenodo.org": SANDBOX,
    "data.caltech.edu": CALTECH,
    "www.data.caltech.edu": CALTECH,
    "repository.cern": "repository.cern",
}
"""Hosts that are known to be InvenioRDM sites, with the names that their records are recorded under."""

_PREFIXES: Mapping[str, str] = {"10.22002": CALTECH, "10.17181": "repository.cern"}
_ZENODO_DOI = re.compile(r"(10\.5281|10\.5072)/zenodo\.(\d{1,15})(?:\.svg)?", re.IGNORECASE)
_OTHER_DOI = re.compile(r"(10\.\d{4,9})/(.+)")
_NUMBER = r"\d{1,15}"
_HALVES = r"[0-9a-hjkmnp-tv-z]{5}-[0-9a-hjkmnp-tv-z]{5}"
_ID = re.compile(rf"{_NUMBER}|{_HALVES}")
_SHORT = re.compile(rf"(?:zenodo|(?P<sandbox>zenodo-sandbox|sandbox)):\s?({_NUMBER})", re.IGNORECASE)
_PAGE = re.compile(rf"/(?:api/)?records?/({_NUMBER}|{_HALVES})(?:/(.*))?")
_FILE = re.compile(r"(?:files|preview)/(.+?)(?:/content)?")
_BADGE_DOI = re.compile(r"/badge/doi/(.+?)(?:\.svg)?", re.IGNORECASE)
_BADGE = re.compile(r"/badge/(?:latestdoi/)?\d{1,15}(?:\.svg)?", re.IGNORECASE)
_DOI_PAGE = re.compile(r"/doi/(10\.\d{4,9}/.+)", re.IGNORECASE)
_BARE = re.compile(r"(?:www\.|sandbox\.)?zenodo\.org/.+|data\.caltech\.edu/.+", re.IGNORECASE | re.DOTALL)
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class RecordLink:
    """A record of a site, which may turn out to be a concept: a name for whichever version is the newest.

    `site` is its host, with a port where the link has one, and `base` the address that the site's paths follow. Of `id` and
    `page` one is there: the record's id, or an address at the site that leads on to a record (a badge, a DOI of another
    prefix). `doi` is the one that was given, `file` the one file that the link names.
    """

    site: str
    base: str
    id: str = ""
    page: str = ""
    doi: str = ""
    file: str = ""

    @property
    def is_certain(self) -> bool:
        """Whether the site is known to be one of this kind; another one has to be asked first."""
        return self.site in SITES.values()

    @property
    def asked(self) -> str:
        """What was asked for, in few words."""
        return self.doi or self.id or self.page.removeprefix(self.base + "/")


def parse_record_link(text: str) -> RecordLink | None:
    """Return the record that the text names, or None when it names none."""
    text = text.strip()
    if len(text) > _LONGEST or not text.isprintable():
        return None
    if short := _SHORT.fullmatch(text):
        return _at(SANDBOX if short["sandbox"] else ZENODO, id_=short[2])
    if doi := parse_doi(text):
        return parse_record_doi(doi)
    return _parse_address(f"https://{text}" if _BARE.fullmatch(text) else text)


def parse_record_doi(doi: str) -> RecordLink | None:
    """Return the record that a DOI names by its own text: that of Zenodo's DOIs is the record's number."""
    if found := _ZENODO_DOI.fullmatch(doi):
        site = ZENODO if found[1] == "10.5281" else SANDBOX
        return _at(site, id_=found[2], doi=f"{found[1]}/zenodo.{found[2]}")
    other = _OTHER_DOI.fullmatch(doi)
    site = _PREFIXES.get(other[1], "") if other else ""
    if not site or other is None:
        return None
    if _ID.fullmatch(other[2].lower()):
        return _at(site, id_=other[2].lower(), doi=doi)
    # Records from before the site's move have other DOIs: the site knows where they are now.
    return RecordLink(site, f"https://{site}", page=f"https://{site}/doi/{doi}", doi=doi)


def _parse_address(text: str) -> RecordLink | None:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in {"https", "http"} or not re.fullmatch(r"[a-z0-9.-]+", host) or host in FORGES:
        return None
    site = SITES.get(host, "")
    base = f"https://{site}" if site else f"{parts.scheme}://{host}{f':{port}' if port else ''}"
    path = re.sub(r"/{2,}", "/", unquote(parts.path)).rstrip("/.,;)]}>\"'")
    if not path.isprintable():
        return None
    if found := _PAGE.fullmatch(path):
        return _page(parts, base, found[1], found[2] or "")
    return _known_page(site, path) if site else None


def _page(parts: SplitResult, base: str, id_: str, rest: str) -> RecordLink | None:
    """Return the record of an address; on a host that is not known only what a record's own addresses look like."""
    site = base.partition("://")[2]
    named = _FILE.fullmatch(rest)
    if site not in SITES.values() and (parts.username or "@" in parts.path or rest.endswith(".git")):
        return None
    if rest.startswith("versions/latest") or rest == "latest":
        return RecordLink(site, base, page=f"{base}/records/{id_}/latest")
    return RecordLink(site, base, id=id_, file=named[1] if named else "")


def _known_page(site: str, path: str) -> RecordLink | None:
    if found := _BADGE_DOI.fullmatch(path) or _DOI_PAGE.fullmatch(path):
        doi = parse_doi(found[1])
        if own := parse_record_doi(doi):
            return own
        return RecordLink(site, f"https://{site}", page=f"https://{site}/doi/{doi}", doi=doi) if doi else None
    if _BADGE.fullmatch(path):
        return RecordLink(site, f"https://{site}", page=f"https://{site}{path}")
    return None


def _at(site: str, id_: str, doi: str = "") -> RecordLink:
    return RecordLink(site, f"https://{site}", id=id_, doi=doi)
