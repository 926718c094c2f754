"""Files from elsewhere into the store: connections are kept, files come side by side, hashes are checked on arrival."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ipaddress
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from reprolake_builder.credentials import Credentials, without_login
from reprolake_builder.documents.base import Sha256
from reprolake_builder.errors import AnswerError, FetchError
from reprolake_builder.process import printable
from reprolake_builder.progress import Progress
from reprolake_builder.site import Site
from reprolake_builder.store import Store

if TYPE_CHECKING:
    import requests

_PIECE = 1 << 18
_SIDE_BY_SIDE = 8
_TIMEOUT = (15, 60)  # seconds to connect, and between two pieces
_RETRIES = 3
_MOST_HOPS = 10
_LOGIN_HINT = "a login for that host can stand in ~/.netrc, in the configured address, or in a keyring"
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

    def __init__(self, site: Site) -> None:
        self._site = site
        self._credentials = Credentials(site)
        self._local = threading.local()

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
        with self._answer(url, {"Accept": "*/*", "Range": asked}) as answer:
            if answer.status_code != 206 or not answer.headers.get("Content-Range", "").startswith(
                f"bytes {first}-"
            ):
                raise FetchError(f"{url} is not given in parts")
            found = bytearray()
            for piece in answer.iter_content(min(length, _PIECE)):
                found += piece
                if len(found) > length:
                    raise FetchError(f"{url} gives more than the part that was asked for")
        if len(found) != length:
            raise FetchError(f"{url} gives less than the part that was asked for", transient=True)
        return bytes(found)

    def leads_to(self, url: str) -> str:
        """Return the address that a URL leads on to, which is not followed; "" when it leads nowhere. Raises FetchError."""
        with self._answer(url, {"Accept": "*/*"}, follow=False) as answer:
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
        with self._answer(url, {"Accept": accept}) as answer:
            yield from answer.iter_content(_PIECE)

    @contextlib.contextmanager
    def _answer(
        self, url: str, headers: Mapping[str, str], *, follow: bool = True
    ) -> Iterator[requests.Response]:
        """Yield a server's answer, once it is known to be none that refuses.

        Redirects are followed here, so that each address on the way gets its own gateway, proxy and login.
        """
        import requests

        for _ in range(_MOST_HOPS):
            at = self._through_gateway(url)
            place = without_login(at)
            try:
                with self._session().get(
                    place,
                    stream=True,
                    timeout=_TIMEOUT,
                    headers=dict(headers),
                    auth=self._credentials.find(at),
                    proxies=None if is_direct(place, self._site.no_proxy) else dict(self._site.proxies),
                    verify=self._site.ca_bundle or None,
                    allow_redirects=False,
                ) as answer:
                    if not (follow and answer.is_redirect):
                        _check_answer(answer, place)
                        yield answer
                        return
                    url = urljoin(url, answer.headers["Location"])
            except (
                OSError
            ) as error:  # requests' own errors are some; a CA bundle that is not there is a plain one
                raise FetchError(
                    f"{place} cannot be reached: {_reason(error)}",
                    hint="check the network, the proxy and the CA bundle (`reprolake doctor` shows what is used)",
                    transient=isinstance(error, requests.RequestException),
                ) from error
            if not url.startswith(("https://", "http://")):
                raise FetchError(f"{place} leads on to {printable(url[:200])}, which is no web address")
        raise FetchError(f"{url} leads on and on: more than {_MOST_HOPS} times")

    def _through_gateway(self, url: str) -> str:
        gateway = self._site.gateways.get((urlsplit(url).hostname or "").lower())
        return "/".join([gateway, *url.split("/", 3)[3:]]) if gateway else url

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            import requests
            from requests.adapters import HTTPAdapter
            from urllib3.util.retry import Retry

            session = requests.Session()
            session.headers["User-Agent"] = "reprolake"
            session.headers["Accept-Encoding"] = "identity"
            session.trust_env = False  # the site says all; variables would win over it
            retry = Retry(
                _RETRIES, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504), raise_on_status=False
            )
            session.mount("https://", HTTPAdapter(max_retries=retry))
            session.mount("http://", HTTPAdapter(max_retries=retry))
            self._local.session = session
        return session


def _check_answer(answer: requests.Response, place: str) -> None:
    if not answer.ok:
        raise AnswerError(
            f"{place} answers {answer.status_code} {printable(answer.reason or '')}",
            hint=_LOGIN_HINT if answer.status_code in {401, 403} else "",
            transient=answer.status_code in {408, 429} or answer.status_code >= 500,
            status=answer.status_code,
        )
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        # Not asked for, and a little of it could be unpacked to very much.
        raise FetchError(f"{place} is sent compressed, which was not asked for")


def is_direct(url: str, no_proxy: Sequence[str]) -> bool:
    """Whether a URL's host is among those that no proxy is for: names, domains, addresses, networks, with or without a port; or `*`."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    for entry in no_proxy:
        name, _, port = entry.lower().rpartition(":") if entry.count(":") == 1 else (entry.lower(), "", "")
        if port and port != str(parts.port or {"http": 80, "https": 443}.get(parts.scheme)):
            continue
        domain = name.lstrip("*").lstrip(".")
        if name == "*" or (domain and (host == domain or host.endswith(f".{domain}"))):
            return True
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
    return False


def _reason(error: BaseException) -> str:
    """Return what went wrong at the bottom: the libraries between wrap it in the names of their own classes."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return getattr(error, "strerror", None) or str(error)


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
            while piece := stream.read(_PIECE):
                yield piece
    except OSError as error:
        raise FetchError(f"{path} cannot be read: {error.strerror}") from error
