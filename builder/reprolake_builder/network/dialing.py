"""Connections to the outside: a name is looked up once, every address is looked at, and exactly those are connected to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from reprolake_builder.inward import is_inside
from reprolake_builder.network import heads
from reprolake_builder.network.addresses import why_inward
from reprolake_builder.network.policy import Policy, joined
from reprolake_builder.no_proxy import is_direct

_CONNECT_SECONDS, _NEXT_SECONDS = 15.0, 4.0  # the latter where there is another address to try
_LOOK_UP_SECONDS = 20.0
_GLANCE_SECONDS = 2.0  # where a proxy looks names up: networks behind one often know no names of the outside
_MOST_UNKNOWN = 10_000
_MOST_ADDRESSES = 6
LOOK_UPS = 32
"""Names that are looked up at a time."""
LookUp = Callable[[str], Awaitable[tuple[str, ...]]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class RefusedError(Exception):
    """The policy does not let a request pass."""


class UnreachableError(Exception):
    """A host cannot be reached, for whatever reason."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The site's own proxy: `login` is the value of Proxy-Authorization, "" for none."""

    host: str
    port: int
    login: str

    @classmethod
    def of(cls, url: str) -> Upstream:
        """Return the proxy of an address. Raises ValueError for one that is not reached over plain http."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("proxies that are reached over http:// are supported, others are not")
        word = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        login = f"Basic {base64.b64encode(word.encode()).decode()}" if parts.username else ""
        return cls(parts.hostname, parts.port or 80, login)


async def system_look_up(host: str) -> tuple[str, ...]:
    """Return the addresses that the system knows of a host, "" of none. Raises OSError."""
    entries = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in entries))


class Dialer:
    """Opens connections to what the policy allows, through the site's own proxies where it has some (`upstreams`, by scheme)."""

    def __init__(
        self,
        policy: Policy,
        upstreams: dict[str, str],
        no_proxy: tuple[str, ...],
        look_up: LookUp = system_look_up,
    ) -> None:
        self._policy = policy
        self._upstreams = {scheme: Upstream.of(url) for scheme, url in upstreams.items()}
        self._no_proxy = no_proxy
        self._look_up = look_up
        self._turns = asyncio.Semaphore(LOOK_UPS)
        self._running: set[asyncio.Future[tuple[str, ...]]] = set()
        self._unknown: set[str] = set()

    def upstream(self, scheme: str, host: str, port: int) -> Upstream | None:
        """Return the proxy that stands between here and a host, None for none."""
        url = f"{scheme}://{joined(host, port)}/"
        if self._policy.is_inward(host, port) or is_direct(url, self._no_proxy):
            return None
        return self._upstreams.get(scheme)

    async def open(self, scheme: str, host: str, port: int) -> tuple[Streams, Upstream | None]:
        """Return a connection to the host, or to the proxy that it goes through. Raises RefusedError and UnreachableError."""
        if why := self._policy.refusal(host, port):
            raise RefusedError(why)
        upstream = self.upstream(scheme, host, port)
        addresses = await self._checked(host, port, is_needed=upstream is None)
        if await self._is_upstream(host, port, addresses):
            raise RefusedError(f"{joined(host, port)} is the site's proxy, which is asked for others only")
        if upstream is None:
            return await _connect(addresses, port, joined(host, port)), None
        return await _connect((upstream.host,), upstream.port, "the site's proxy"), upstream

    async def tunnel(self, host: str, port: int) -> Streams:
        """Return a connection whose other end is the host's. Raises RefusedError and UnreachableError."""
        streams, upstream = await self.open("https", host, port)
        if upstream is None:
            return streams
        reader, writer = streams
        try:
            target = joined(host, port)
            fields = [("Host", target)] + (
                [("Proxy-Authorization", upstream.login)] if upstream.login else []
            )
            writer.write(heads.head(f"CONNECT {target} HTTP/1.1", fields))
            found = heads.answer(
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _CONNECT_SECONDS), "HEAD"
            )
        except (
            heads.BadMessageError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            OSError,
        ) as error:
            writer.transport.abort()
            raise UnreachableError("the site's proxy gives no tunnel") from error
        if found.status != 200:
            writer.transport.abort()
            raise UnreachableError(f"the site's proxy answers {found.status}")
        return reader, writer

    async def _checked(self, host: str, port: int, *, is_needed: bool) -> tuple[str, ...]:
        """Return the host's addresses, once none is seen to lead inward; where a proxy looks them up none are needed."""
        is_opened = self._policy.is_inward(host, port)
        if is_inside(host) and not is_opened:
            raise RefusedError(f"{host} names this host or its network")
        if not is_needed and host in self._unknown:
            return ()
        try:
            addresses = await self._looked_up(host, _LOOK_UP_SECONDS if is_needed else _GLANCE_SECONDS)
        except (OSError, UnicodeError) as error:
            if is_needed:
                raise UnreachableError(f"{host} is not known here") from error
            if len(self._unknown) < _MOST_UNKNOWN:
                self._unknown.add(host)
            return ()
        for address in addresses:
            if not is_opened and (kind := why_inward(address)):
                raise RefusedError(
                    f"{host} leads to {address}, which is {kind}" if host != address else f"{host} is {kind}"
                )
        return addresses

    async def _is_upstream(self, host: str, port: int, addresses: tuple[str, ...]) -> bool:
        """Whether a host and port are a proxy of the site's: whoever speaks to that by itself gets all that it gives."""
        if self._policy.is_inward(host, port):
            return False
        for one in self._upstreams.values():
            if port == one.port and host == one.host:
                return True
            if port == one.port and addresses:
                with contextlib.suppress(OSError, UnicodeError):
                    if {*addresses} & {*await self._looked_up(one.host, _LOOK_UP_SECONDS)}:
                        return True
        return False

    async def _looked_up(self, host: str, seconds: float) -> tuple[str, ...]:
        """Return a host's addresses. Raises OSError, also when they take longer than that.

        Whoever is given up keeps the turn until the end: the thread is busy, and a name after it would be given up unheard.
        """
        await self._turns.acquire()
        running = asyncio.ensure_future(self._look_up(host))
        self._running.add(running)
        running.add_done_callback(self._done)
        return await asyncio.wait_for(asyncio.shield(running), seconds)

    def _done(self, running: asyncio.Future[tuple[str, ...]]) -> None:
        self._running.discard(running)
        self._turns.release()
        if not running.cancelled():
            running.exception()  # nobody may be left who wants to know


async def _connect(addresses: tuple[str, ...], port: int, what: str) -> Streams:
    tried = addresses[:_MOST_ADDRESSES]
    for address in tried:
        seconds = _CONNECT_SECONDS if address == tried[-1] else _NEXT_SECONDS
        with contextlib.suppress(OSError):  # one of several may be out of reach
            return await asyncio.wait_for(
                asyncio.open_connection(address, port, limit=heads.HEAD_BYTES), seconds
            )
    raise UnreachableError(f"{what} cannot be reached")
