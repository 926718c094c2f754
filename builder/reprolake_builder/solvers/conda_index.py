"""What a conda channel offers: its indexes, kept in the store and asked for again only when they changed.

Source: conda's documentation, "Repodata"; RFC 8878 for `.zst`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reprolake_builder.archives.zstandard import ZstdDecoder
from reprolake_builder.conda.channels import channel_bases
from reprolake_builder.documents.base import Document, Moment, Sha256, content_hash
from reprolake_builder.documents.conda import CondaChannel, Subdir
from reprolake_builder.errors import AnswerError, FetchError
from reprolake_builder.progress import Step
from reprolake_builder.tools import Tools

SUBDIRS: tuple[Subdir, ...] = ("linux-64", "noarch")
_FORMS = ("repodata.json.zst", "repodata.json")
_KIND = "conda-indexes"
_LARGEST = 2 << 30  # bytes, unpacked: the largest channel there is has a fifth of that
_PIECE = 1 << 20
_ABSENT = {403, 404, 410}


class _Kept(Document, frozen=True, kw_only=True):
    """An index as it was fetched (UTC): `sha256` of what it unpacks to, file name and mark of that state at its server."""

    sha256: Sha256
    form: str
    mark: str
    fetched: Moment


@dataclass(frozen=True, slots=True)
class Index:
    """The index of one folder of a channel: a JSON file in the store (host path), and its SHA-256."""

    channel: CondaChannel
    subdir: Subdir
    path: Path
    sha256: Sha256


def fetch_indexes(channel: CondaChannel, tools: Tools) -> tuple[Index, ...]:
    """Return the channel's indexes from the first of its addresses that has one; the store's where none can be reached.

    Raises FetchError naming every address that was tried.
    """
    failures: list[FetchError] = []
    for base in channel_bases(channel, tools.site):
        try:
            found = [_fetch(channel, subdir, base, tools) for subdir in SUBDIRS]
        except FetchError as error:
            failures.append(error)
            continue
        if present := tuple(index for index in found if index is not None):
            return present
        failures.append(
            FetchError(f"{base} is no conda channel: neither {' nor '.join(SUBDIRS)} has an index")
        )
    raise FetchError(
        f"the conda channel {channel.name} cannot be read: " + "; ".join(one.message for one in failures),
        hint=f'say where it is with [conda] channels = {{"{channel.name}" = "ADDRESS"}} in reprolake.toml (an address or file://FOLDER)',
        transient=any(one.transient for one in failures),
    )


def find_channel(channel: CondaChannel, tools: Tools) -> str:
    """Return the first address of a channel at which it is; nothing of it is kept. Raises FetchError where it is at none."""
    failures: list[FetchError] = []
    for base in channel_bases(channel, tools.site):
        for subdir in SUBDIRS:
            for form in _FORMS:
                try:
                    tools.downloader.changed(f"{base}/{subdir}/{form}", "")
                except FetchError as error:
                    failures.append(error)
                else:
                    return base
    raise failures[-1]


def _fetch(channel: CondaChannel, subdir: Subdir, base: str, tools: Tools) -> Index | None:
    """Return the index of a folder, None when the channel has no such folder."""
    store = tools.store
    key = content_hash(f"{base}/{subdir}")
    kept = store.get(_KIND, key, _Kept)
    if kept is not None and not store.has_sound_archive(kept.sha256):
        kept = None
    try:
        found = _renewed(f"{base}/{subdir}", kept, tools)
    except FetchError as error:
        if kept is None or not error.transient:
            raise
        tools.progress.warn(f"{error.message}; its index of {kept.fetched:%Y-%m-%d %H:%M} UTC is used")
        found = kept
    if found is None:
        return None
    if found != kept:
        store.put(_KIND, key, found)
        if kept is not None and kept.sha256 != found.sha256:
            store.discard(store.archive(kept.sha256))
    return Index(channel, subdir, store.archive(found.sha256), found.sha256)


def _renewed(folder: str, kept: _Kept | None, tools: Tools) -> _Kept | None:
    """Return the index at that address as it is now, `kept` where that is still the same, None where there is none."""
    for form in _FORMS:
        url = f"{folder}/{form}"
        mark = kept.mark if kept is not None and kept.form == form else ""
        try:
            found = tools.downloader.changed(url, mark)
        except AnswerError as error:
            if error.status in _ABSENT:
                continue
            raise
        if found is None:
            return kept
        mark, pieces = found
        with tools.progress.step(f"Fetching {'/'.join(url.split('/')[-3:])}") as step:
            told = _advancing(pieces, step)
            unpacked = _unpacked(told, url) if form.endswith(".zst") else _limited(told, url)
            sha256 = tools.store.keep_archive(unpacked, lambda _: None)
        return _Kept(sha256=sha256, form=form, mark=mark, fetched=datetime.now(UTC))
    return None


def _advancing(pieces: Iterator[bytes], step: Step) -> Iterator[bytes]:
    for piece in pieces:
        step.advance(len(piece))
        yield piece


def _limited(pieces: Iterator[bytes], url: str) -> Iterator[bytes]:
    seen = 0
    for piece in pieces:
        seen += len(piece)
        if seen > _LARGEST:
            raise FetchError(f"{url} is larger than {_LARGEST >> 20} MiB, which no index is")
        yield piece


def _unpacked(pieces: Iterator[bytes], url: str) -> Iterator[bytes]:
    decoder = ZstdDecoder()

    def unpack() -> Iterator[bytes]:
        for piece in pieces:
            data = piece
            while not decoder.eof:
                if out := decoder.decompress(data, _PIECE):
                    yield out
                data = b""
                if decoder.needs_input:
                    break
        if not decoder.eof:
            raise FetchError(f"{url} ends in the middle", transient=True)

    try:
        yield from _limited(unpack(), url)
    except ValueError as error:
        raise FetchError(f"{url} is damaged: {error}") from error
