"""What an InvenioRDM site says of a record, asked with few questions.

Source: InvenioRDM's reference, "REST API: Records" (`GET /api/records/<id>`, `/files`), and Zenodo's, which answers the id of
a concept with a redirect to its newest version.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reprolake_builder.documents.base import content_hash
from reprolake_builder.errors import AnswerError, FetchError, ResolveError
from reprolake_builder.process import printable
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.providers.links.records import RecordLink, parse_record_link
from reprolake_builder.providers.records.record import Record, parse_files, parse_record
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

_LARGEST = 16 << 20  # bytes of one answer
_MOST_HOPS = 4
_NEWEST = "newest-versions"
_NOT_THERE = {404, 410}
_REFUSED = {401, 403}


@dataclass(frozen=True, slots=True)
class Found:
    """A record, and what was asked for where that was no version's own id or DOI ("" otherwise)."""

    record: Record
    asked: str = ""


def find_record(link: RecordLink, request: LinkRequest, tools: Tools) -> Found | None:
    """Return the record that the link names now; None when the site is not of this kind after all.

    Raises ResolveError: no such record, a site that cannot be reached, a name of the newest version where `locked` forbids
    to follow it.
    """
    try:
        named = _followed(link, tools)
        data = tools.downloader.get(
            f"{named.base}/api/records/{named.id}", accept="application/json", limit=_LARGEST
        )
    except AnswerError as error:
        if not link.is_certain and not error.transient:
            return None
        raise _refused(link, error) from error
    except FetchError as error:
        raise ResolveError(error.message, hint=error.hint, transient=error.transient) from error
    record = parse_record(data, named.site, named.base)
    if record is None:
        if not link.is_certain:
            return None
        raise ResolveError(
            f"{link.base} answers with something else than a record",
            hint="it may be closed for maintenance: open the link in a browser",
        )
    found = Found(_with_files(record, named.base, tools), _moving(link, record))
    if found.asked:
        _follow_newest(found, request, tools.store)
    return found


def _followed(link: RecordLink, tools: Tools) -> RecordLink:
    """Return the link to the record that a badge or another page leads to."""
    address = link.page
    for _ in range(_MOST_HOPS if address else 0):
        address = tools.downloader.leads_to(address)
        named = parse_record_link(address) if address else None
        if named is not None and named.site == link.site and named.id:
            return named
        if named is None or named.site != link.site:
            break
        address = named.page
    if link.page:
        raise ResolveError(
            f"{link.page} leads to no record of {link.site}", hint="give the record's own page or its DOI"
        )
    return link


def _moving(link: RecordLink, record: Record) -> str:
    """Return what was asked for when another version may be meant by it tomorrow, "" for a version's own id or DOI."""
    if link.id == record.id or (link.doi and link.doi.lower() == record.doi.lower()):
        return ""
    return link.asked


def _follow_newest(found: Found, request: LinkRequest, store: Store) -> None:
    """Remember which version a concept stands for; with `locked` that is for the user to say."""
    record = found.record
    key = content_hash([record.site, found.asked])
    if not request.locked:
        store.put(_NEWEST, key, record.doi or record.id)
        return
    known = store.get(_NEWEST, key, str)
    newest = record.doi or f"{record.site} record {record.id}"
    was = f"; the last time it was {printable(known)}" if known and known != record.doi else ""
    raise ResolveError(
        f"{found.asked} names all versions of a record and today the newest, {newest}{was}: --locked follows no such name",
        hint=f"give the version that is meant: {printable(known) if known else newest}",
    )


def _with_files(record: Record, base: str, tools: Tools) -> Record:
    """Return the record with its files; older shapes and restricted records do not list them."""
    if record.files:
        return record
    try:
        data = tools.downloader.get(
            f"{base}/api/records/{record.id}/files", accept="application/json", limit=_LARGEST
        )
    except AnswerError as error:
        if error.status in _NOT_THERE | _REFUSED:
            return record
        raise ResolveError(error.message, hint=error.hint, transient=error.transient) from error
    except FetchError as error:
        raise ResolveError(error.message, hint=error.hint, transient=error.transient) from error
    return replace(record, files=parse_files(data, record, base))


def _refused(link: RecordLink, error: AnswerError) -> ResolveError:
    what = link.doi or f"the record {link.id or link.page}"
    if error.status == 410:
        return ResolveError(
            f"{what} was removed from {link.site}", hint="its page there says why, and who can be asked"
        )
    if error.status in _NOT_THERE:
        return ResolveError(
            f"{link.site} has no record {link.id or link.asked}",
            hint="check the number; a draft that is not published has none",
        )
    if error.status in _REFUSED:
        return ResolveError(f"{what} of {link.site} is not open to you: {error.message}", hint=error.hint)
    return ResolveError(error.message, hint=error.hint, transient=error.transient)
