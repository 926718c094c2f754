"""A record with files, as an archive tells of it: what the archives beside Zenodo have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec

from reprolake_builder.documents.base import FolderInside
from reprolake_builder.documents.source import Address, FilesSource, RecordPin
from reprolake_builder.download import Offer
from reprolake_builder.errors import ResolveError
from reprolake_builder.git_tree import TreeError, check_path
from reprolake_builder.process import printable
from reprolake_builder.providers.files import Offering, pin_files
from reprolake_builder.providers.interface import LinkRequest, checked_subdir
from reprolake_builder.tools import Tools

L = TypeVar("L")
_Name = Annotated[FolderInside, msgspec.Meta(min_length=1)]
_KINDS = ("sha256", "md5", "sha1", "sha512")


@dataclass(frozen=True, slots=True)
class Deposit:
    """One version of a record: `page` is for people, `date` (UTC, None when not told) when it was
    published or changed, which `date_is` says.

    `asked` is what the link named where that may mean another version tomorrow, and `chain` tells how this one was found.
    """

    site: str
    id: str
    page: str
    files: tuple[Offer, ...]
    date: datetime | None
    date_is: str
    doi: str = ""
    version: str = ""
    title: str = ""
    asked: str = ""
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DepositProvider(Generic[L]):
    """An archive whose records are files: `parse` reads a link, which is None or "" for one of others; `find` asks for it.

    `find` returns None where the host, once asked, is no such archive. Both raise ResolveError.
    """

    parse: Callable[[str], L | None]
    find: Callable[[L, LinkRequest, Tools], Deposit | None]

    def recognises(self, link: str) -> bool:
        """Whether the link is one to a record of the archive."""
        return bool(self.parse(link))

    def resolve(self, request: LinkRequest, tools: Tools) -> FilesSource | None:
        """Return the record's files, None when the host is no such archive. Raises ResolveError and FetchError."""
        link = self.parse(request.link)
        deposit = self.find(link, request, tools) if link else None
        return pin_deposit(deposit, request, tools) if deposit is not None else None


def offered(name: str, url: str, size: int | None, checksum: str) -> Offer:
    """Return a file of a record; `checksum` is like md5:… or sha1:…, "" or another kind where none can be checked."""
    kind, _, digits = checksum.lower().partition(":")
    sha256, md5, sha1, sha512 = (digits if kind == one else "" for one in _KINDS)
    return Offer(name, url, size, sha256=sha256, md5=md5, sha1=sha1, sha512=sha512)


def told_apart(named: Sequence[tuple[object, str]]) -> tuple[str, ...]:
    """Return the names of files, given with their ids: those that several have stand in a folder of the file's id each."""
    often = Counter(name for _, name in named)
    return tuple(name if often[name] == 1 else f"{id_}/{name}" for id_, name in named)


def moment(text: str | None) -> datetime | None:
    """Return a time that an archive tells (UTC where it says no zone), None for anything else."""
    try:
        found = datetime.fromisoformat(text or "")
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # the latter in the first and last hours of time
        return None


def shortened(text: str) -> str:
    """Return what an archive says in words, fit for a document and a terminal."""
    return printable(text).replace("\n", " ").replace("\t", " ")[:500]


def refuse_moving(what: str, today: str, hint: str) -> None:
    """Raise ResolveError: `locked` follows no name that may mean something else tomorrow."""
    raise ResolveError(
        f"{what} may mean something else tomorrow, today {today}: --locked follows no such name", hint=hint
    )


def pin_deposit(deposit: Deposit, request: LinkRequest, tools: Tools) -> FilesSource:
    """Return the record's files as a source; they are fetched for that, and their checksums proven.

    Raises ResolveError for a wish that such a record cannot meet, FetchError for files that cannot be had.
    """
    _check(deposit, request, tools)
    offering = Offering(
        url=deposit.page,
        offers=deposit.files,
        date=deposit.date,
        subdir=checked_subdir(request.subdir),
        record=RecordPin(
            site=deposit.site,
            id=deposit.id,
            doi=deposit.doi,
            version=deposit.version,
            title=deposit.title,
            asked=deposit.asked,
            state="archive only",
            chain=(
                *deposit.chain,
                f"{deposit.site} keeps files and names no repository: the files themselves are taken",
            ),
        ),
    )
    source = pin_files(offering, request.now, tools)
    if unproven := [printable(file.name) for file in deposit.files if not file.is_proven]:
        tools.progress.warn(
            f"{deposit.site} tells no checksum of {', '.join(unproven[:3])}{' and others' if len(unproven) > 3 else ''}: "
            "what arrived today is pinned"
        )
    return source if deposit.date is None else msgspec.structs.replace(source, date_is=deposit.date_is)


def _check(deposit: Deposit, request: LinkRequest, tools: Tools) -> None:
    """Return when the record can be what is asked for. Raises ResolveError."""
    named = f"{deposit.title or deposit.id} at {deposit.site}"
    if request.ref:
        raise ResolveError(
            f"--ref {printable(request.ref)} has no meaning for {named}, which is a record of files",
            hint="a version stands in the link itself",
        )
    if request.take == "repo":
        raise ResolveError(
            f"{named} names no repository that it came from",
            hint="leave --source away for its files, or give the repository itself",
        )
    if not deposit.files:
        raise ResolveError(
            f"{named} offers no files", hint="look at its page: they may be closed, or lie elsewhere"
        )
    for file in deposit.files:
        _check_file(file, named)
    for file in {urlsplit(file.url).netloc: file for file in deposit.files}.values():
        if tools.downloader.leads_inward(deposit.page, file.url):
            raise ResolveError(
                f"the file {printable(file.name)!r} of {named} lies at {printable(file.url)}, an address of this host or its network",
                hint="what is public must not lead in here; give that address itself when it is meant",
            )


def _check_file(file: Offer, named: str) -> None:
    """Return when a file may be fetched. Raises ResolveError for a name or an address that no source may hold."""
    try:
        msgspec.convert(file.name, _Name)
        msgspec.convert(file.url, Address)
        check_path(file.name.encode())
        urlsplit(file.url)
    except (msgspec.ValidationError, ValueError, TreeError) as error:
        raise ResolveError(
            f"the file {printable(file.name)!r} of {named} cannot be pinned: {error}"
        ) from error
