"""Servers over HTTP, asked as a good guest asks: by name, in no hurry, and again when the line broke.

Source: RFC 9110, sections 10.2.3 (Retry-After), 13.1.5 (If-Range) and 14 (ranges); Zenodo's "X-RateLimit-Reset".
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from reprolake_builder.credentials import Credentials, same_origin, without_login
from reprolake_builder.errors import AnswerError, FetchError
from reprolake_builder.inward import host_of, is_inside, is_only_here, leads_inward
from reprolake_builder.no_proxy import is_direct
from reprolake_builder.process import printable
from reprolake_builder.progress import SILENT, Progress
from reprolake_builder.site import Site, is_private

if TYPE_CHECKING:
    import requests

PIECE = 1 << 18
ANYTHING: Mapping[str, str] = {"Accept": "*/*"}
_TIMEOUT = (10, 60)  # seconds to connect, and between two pieces
_RETRIES = 2  # of a connection that cannot be made
_ATTEMPTS = 5  # of an answer or a transfer
_LONGEST_WAIT = 120.0  # seconds
_TOLD_WAIT = 3.0  # seconds: shorter ones are nobody's business
_SLOW = 120  # seconds in which a server has to send a little at least
_LEAST = 120_000  # bytes: that little
_LONGEST_NUMBER = 18  # digits
_ENOUGH = 1 << 20  # bytes: whoever gave so many since the line broke may break it again
_MOST_HOPS = 10
_HARMLESS = {"Accept", "Content-Type", "Range", "If-Range"}
_BUSY = {408, 425, 429, 502, 503, 504}
_LOGIN_HINT = (
    "a login for that host can stand in ~/.netrc, in the configured address, or in a keyring; a token for GitHub, GitLab, Zenodo "
    "or Figshare in GITHUB_TOKEN, GITLAB_TOKEN, ZENODO_TOKEN or FIGSHARE_TOKEN, for a Dataverse in DATAVERSE_KEY with "
    "DATAVERSE_SERVER (one that is out of date is refused like none)"
)


@dataclass(frozen=True, slots=True)
class Head:
    """What an answer says of its body: its length in bytes (None when it does not), and when it was changed (UTC)."""

    length: int | None
    modified: datetime | None
    mark: str = ""  # what tells this state of the file from another one, "" for nothing
    unchanged: bool = False  # there is no body: it would be that of the state whose mark was sent

    @staticmethod
    def of(answer: requests.Response) -> Head:
        """Return what the answer's header fields say."""
        told = answer.headers.get("Content-Length", "")
        if answer.status_code == 206:
            told = answer.headers.get("Content-Range", "").rpartition("/")[2]
        stamp = answer.headers.get("Last-Modified", "")
        tag = answer.headers.get("ETag", "")
        # A weak tag says that two states are as good as each other, not that their bytes are the same.
        mark = tag if tag and not tag.startswith("W/") else stamp
        return Head(_number(told), _moment(stamp), mark, answer.status_code == 304)

    def may_be(self, other: Head) -> bool:
        """Whether the other head can be that of the same state of the file."""
        lengths = {head.length for head in (self, other)} - {None}
        return len(lengths) < 2 and len({head.mark for head in (self, other)} - {""}) < 2


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request but for its address."""

    headers: Mapping[str, str] = field(repr=False)
    follow: bool
    method: str
    body: bytes


class _ChangedError(FetchError):
    """A file is another one than the one that was begun."""


class Connection:
    """Sessions that are kept alive, one per thread; `patience` is the first wait in seconds where a server names none."""

    def __init__(self, site: Site, progress: Progress = SILENT, patience: float = 0.5) -> None:
        self._site = site
        self._patience = patience
        self._progress = progress
        self._credentials = Credentials(site)
        self._local = threading.local()

    def pieces(self, url: str, headers: Mapping[str, str] = ANYTHING) -> Iterator[bytes]:
        """Yield the body behind a URL; a broken transfer is taken up where it broke. Raises FetchError."""
        return self.opened(url, headers)[1]

    def opened(self, url: str, headers: Mapping[str, str] = ANYTHING) -> tuple[Head, Iterator[bytes]]:
        """Return what the server says of the body, and the body. Raises FetchError, both here and while it is read."""
        transfer = self._transfer(url, headers)
        head, _ = next(transfer)
        return head, (piece for _, piece in transfer)

    @contextlib.contextmanager
    def answer(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        follow: bool = True,
        method: str = "GET",
        body: bytes = b"",
    ) -> Iterator[requests.Response]:
        """Yield a server's answer, once it is known to be none that refuses; a busy server is asked again.

        Redirects are followed here, so that each address on the way gets its own gateway, proxy and login; a header that may
        open doors is for the server that it was given for, and no other.
        """
        asked = _Asked(headers, follow, method, body)
        for attempt in range(_ATTEMPTS):
            with contextlib.ExitStack() as stack:
                answer, place = stack.enter_context(self._hops(url, asked))
                busy = answer.status_code in _BUSY
                wait = _wait(answer) if busy else 0.0
                if not busy or wait > _LONGEST_WAIT or attempt + 1 == _ATTEMPTS:
                    _check(answer, place, wait)
                    yield answer
                    return
            self._pause(wait or self._patience * 2**attempt, place, f"answers {answer.status_code}")

    def _transfer(self, url: str, given: Mapping[str, str]) -> Iterator[tuple[Head, bytes]]:
        """Yield the head with each piece of the body, first with none."""
        head: Head | None = None
        done = broken_at = failures = 0
        while True:
            headers = dict(given)
            if head is not None:
                headers["Range"] = f"bytes={done}-"
                if head.mark:
                    headers["If-Range"] = head.mark
            try:
                with self.answer(url, headers) as answer:
                    found = Head.of(answer)
                    skip = done if head is not None else 0
                    if head is None:
                        head = found
                        yield head, b""
                    elif not head.may_be(found):
                        raise _ChangedError(f"{url} was changed while it was fetched", transient=True)
                    if answer.status_code == 206:
                        _check_range(answer, url, done)
                        skip = 0
                    for piece in body_of(answer, url):
                        kept = piece[skip:]
                        skip = max(0, skip - len(piece))
                        done += len(kept)
                        if kept:
                            yield head, kept
                    return
            except FetchError as error:
                failures = 1 if done - broken_at >= _ENOUGH else failures + 1
                broken_at = done
                # Without a head nothing was begun, and connecting was tried several times already.
                if (
                    not error.transient
                    or isinstance(error, AnswerError)
                    or head is None
                    or failures == _ATTEMPTS
                ):
                    raise
                self._pause(self._patience * 2**failures, url, "broke the transfer")

    def _pause(self, seconds: float, place: str, why: str) -> None:
        if seconds >= _TOLD_WAIT:
            self._progress.note(f"{urlsplit(place).hostname} {why}; trying again in {seconds:.0f} seconds")
        time.sleep(seconds)

    @contextlib.contextmanager
    def _hops(self, url: str, asked: _Asked) -> Iterator[tuple[requests.Response, str]]:
        import requests

        method, headers, first = asked.method, asked.headers, url
        for _ in range(_MOST_HOPS):
            _check_address(url)
            at = self._through_gateway(url)
            place = without_login(at)
            try:
                with self._session().request(
                    method,
                    place,
                    stream=True,
                    timeout=_TIMEOUT,
                    headers=dict(headers),
                    data=asked.body if method == "POST" else None,
                    auth=self._auth(url, at, first) if "Authorization" not in headers else None,
                    proxies=None if is_direct(place, self._site.no_proxy) else dict(self._site.proxies),
                    verify=self._site.ca_bundle or None,
                    allow_redirects=False,
                ) as answer:
                    if not (asked.follow and answer.is_redirect):
                        yield answer, place
                        return
                    url = led_on(url, answer.headers["Location"])
                    method = method if answer.status_code in {307, 308} else "GET"
                    self._refuse_inward(first, url, place)
                    if not same_origin(url, first):
                        headers = {name: headers[name] for name in headers if name in _HARMLESS}
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

    def _auth(self, url: str, at: str, first: str) -> Any:
        """Return the login for an address; one that somebody else named is sent none in the clear."""
        open_to_all = not same_origin(url, first) and not is_private(at)
        return None if open_to_all else self._credentials.auth(url, at)

    def leads_inward(self, told_by: str, url: str) -> bool:
        """Whether a public place names an address in here, as `inward.leads_inward` says, or a name that stands for this host."""
        if leads_inward(told_by, url, self._site.gateways):
            return True
        host, there = host_of(url), host_of(told_by)
        looked_up = is_direct(url, self._site.no_proxy) or urlsplit(url).scheme not in self._site.proxies
        return (
            looked_up
            and not same_origin(url, told_by)
            and not {host, there} & self._site.gateways.keys()
            and not is_inside(there)
            and is_only_here(host)
        )

    def _refuse_inward(self, first: str, url: str, place: str) -> None:
        """Return when a redirect may be followed. Raises FetchError for one from outside into here."""
        if self.leads_inward(first, url):
            raise FetchError(
                f"{place} leads on to {printable(url[:200])}, which is an address of this host or its network",
                hint="what is public must not lead in here; give that address itself when it is meant",
            )

    def _through_gateway(self, url: str) -> str:
        gateway = self._site.gateways.get((urlsplit(url).hostname or "").lower())
        return "/".join([gateway, *url.split("/", 3)[3:]]) if gateway else url

    def _session(self) -> requests.Session:
        if getattr(self._local, "session", None) is None:
            from http.cookiejar import DefaultCookiePolicy

            import requests
            from requests.adapters import HTTPAdapter
            from urllib3.util.retry import Retry

            class Session(requests.Session):
                def get_redirect_target(self, resp: requests.Response) -> None:
                    """Say nothing: redirects are followed here, and `requests` fails at addresses that are none."""

            session: requests.Session = Session()
            session.headers["User-Agent"] = _agent()
            session.headers["Accept-Encoding"] = "identity"
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # they know no ports
            session.trust_env = False  # the site says all; variables would win over it
            retry = Retry(_RETRIES, backoff_factor=0.5, status=0, raise_on_status=False)
            session.mount("https://", HTTPAdapter(max_retries=retry))
            session.mount("http://", HTTPAdapter(max_retries=retry))
            self._local.session = session
        found: requests.Session = self._local.session
        return found


def led_on(url: str, location: str) -> str:
    """Return the address that a redirect leads to. Raises FetchError for one that is none."""
    try:
        joined = urljoin(url, location)
        return urlsplit(joined).geturl()
    except ValueError as error:
        raise FetchError(f"{url} leads on to {printable(location[:200])}, which is no web address") from error


def _check_address(url: str) -> None:
    """Return when a URL names a host that can be looked up. Raises FetchError: it may come from anybody's answer."""
    try:
        parts = urlsplit(url)
        named = (parts.hostname or "").encode("idna") and parts.port != 0
    except ValueError as error:
        raise FetchError(f"{printable(url[:200])} is no web address: {error}") from error
    if not named:
        raise FetchError(f"{printable(url[:200])} is no web address")


