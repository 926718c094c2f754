"""Figshare's articles: their links, and what the API says of one version.

Source: figshare's API documentation, "View article details", "Public Article Version", "List article files" and, of one's own
account, "View Article" and "List Article Files".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import msgspec

from reprolake_builder.documents.source import FilesSource
from reprolake_builder.download import Offer
from reprolake_builder.errors import ResolveError
from reprolake_builder.git_tree import MOST_ENTRIES
from reprolake_builder.providers.answers import ask
from reprolake_builder.providers.deposits.deposit import (
    Deposit,
    DepositProvider,
    moment,
    offered,
    pin_deposit,
    refuse_moving,
    shortened,
    told_apart,
)
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.providers.links.dois import parse_doi, same_doi
from reprolake_builder.tools import Tools

SITE = "figshare.com"
API = "https://api.figshare.com/v2/articles"
_OWN = "https://api.figshare.com/v2/account/articles"
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
    embargo_reason: str | None = None
    files: tuple[File, ...] = ()


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


def find_article(link: FigshareLink, request: LinkRequest, tools: Tools) -> Deposit:
    """Return the version of an article that the link names, the newest where it names none. Raises ResolveError."""
    if link.collection:
        raise ResolveError(
            "a collection or project of figshare is a list of articles",
            hint="give the article that holds the software",
        )
    place = f"{API}/{link.article}" + (f"/versions/{link.version}" if link.version else "")
    article = ask(tools, place, Article)
    if article is None or article.id != link.article or (link.version and article.version != link.version):
        raise ResolveError(
            f"figshare has no article {link.article}"
            + (f" of version {link.version}" if link.version else ""),
            hint="check the number at the end of the link; a draft that is not published has none",
        )
    named = f"figshare article {article.id}, version {article.version}"
    place = f"{API}/{article.id}/versions/{article.version}"
    if article.is_confidential or article.is_embargoed:
        article, place = _owned(article, named, tools), f"{_OWN}/{article.id}"
    doi = parse_doi(article.doi)
    chain: tuple[str, ...] = ()
    if not link.version:
        chain = (f"figshare article {article.id} has the newest version {article.version}",)
        tools.progress.note(f"No version was given: {chain[0]}")
        if request.locked:
            refuse_moving(
                f"figshare article {article.id}", f"version {article.version}", f"give the version: {doi}"
            )
    return Deposit(
        site=SITE,
        id=f"{article.id}.v{article.version}",
        page=f"https://{SITE}/articles/_/{article.id}/{article.version}",
        files=_kept(_files(article, place, tools), named, tools),
        date=moment(article.published_date),
        date_is="published",
        doi=doi,
        version=str(article.version),
        title=shortened(article.title),
        asked="" if link.version else f"figshare article {article.id}",
        chain=chain,
    )


def _owned(article: Article, named: str, tools: Tools) -> Article:
    """Return a closed article as those see it whose account it is in. Raises ResolveError when the token's is another."""
    own = ask(tools, f"{_OWN}/{article.id}", Article) if tools.site.token_for(_OWN) is not None else None
    if own is not None and (own.id, own.version) == (article.id, article.version):
        return own
    why = shortened(article.embargo_reason or "") or "no reason is given"
    raise ResolveError(
        f"{named} is closed: {why}",
        hint="its authors can give access, or say until when it is; from its own account FIGSHARE_TOKEN opens it",
    )


def _files(article: Article, place: str, tools: Tools) -> tuple[File, ...]:
    """Return all files: the article itself, at `place`, tells the first ones only."""
    found: list[File] = []
    while len(found) < MOST_ENTRIES:
        asked = f"{place}/files?page={len(found) // PAGE_SIZE + 1}&page_size={PAGE_SIZE}"
        page = ask(tools, asked, tuple[File, ...])
        found += page or ()
        if page is None or len(page) < PAGE_SIZE:
            break
    return tuple(found) or article.files


def _kept(files: tuple[File, ...], named: str, tools: Tools) -> tuple[Offer, ...]:
    elsewhere = [file.name for file in files if file.is_link_only]
    if elsewhere:
        tools.progress.warn(
            f"{named} only links to {shortened(', '.join(elsewhere))}, which figshare does not keep: left out"
        )
    kept = [file for file in files if not file.is_link_only]
    names = told_apart([(file.id, file.name) for file in kept])
    return tuple(
        offered(name, file.download_url, file.size, f"md5:{file.computed_md5 or file.supplied_md5 or ''}")
        for name, file in zip(names, kept, strict=True)
    )


FIGSHARE = DepositProvider(parse_figshare_link, find_article)
"""Articles of figshare, or of an institute's part of it."""


class PortalProvider:
    """A page that a DOI leads to and whose path is that of an article: of an institute's figshare on a host of its own."""

    def __init__(self, doi: str) -> None:
        self._doi = doi

    def recognises(self, link: str) -> bool:
        """Whether the address may be such a page."""
        return parse_portal_link(link) is not None

    def resolve(self, request: LinkRequest, tools: Tools) -> FilesSource | None:
        """Return the article's files, None when figshare's article of that number has another DOI. Raises as above."""
        link = parse_portal_link(request.link)
        article = ask(tools, f"{API}/{link.article}", Article) if link else None
        if (
            link is None
            or article is None
            or not same_doi(_unversioned(article.doi), _unversioned(self._doi))
        ):
            return None
        return pin_deposit(find_article(link, request, tools), request, tools)


def _unversioned(doi: str) -> str:
    return re.sub(r"\.v\d+$", "", doi)
