"""Files from elsewhere into the store: connections are kept, files come side by side, hashes are checked on arrival."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from reprolake_builder.connection import PIECE, Connection
from reprolake_builder.documents.base import Sha256
from reprolake_builder.errors import FetchError
from reprolake_builder.progress import SILENT, Progress
from reprolake_builder.site import Site
from reprolake_builder.store import Store

_SIDE_BY_SIDE = 8
_SMALL = 256 << 20  # bytes: more is no index


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of known content: `urls` are tried in order; `name` is for messages; `size` in bytes."""

    name: str
    urls: tuple[str, ...]
    sha256: Sha256
    size: int


class Downloader:
    """Fetches with one kept-alive session per thread."""

    def __init__(self, site: Site, progress: Progress = SILENT) -> None:
        self._connection = Connection(site, progress)

    def get(self, url: str, *, accept: str = "*/*", limit: int = _SMALL) -> bytes:
        """Return a small document of at most `limit` bytes. Raises FetchError, transient when the network or the server failed."""
        whole = bytearray()
        for piece in self._pieces(url, accept):
            whole += piece
            if len(whole) > limit:
                raise FetchError(f"{url} is larger than {limit >> 20} MiB, which such an answer never is")
        return bytes(whole)

    def part(self, url: str, first: int, length: int) -> bytes:
        """Return bytes of a file by their place in it. Raises FetchError, also for a server that gives no parts."""
        asked = f"bytes={first}-{first + length - 1}"
        with self._connection.answer(url, {"Accept": "*/*", "Range": asked}) as answer:
            if answer.status_code != 206 or not answer.headers.get("Content-Range", "").startswith(
                f"bytes {first}-"
            ):
                raise FetchError(f"{url} is not given in parts")
            found = bytearray()
            for piece in answer.iter_content(min(length, PIECE)):
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
        return urljoin(url, target) if target else ""

    def fetch_all(self, wanted: Sequence[Wanted], store: Store, progress: Progress, label: str) -> None:
        """Bring every file that the store lacks, or has with other bytes, into it, side by side; the first failure ends the call."""
        items = {item.sha256: item for item in wanted}
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:  # 2 GB/s each
            sound = pool.map(store.has_sound_archive, items)
            missing = [item for item, is_here in zip(items.values(), sound, strict=True) if not is_here]
        if not missing:
            return
        with (
            progress.step(label, sum(item.size for item in missing)) as step,
            concurrent.futures.ThreadPoolExecutor(_SIDE_BY_SIDE) as pool,
        ):
            jobs = [pool.submit(self.fetch, item, store, step.advance) for item in missing]
            try:
                for job in concurrent.futures.as_completed(jobs):
                    job.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def fetch(self, item: Wanted, store: Store, advance: Callable[[int], object] | None = None) -> Path:
        """Bring one file into the store and return its host path. Raises FetchError naming every place that was tried."""
        tell = advance or (lambda _: None)
        failures: list[FetchError] = []
        for url in item.urls:
            try:
                return store.add_archive(
                    _told(self._pieces(url, "*/*"), tell, item.size), item.sha256, item.name
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

    def _pieces(self, url: str, accept: str) -> Iterator[bytes]:
        if url.startswith("file:"):
            yield from _local_pieces(Path(unquote(urlsplit(url).path)))
            return
        yield from self._connection.pieces(url, accept)


def _told(pieces: Iterator[bytes], advance: Callable[[int], object], limit: int) -> Iterator[bytes]:
    """Pass pieces on, report them, and stop reading what is longer than was promised."""
    seen = 0
    for piece in pieces:
        seen += len(piece)
        if seen > limit:
            raise FetchError(f"more than the promised {limit} bytes arrived")
        advance(len(piece))
        yield piece


def _local_pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            while piece := stream.read(PIECE):
                yield piece
    except OSError as error:
        raise FetchError(f"{path} cannot be read: {error.strerror}") from error
