"""Logins for servers, found where the user keeps them: in a configured URL, in netrc, with the program `keyring`.

A login goes to the origin that it was configured for and to no other, whatever an index or a redirect names.
"""

from __future__ import annotations

import contextlib
import netrc
import subprocess
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from reprolake_builder.process import run
from reprolake_builder.site import Site, Token

if TYPE_CHECKING:
    import requests

Login = tuple[str, str]
_ASKING = 60  # seconds for a keyring that wants to be unlocked


@dataclass(frozen=True, slots=True)
class _Alone:
    """Puts a token into a request. Source: RFC 6750, section 2.1, for a bearer's."""

    token: Token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[self.token.header] = f"{self.token.scheme}{self.token.secret}"
        return request


class Credentials:
    """The logins of a site; each place is asked once."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: dict[str, Login | None] = {}
        self._asking = threading.Lock()

    def auth(self, url: str, place: str) -> Login | _Alone | None:
        """Return what `requests` is to send: a login for `place`, the address that is asked, or the token of the URL's host.

        The two differ behind a gateway, which stands for the host.
        """
        token = self._site.token_for(url, place)
        if token is None or self.find(place):
            return self.find(place)
        return (token.user, token.secret) if token.user else _Alone(token)

    def find(self, url: str) -> Login | None:
        """Return user and password for a URL (one in the URL itself comes first), or None."""
        parts = urlsplit(url)
        if parts.username and parts.password is not None:
            return unquote(parts.username), unquote(parts.password)
        origin = _origin(parts)
        with self._asking:
            if origin not in self._known:
                self._known[origin] = self._find(origin, parts)
            return self._known[origin]

    def _find(self, origin: str, parts: SplitResult) -> Login | None:
        configured = [
            there
            for there in map(urlsplit, _configured(self._site))
            if there.username and _origin(there) == origin
        ]
        for there in configured:
            if there.password:
                return unquote(there.username or ""), unquote(there.password)
        if (login := _from_netrc(self._site.netrc, parts.hostname or "")) is not None:
            return login
        for there in configured:
            user = unquote(there.username or "")
            if self._site.keyring and (password := self._from_keyring(there, user)) is not None:
                return user, password
            return user, ""  # a token alone, as the user's name
        return None

    def _from_keyring(self, there: SplitResult, user: str) -> str | None:
        """Return what the keyring has for the URL or else its host, as pip and uv ask it."""
        host = there.netloc.rpartition("@")[2]
        for service in (there._replace(netloc=host).geturl(), host):
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                done = run(
                    ("keyring", "get", service, user),
                    env=self._site.uv_environment,
                    cwd=Path("/"),
                    timeout=_ASKING,
                )
                if done.returncode == 0 and (password := done.stdout.decode().rstrip("\r\n")):
                    return password
        return None


def same_origin(url: str, other: str) -> bool:
    """Whether two URLs are of one server: scheme, host and port."""
    return _origin(urlsplit(url)) == _origin(urlsplit(other))


def without_login(url: str) -> str:
    """Return the URL without user and password, which are sent as a header."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url


def _configured(site: Site) -> Iterable[str]:
    """Yield the URLs of a site's configuration; uv's own variables are among them."""
    yield from (url for urls in site.archives.values() for url in urls)
    yield from (site.index_url, *site.extra_index_urls)
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"):
        for word in site.uv_environment.get(name, "").split():
            named, _, url = word.partition("=")
            yield url if url and "://" not in named else word  # NAME=URL


def _from_netrc(path: Path | None, host: str) -> Login | None:
    if path is None:
        return None
    try:
        found = netrc.netrc(str(path)).hosts.get(host)  # its default entry would give a login to every host
    except (OSError, netrc.NetrcParseError):
        return None  # none is there, or none that can be read: the server will say that a login is wanted
    return (found[0] or found[1], found[2] or "") if found else None


def _origin(parts: SplitResult) -> str:
    ports: Mapping[str, int] = {"http": 80, "https": 443}
    with contextlib.suppress(ValueError):  # a port that is no number
        return f"{parts.scheme}://{parts.hostname}:{parts.port or ports.get(parts.scheme, 0)}"
    return ""
