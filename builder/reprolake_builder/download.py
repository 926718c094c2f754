"""Files from elsewhere into the store: connections are kept, files come side by side, hashes are checked on arrival."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ipaddress
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from reprolake_builder.credentials import Credentials, without_login
from reprolake_builder.documents.base import Sha256
from reprolake_builder.errors import FetchError
from reprolake_builder.progress import Progress
from reprolake_builder.site import Site
from reprolake_builder.store import Store

if TYPE_CHECKING:
    import requests

_PIECE = 1 << 18
_SIDE_BY_SIDE = 8
_TIMEOUT = (15, 60)  # seconds to connect, and between two pieces
_RETRIES = 3
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

    def get(self, url: str, *, accept: str = "*/*") -> bytes:
        """Return a small document. Raises FetchError, transient when the network or the server failed."""
        whole = bytearray()
        for piece in self._pieces(url, accept):
            whole += piece
            if len(whole) > _SMALL:
                raise FetchError(f"{url} is larger than {_SMALL >> 20} MiB, which no index is")
        return bytes(whole)

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
        import requests

        url = self._through_gateway(url)
        place = without_login(url)
        try:
            with self._session().get(
                place,
                stream=True,
                timeout=_TIMEOUT,
                headers={"Accept": accept},
                auth=self._credentials.find(url),
                proxies=None if is_direct(place, self._site.no_proxy) else dict(self._site.proxies),
                verify=self._site.ca_bundle or None,
            ) as answer:
                if not answer.ok:
                    raise FetchError(
                        f"{place} answers {answer.status_code} {answer.reason}",
                        hint=_LOGIN_HINT if answer.status_code in {401, 403} else "",
                        transient=answer.status_code in {408, 429} or answer.status_code >= 500,
                    )
                if answer.headers.get("Content-Encoding", "identity") != "identity":
                    # Not asked for, and a little of it could be unpacked to very much.
                    raise FetchError(f"{url} is sent compressed, which was not asked for")
                yield from answer.iter_content(_PIECE)
        except (
            OSError
        ) as error:  # requests' own errors are some; a CA bundle that is not there is a plain one
            raise FetchError(
                f"{place} cannot be reached: {_reason(error)}",
                hint="check the network, the proxy and the CA bundle (`reprolake doctor` shows what is used)",
                transient=isinstance(error, requests.RequestException),
            ) from error

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
