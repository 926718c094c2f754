"""DOIs and handles of which only their resolver knows where they lead, and papers, which lead to the software they name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

import msgspec

from reprolake_builder.documents.source import FilesSource, GitSource, HeritageSource, PinnedSource
from reprolake_builder.errors import ResolveError
from reprolake_builder.inward import leads_inward
from reprolake_builder.process import printable
from reprolake_builder.providers.answers import ask
from reprolake_builder.providers.deposits.figshare import PortalProvider
from reprolake_builder.providers.deposits.paper import Described, describe_doi
from reprolake_builder.providers.interface import LinkRequest, Provider
from reprolake_builder.providers.links.dois import parse_doi
from reprolake_builder.tools import Tools

_HANDLE = re.compile(r"(?:hdl:|https?://hdl\.handle\.net/)(\d[\d.]*/[^\s?#]+)", re.IGNORECASE)
_ZENODO = re.compile(
    r"10\.(5281|5072)/zenodo\b", re.IGNORECASE
)  # one with its number is a record's, and not left to us
_MOST_SHOWN = 5


class Value(msgspec.Struct, frozen=True):
    """The data of a handle's value; an address is a text."""

    value: object = None


class HandleValue(msgspec.Struct, frozen=True):
    """One of a handle's values."""

    type: str
    data: Value


class HandleAnswer(msgspec.Struct, frozen=True):
    """What the resolver knows of a handle."""

    values: tuple[HandleValue, ...] = ()


class DoiProvider:
    """A DOI or handle whose own text names no archive; `archives` are asked whether its address is one of theirs."""

    def __init__(self, archives: Sequence[Provider]) -> None:
        self._archives = archives

    def recognises(self, link: str) -> bool:
        """Whether the link is a DOI or a handle."""
        return bool(parse_doi(link) or _HANDLE.fullmatch(link.strip()))

    def resolve(self, request: LinkRequest, tools: Tools) -> PinnedSource:
        """Return what the archive has that the DOI leads to, or the software that a paper names. Raises ResolveError."""
        doi = parse_doi(request.link)
        handle = _HANDLE.fullmatch(request.link.strip())
        name = doi or (handle[1] if handle else "")
        if _ZENODO.match(name):
            raise ResolveError(
                f"{printable(name)} is no DOI of Zenodo: those end in the number of the record",
                hint="copy it from the record's page; it looks like 10.5281/zenodo.4055175",
            )
        address = _address(name, f"https://{'doi.org' if doi else 'hdl.handle.net'}/api/handles", tools)
        if (source := self._at(address, name, request, tools)) is not None:
            return _told(source, name, f"{name} leads to {printable(address)}")
        described = describe_doi(doi, tools) if doi else None
        if described is None:
            raise ResolveError(
                f"{name} leads to {printable(address)}, which is no record of a known archive",
                hint="give the page of the software itself, or its git repository",
            )
        if len(described.software) != 1:
            raise ResolveError(f"{name} is {described.what}; {_named(described)}", hint=_choose(described))
        software = described.software[0]
        if request.locked:
            raise ResolveError(
                f"{name} is {described.what}, whose software may be named otherwise tomorrow: --locked follows no such name",
                hint=f"give the software itself: {software}",
            )
        tools.progress.note(f"{name} is {described.what}; its software is {software}")
        source = self._at(software, software, request, tools)
        if source is None:
            source = self._at(
                _address(software, "https://doi.org/api/handles", tools), software, request, tools
            )
        if source is None:
            raise ResolveError(
                f"{name} is {described.what}; its software is {software}, which is no record of a known archive",
                hint="open that DOI in a browser, and give the git repository it names",
            )
        return _told(source, name, f"{name} is {described.what}; it names its software {software}")

    def _at(self, link: str, name: str, request: LinkRequest, tools: Tools) -> PinnedSource | None:
        asked = replace(request, link=link)
        for archive in (*self._archives, PortalProvider(name)):
            if archive.recognises(link) and (source := archive.resolve(asked, tools)) is not None:
                return source
        return None


def _address(name: str, resolver: str, tools: Tools) -> str:
    """Return the address that the resolver has for a name. Raises ResolveError for none, and for one that nobody outside can mean."""
    found = ask(tools, f"{resolver}/{quote(name, safe='/')}?type=URL", HandleAnswer)
    values = [item.data.value for item in found.values if item.type == "URL"] if found else []
    address = next((value for value in values if isinstance(value, str) and value.isprintable()), "")
    if not address:
        raise ResolveError(
            f"{name} is not registered, or leads nowhere",
            hint="check its digits; letters of either case are one",
        )
    if leads_inward(resolver, address, tools.site.gateways):
        raise ResolveError(
            f"{name} leads to {printable(address)}, an address of this host or its network",
            hint="give that address itself when it is meant",
        )
    return address


def _told(source: PinnedSource, name: str, step: str) -> PinnedSource:
    """Return the source with the name that was asked for, and how it was followed."""
    if not isinstance(source, GitSource | FilesSource | HeritageSource) or source.record is None:
        return source
    record = msgspec.structs.replace(source.record, asked=name, chain=(step, *source.record.chain))
    return msgspec.structs.replace(source, record=record)


def _named(described: Described) -> str:
    if described.software:
        return f"it names {len(described.software)} records of software"
    return "it names no software"


def _choose(described: Described) -> str:
    if described.software:
        return f"give the one that is meant: {', '.join(described.software[:_MOST_SHOWN])}"
    if described.repository:
        return f"its repository is {described.repository}"
    if described.other:
        return (
            f"it names {', '.join(described.other[:_MOST_SHOWN])}: if one of them is what you want, give that"
        )
    return "look in it for the software's own DOI or repository, and give that"