def _agent() -> str:
    """Return who asks, as archives want it: program, version and where to read about it."""
    told = metadata("reprolake")
    urls = [text.partition(", ")[2] for text in told.get_all("Project-URL") or ()]
    return f"reprolake/{told['Version']}" + (f" (+{urls[0]})" if urls else "")


def _wait(answer: requests.Response) -> float:
    """Return for how many seconds the server wants to be left alone, 0 where it does not say."""
    after = answer.headers.get("Retry-After", "")
    if after.isascii() and after.isdigit():
        return float(after)
    if (moment := _moment(after)) is not None:
        return max(0.0, moment.timestamp() - time.time())
    reset = answer.headers.get("X-RateLimit-Reset", "")  # in seconds since 1970
    told = _number(reset) if answer.status_code == 429 else None
    return max(0.0, told - time.time()) if told is not None else 0.0


def _number(digits: str) -> int | None:
    """Return a number of a header field, None for anything else."""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_NUMBER else None


def _moment(text: str) -> datetime | None:
    """Return a date of HTTP, None for anything else."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, OverflowError, TypeError):
        return None


def _check(answer: requests.Response, place: str, wait: float) -> None:
    if answer.ok:
        return
    later = f" and asks to come back in {wait / 60:.0f} minutes" if wait > _LONGEST_WAIT else ""
    raise AnswerError(
        f"{place} answers {answer.status_code} {printable(answer.reason or '')}{later}",
        hint=_LOGIN_HINT if answer.status_code in {401, 403} else "",
        transient=answer.status_code in _BUSY or answer.status_code >= 500,
        status=answer.status_code,
    )


def _check_range(answer: requests.Response, url: str, first: int) -> None:
    if not answer.headers.get("Content-Range", "").startswith(f"bytes {first}-"):
        raise FetchError(f"{url} gives another part than the one that was asked for")


def body_of(answer: requests.Response, url: str) -> Iterator[bytes]:
    """Yield the body as it is sent: a server's word that it is compressed is believed of files only that are.

    Raises FetchError, also for a server that sends next to nothing.
    """
    import requests
    from urllib3.exceptions import HTTPError

    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding != "identity" and not (
        encoding in {"gzip", "x-gzip"} and urlsplit(url).path.endswith((".gz", ".tgz"))
    ):
        # Not asked for, and a little of it could be unpacked to very much.
        raise FetchError(f"{without_login(url)} is sent compressed, which was not asked for")
    begun, seen = time.monotonic(), 0
    try:
        while piece := answer.raw.read1(PIECE, decode_content=False):
            yield piece
            seen += len(piece)
            if time.monotonic() - begun > _SLOW:
                if seen < _LEAST:
                    raise FetchError(f"{without_login(url)} is sent too slowly", transient=True)
                begun, seen = time.monotonic(), 0
    except HTTPError as error:
        raise requests.ConnectionError(error) from error


def _reason(error: BaseException) -> str:
    """Return what went wrong at the bottom: the libraries between wrap it in the names of their own classes."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return getattr(error, "strerror", None) or str(error)
