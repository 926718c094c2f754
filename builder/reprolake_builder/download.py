"""Files from elsewhere into the store: connections are kept, files come side by side, hashes are checked on arrival."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from reprolake_builder.connection import ANYTHING, PIECE, Connection, Head, body_of, led_on
from reprolake_builder.documents.base import Document, Moment, Sha256, Size, content_hash
from reprolake_builder.errors import AnswerError, FetchError
from reprolake_builder.process import printable
from reprolake_builder.progress import SILENT, Progress, Step
from reprolake_builder.site import Site
from reprolake_builder.store import Store

T = TypeVar("T")
_SIDE_BY_SIDE = 8
_GUESTS = 4  # at once with an archive, which counts what one address asks of it
_LARGE = 100_000_000  # bytes: whoever waits for so much is told before
_MOST_BYTES = 1 << 40  # of a file of which nothing is told
_ARRIVALS = "arrivals"
_SMALL = 256 << 20  # bytes: more is no index
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of known content: `urls` are tried in order; `name` is for messages; `size` in bytes.

    `headers` are sent along, to the server of each URL and to none that it leads to.
    """

    name: str
    urls: tuple[str, ...]
    sha256: Sha256
    size: int
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Offer:
    """A file that somebody offers, with what is told of it: `size` in bytes, None and "" where nothing is.

    `name` is the file's path where it is going to lie, and for messages. `here` allows the `url` of a file of this host: only
    where the configuration named it, and no server.
    """

    name: str
    url: str
    size: int | None = None
    sha256: str = ""
    md5: str = ""
    sha1: str = ""
    sha512: str = ""
    here: bool = False

    @property
    def is_proven(self) -> bool:
        """Whether a checksum tells what the file holds."""
        return bool(self.sha256 or self.md5 or self.sha1 or self.sha512)


class Arrival(Document, frozen=True, kw_only=True):
    """What a file turned out to be when it was fetched: `size` in bytes; `modified` (UTC) as its server says, if it does."""

    sha256: Sha256
    size: Size
    modified: Moment | None = None


