"""The resolve stage: a link becomes a PinnedSource."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from reprolake_builder.denied import denied
from reprolake_builder.documents.source import GitSource, PinnedSource
from reprolake_builder.errors import ResolveError
from reprolake_builder.process import printable
from reprolake_builder.providers.address import AddressProvider
from reprolake_builder.providers.deposits.ckan import CKAN
from reprolake_builder.providers.deposits.dataverse import DATAVERSE
from reprolake_builder.providers.deposits.doi import DoiProvider
from reprolake_builder.providers.deposits.figshare import FIGSHARE
from reprolake_builder.providers.deposits.hydroshare import HYDROSHARE
from reprolake_builder.providers.git.pages import resolve_page
from reprolake_builder.providers.git.provider import GitProvider, with_parts
from reprolake_builder.providers.heritage.provider import HeritageProvider
from reprolake_builder.providers.interface import LinkRequest, Provider, Resolved, one_answer
from reprolake_builder.providers.links.viewer import parse_viewer_link
from reprolake_builder.providers.links.web import login_in, parse_web_link
from reprolake_builder.providers.local.provider import LocalProvider
from reprolake_builder.providers.mercurial.provider import MercurialProvider
from reprolake_builder.providers.records.provider import InvenioProvider
from reprolake_builder.tools import Tools

LOCAL = LocalProvider()
ADDRESS = AddressProvider()
GIT = GitProvider()
MERCURIAL = MercurialProvider()
ARCHIVES: tuple[Provider, ...] = (
    HeritageProvider(),
    FIGSHARE,
    DATAVERSE,
    HYDROSHARE,
    InvenioProvider(),
)
"""Archives that know their links by their text; a DOI that none of them knows leads to one of them, or names one."""

PROVIDERS: tuple[Provider, ...] = (
    LOCAL,
    *ARCHIVES,
    DoiProvider(ARCHIVES),
    ADDRESS,
    MERCURIAL,
    CKAN,
    GIT,
)
"""Every kind of source, asked in this order."""

_PAGE_OF_ARCHIVE = re.compile(
    r"https?://(?:[\w-]+\.)*(?:zenodo\.org|figshare\.com|hydroshare\.org|dataverse\.harvard\.edu|joss\.theoj\.org|doi\.org|"
    r"arxiv\.org)(?:/.*)?"
)
_NAME_OF_ARCHIVE = re.compile(
    r"(?:doi|info|hdl|arxiv|zenodo|zenodo-sandbox|figshare):(?!//).+", re.IGNORECASE | re.DOTALL
)
_ASK = "ask its owner for access, or work as a user who has it"
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)+/\S+")


def resolve(request: LinkRequest, tools: Tools) -> PinnedSource:
    """Return what the link means now: a commit or the content of a folder, never a moving name.

    Raises ResolveError when the link names nothing that can be pinned.
    """
    return resolve_link(request, tools).source


def resolve_link(request: LinkRequest, tools: Tools) -> Resolved:
    """Return what the link means now, as `resolve` does, and the notebook that it names, relative to the source's sub-folder.

    Raises ResolveError, also when that notebook lies outside of the sub-folder that was asked for.
    """
    link = request.link
    if not link.strip():
        raise ResolveError("the link is empty", hint="for the folder that you are in give .")
    if "\0" not in link and (why := denied(link)):
        raise ResolveError(f"{printable(link)} cannot be read: {why}", hint=_ASK)
    notebook = ""
    if not LOCAL.recognises(link) and (viewer := parse_viewer_link(link)):
        ref = one_answer("ref", viewer.ref, request.ref, "--ref")
        request, notebook = replace(request, link=viewer.link, ref=ref), viewer.notebook
    found = _resolve(request, tools)
    source = found.source
    if isinstance(source, GitSource):
        source = with_parts(source, tools, login_in(request.link), request.ignore)
    return _within(Resolved(source, found.notebook or notebook))


def _resolve(request: LinkRequest, tools: Tools) -> Resolved:
    link = request.link
    if not LOCAL.recognises(link) and (page := parse_web_link(link)):
        if request.sha256:
            raise _no_file(link)
        if MERCURIAL.recognises(link) and (changeset := MERCURIAL.resolve(request, tools)) is not None:
            return Resolved(changeset, MERCURIAL.notebook_in(link))  # Heptapod's pages are GitLab's
        return resolve_page(page, request, tools)
    for provider in PROVIDERS:
        if provider.recognises(link) and not (provider is GIT and _is_of_archive(link)):
            if request.sha256 and provider is not ADDRESS:
                raise _no_file(link)
            source = provider.resolve(request, tools)
            if source is not None:
                if isinstance(provider, HeritageProvider | MercurialProvider):
                    return Resolved(source, provider.notebook_in(link))
                return Resolved(source)
    raise _not_understood(link)


def _is_of_archive(link: str) -> bool:
    """Whether a link that no archive knows is one of theirs all the same: git would take it for a server."""
    return bool(_PAGE_OF_ARCHIVE.fullmatch(link) or _NAME_OF_ARCHIVE.fullmatch(link))


def _no_file(link: str) -> ResolveError:
    return ResolveError(
        f"--sha256 is for the address of an archive, and {printable(link)} is none", hint="leave it away"
    )


def _within(found: Resolved) -> Resolved:
    """Return the same with the notebook's path relative to the sub-folder."""
    subdir = found.source.subdir
    if not subdir or not found.notebook:
        return found
    if not found.notebook.startswith(f"{subdir}/"):
        raise ResolveError(
            f"the link's notebook {printable(found.notebook)} is not in the folder {printable(subdir)}",
            hint="leave --subdir away, or name a folder that the notebook is in",
        )
    return Resolved(found.source, found.notebook.removeprefix(f"{subdir}/"))


def _not_understood(link: str) -> ResolveError:
    shown = printable(link)
    if _PAGE_OF_ARCHIVE.fullmatch(link):
        return ResolveError(
            f"{shown} is a page of an archive, and no record",
            hint="give the record's own page or its DOI",
        )
    if _NAME_OF_ARCHIVE.fullmatch(link):
        return ResolveError(
            f"{shown} names nothing that is known",
            hint="names look like doi:10.5281/zenodo.4055175, zenodo:4055175 or arXiv:1412.6980; "
            "a git server that is called so is ssh://HOST/PATH",
        )
    folder, _, ref = link.rpartition("@")
    if folder and "\0" not in link and os.path.isdir(folder):
        return ResolveError(
            f"{printable(folder)} is a folder, whose files are taken as they are on disk",
            hint=f"for a committed state give the repository: file://{printable(str(Path(folder).resolve()))}@{printable(ref)}",
        )
    if "\0" not in link and os.path.isfile(link):
        return ResolveError(
            f"{shown} is a file", hint="give the folder that it lies in, or a lock made by `reprolake lock`"
        )
    place, hash_, subdir = link.partition("#subdirectory=")
    if hash_ and "\0" not in link and os.path.isdir(place):
        return ResolveError(
            f"{printable(place)} is a folder", hint=f"for a folder in it add --subdir {printable(subdir)}"
        )
    if link.endswith(".lock") and "://" not in link:
        return ResolveError(
            f"there is no lock {shown} here",
            hint="check the path; `reprolake lock LINK -o FILE` makes a lock",
        )
    hint = "give a folder, a git URL such as https://HOST/PATH@REF, a record's DOI, an archive's address with --sha256, or a lock"
    if _HOST.fullmatch(link):
        hint = f"for a git repository write https://{shown}"
    return ResolveError(f"{shown!r} is neither a folder here nor a git URL", hint=hint)