class Downloader:
    """Fetches with one kept-alive session per thread."""

    def __init__(self, site: Site, progress: Progress = SILENT) -> None:
        self._connection = Connection(site, progress)

    def get(self, url: str, *, accept: str = "*/*", limit: int = _SMALL) -> bytes:
        """Return a small document of at most `limit` bytes. Raises FetchError, transient when the network or the server failed."""
        whole = bytearray()
        for piece in self._pieces(url, {"Accept": accept}):
            whole += piece
            if len(whole) > limit:
                raise FetchError(f"{url} is larger than {limit >> 20} MiB, which such an answer never is")
        return bytes(whole)

    def post(
        self,
        url: str,
        body: bytes = b"",
        *,
        accept: str = "*/*",
        headers: Mapping[str, str] = NOTHING,
        limit: int = _SMALL,
    ) -> bytes:
        """Return the answer, of at most `limit` bytes, to a request with that body. Raises FetchError."""
        whole = bytearray()
        asked = {"Accept": accept, **headers}
        with self._connection.answer(url, asked, method="POST", body=body) as answer:
            for piece in body_of(answer, url):
                whole += piece
                if len(whole) > limit:
                    raise FetchError(f"{url} is larger than {limit >> 20} MiB, which such an answer never is")
        return bytes(whole)

    def pieces(self, url: str) -> Iterator[bytes]:
        """Yield a file of which nothing is known; it is for the caller to stop at what is too large. Raises FetchError."""
        return self._connection.pieces(url)

    def changed(self, url: str, mark: str) -> tuple[str, Iterator[bytes]] | None:
        """Return a file and the mark of its state; None when that is still the state that `mark` stands for ("" for none).

        Raises FetchError, also while the file is read. Source: RFC 9110, section 13.1.
        """
        if url.startswith("file:"):
            path = _local_path(url)
            try:
                state = path.stat()
            except OSError as error:
                raise AnswerError(f"{path} cannot be read: {error.strerror}", status=404) from error
            found = f"{state.st_mtime_ns} {state.st_size}"
            return None if found == mark else (found, _local_pieces(path))
        condition = "If-None-Match" if mark.startswith('"') else "If-Modified-Since"
        head, pieces = self._connection.opened(url, {**ANYTHING, **({condition: mark} if mark else {})})
        return None if head.unchanged and mark else (head.mark, pieces)

    def part(self, url: str, first: int, length: int) -> bytes:
        """Return bytes of a file by their place in it. Raises FetchError, also for a server that gives no parts."""
        asked = f"bytes={first}-{first + length - 1}"
        with self._connection.answer(url, {"Accept": "*/*", "Range": asked}) as answer:
            if answer.status_code != 206 or not answer.headers.get("Content-Range", "").startswith(
                f"bytes {first}-"
            ):
                raise FetchError(f"{url} is not given in parts")
            found = bytearray()
            for piece in body_of(answer, url):
                found += piece
                if len(found) > length:
                    raise FetchError(f"{url} gives more than the part that was asked for")
        if len(found) != length:
            raise FetchError(f"{url} gives less than the part that was asked for", transient=True)
        return bytes(found)

    def leads_to(self, url: str) -> str:
        """Return the address that a URL leads on to, which is not followed; "" when it leads nowhere. Raises FetchError."""
        with self._connection.answer(url, {"Accept": "*/*"}, follow=False) as answer:
            target = answer.headers.get("Location", "") if answer.is_redirect else ""
        return led_on(url, target) if target else ""

    def leads_inward(self, told_by: str, url: str) -> bool:
        """Whether a public place (`told_by`, a URL) names an address of this host or its network, or a name of this host."""
        return self._connection.leads_inward(told_by, url)

    def fetch_all(self, wanted: Sequence[Wanted], store: Store, progress: Progress, label: str) -> None:
        """Bring every file that the store lacks, or has with other bytes, into it, side by side; the first failure ends the call."""
        items = {item.sha256: item for item in wanted}
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:  # 2 GB/s each
            sound = pool.map(store.has_sound_archive, items)
            missing = [item for item, is_here in zip(items.values(), sound, strict=True) if not is_here]
        if not missing:
            return
        with progress.step(label, sum(item.size for item in missing)) as step:
            _side_by_side([partial(self.fetch, item, store) for item in missing], step, _SIDE_BY_SIDE)

    def fetch(self, item: Wanted, store: Store, advance: Callable[[int], object] | None = None) -> Path:
        """Bring one file into the store and return its host path. Raises FetchError naming every place that was tried."""
        tell = advance or (lambda _: None)
        failures: list[FetchError] = []
        for url in item.urls:
            try:
                return store.add_archive(
                    _told(self._pieces(url, {**ANYTHING, **dict(item.headers)}), tell, item.size, item.name),
                    item.sha256,
                    item.name,
                )
            except FetchError as error:
                failures.append(error)
        if not failures:
            raise FetchError(f"{item.name}: no place is known to fetch it from")
        raise FetchError(
            f"{item.name} could not be fetched: " + "; ".join(error.message for error in failures),
            hint=failures[-1].hint,
            transient=any(error.transient for error in failures),
        ) from failures[-1]

    def received(self, offer: Offer, store: Store) -> Arrival | None:
        """Return what an offered file of known content was when it came before, None when it did not, or is gone."""
        known = store.get(_ARRIVALS, _key(offer), Arrival) if offer.is_proven else None
        return known if known is not None and store.has_sound_archive(known.sha256) else None

    def receive(self, offer: Offer, store: Store, progress: Progress) -> Arrival:
        """Bring an offered file into the store and return what it is; one of known content that came before is not fetched again.

        Raises FetchError when it is not what the offer says, and when there is no room for it.
        """
        known = self.received(offer, store)
        return known if known is not None else self._receive(offer, store, progress)

    def receive_all(
        self, offers: Sequence[Offer], store: Store, progress: Progress, label: str
    ) -> tuple[Arrival, ...]:
        """Return what each of the offered files is, as `receive` does, in their order; a few come side by side.

        Raises FetchError: the first failure ends the call.
        """
        known = {offer: arrival for offer in offers if (arrival := self.received(offer, store)) is not None}
        missing = [offer for offer in dict.fromkeys(offers) if offer not in known]
        if len(missing) == 1:
            known[missing[0]] = self._receive(missing[0], store, progress)
        elif missing:
            sizes = [offer.size for offer in missing if offer.size is not None]
            make_room(sum(sizes), label, store, progress)
            with progress.step(label, sum(sizes) if len(sizes) == len(missing) else None) as step:
                work = [partial(self._receive_part, offer, store) for offer in missing]
                known |= zip(missing, _side_by_side(work, step, _GUESTS), strict=True)
        return tuple(known[offer] for offer in offers)

    def _receive_part(self, offer: Offer, store: Store, advance: Callable[[int], object]) -> Arrival:
        return self._receive(offer, store, _Within(advance))

    def _receive(self, offer: Offer, store: Store, progress: Progress) -> Arrival:
        head, pieces = self._opened(offer)
        if None not in {offer.size, head.length} and offer.size != head.length:
            raise FetchError(
                f"{printable(offer.name)} has {head.length} bytes, and not the {offer.size} that were told"
            )
        size = offer.size if offer.size is not None else head.length
        make_room(size or 0, f"Fetching {offer.name}", store, progress)
        with progress.step(f"Fetching {printable(offer.name)}", size) as step:
            counted = _told(pieces, step.advance, _MOST_BYTES if size is None else size, offer.name)
            sha256 = store.keep_archive(_proven(counted, offer), partial(_refuse_other, offer))
        arrived = Arrival(sha256=sha256, size=store.archive(sha256).stat().st_size, modified=head.modified)
        for asked in (offer, Offer(offer.name, offer.url, sha256=sha256)):
            store.put(_ARRIVALS, _key(asked), arrived)
        return arrived

    def _opened(self, offer: Offer) -> tuple[Head, Iterator[bytes]]:
        if not (offer.here and offer.url.startswith("file:")):
            return self._connection.opened(offer.url)
        path = _local_path(offer.url)
        try:
            size = path.stat().st_size
        except OSError as error:
            raise FetchError(f"{path} cannot be read: {error.strerror}") from error
        return Head(size, None), _local_pieces(path)

    def _pieces(self, url: str, headers: Mapping[str, str]) -> Iterator[bytes]:
        if url.startswith("file:"):
            yield from _local_pieces(_local_path(url))
            return
        yield from self._connection.pieces(url, headers)


class _Within(Progress):
    """Reports what is done to a step that is under way already."""

    def __init__(self, tell: Callable[[int], object]) -> None:
        self._tell = tell

    def advance(self, amount: int = 1) -> None:
        """Report that `amount` more is done."""
        self._tell(amount)

    @contextlib.contextmanager
    def step(self, label: str, total: int | None = None) -> Iterator[Step]:
        """Yield the step that is under way."""
        del label, total
        yield self


def _side_by_side(
    work: Sequence[Callable[[Callable[[int], object]], T]], step: Step, most: int
) -> tuple[T, ...]:
    """Return what each piece of work gives, at most so many at a time; what is under way when one fails ends at its next report."""
    ended = threading.Event()

    def advance(amount: int) -> None:
        if ended.is_set():
            raise FetchError("another download failed")
        step.advance(amount)

    with concurrent.futures.ThreadPoolExecutor(most) as pool:
        jobs = [pool.submit(one, advance) for one in work]
        try:
            for job in concurrent.futures.as_completed(jobs):
                job.result()
        except BaseException:
            ended.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return tuple(job.result() for job in jobs)


def make_room(size: int, what: str, store: Store, progress: Progress) -> None:
    """Tell of a large download of `size` bytes before it begins. Raises FetchError when the store's disk has no room for it."""
    if size < _LARGE:
        return
    place = next(folder for folder in (store.root, *store.root.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if size > free:
        raise FetchError(
            f"{printable(what)} takes {size / 1e9:.1f} GB, and the disk of the store {store.root} has {free / 1e9:.1f} GB left",
            hint="free some space, or choose another --store",
        )
    progress.note(f"{printable(what)}: {size / 1e6:.0f} MB")


def _key(offer: Offer) -> str:
    sums = [told.lower() for told in (offer.sha256, offer.md5, offer.sha1, offer.sha512)]
    return content_hash([offer.url, offer.size, *sums])


def _proven(pieces: Iterator[bytes], offer: Offer) -> Iterator[bytes]:
    """Pass pieces on. Raises FetchError at their end when size or checksums are not those of the offer."""
    told = {"MD5": offer.md5, "SHA-1": offer.sha1, "SHA-512": offer.sha512}
    digests = {name: hashlib.new(name.replace("-", ""), usedforsecurity=False) for name in told if told[name]}
    seen = 0
    for piece in pieces:
        for digest in digests.values():
            digest.update(piece)
        seen += len(piece)
        yield piece
    sums = [(f"the {name}", told[name].lower(), digest.hexdigest()) for name, digest in digests.items()]
    for what, expected, found in (("bytes", offer.size, seen), *sums):
        if expected not in {None, found}:
            raise FetchError(
                f"{printable(offer.name)} arrived with {what} {found}, and {expected} is what its record says",
                hint="the file was changed at its origin or on the way; nothing of it was kept",
            )


def _refuse_other(offer: Offer, sha256: Sha256) -> None:
    if offer.sha256 and offer.sha256.lower() != sha256:
        raise FetchError(
            f"{printable(offer.name)} arrived with SHA-256 {sha256}, and {offer.sha256.lower()} was asked for",
            hint="the file was changed at its origin or on the way; nothing of it was kept",
        )


def _told(
    pieces: Iterator[bytes], advance: Callable[[int], object], limit: int, name: str
) -> Iterator[bytes]:
    """Pass pieces on, report them, and stop reading what is longer than was promised."""
    seen = 0
    for piece in pieces:
        seen += len(piece)
        if seen > limit:
            raise FetchError(f"more than the promised {limit} bytes of {printable(name)} arrived")
        advance(len(piece))
        yield piece


def _local_path(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _local_pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            while piece := stream.read(PIECE):
                yield piece
    except OSError as error:
        raise FetchError(f"{path} cannot be read: {error.strerror}") from error
