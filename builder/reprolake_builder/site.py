"""What differs from site to site: mirrors, indexes, certificates. A front door makes the value; the core reads no environment."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True, slots=True)
class Token:
    """A token for one host. `user` is the name that the host wants to be sent with it, as with a password.

    Where that is "" the token is sent alone, in the field `header` after the word `scheme`, as a bearer's where nothing else is said.
    """

    user: str
    secret: str = field(repr=False)
    header: str = "Authorization"
    scheme: str = "Bearer "


@dataclass(frozen=True, slots=True)
class CondaSite:
    """Where conda's channels are: `channels` maps a name (or an address that others know) to addresses, tried in order.

    A name that stands there with its labels below it counts as well. `alias` is the address below which the other channels
    are, "" for the usual one. `defaults` are the channels that "defaults" stands for, in order of their priority.
    """

    channels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    alias: str = ""
    defaults: tuple[str, ...] = ()
    priority: Literal["strict", "flexible", "disabled"] = "strict"


PythonSource = Literal["debian", "standalone"]
PYTHON_SOURCES: tuple[PythonSource, ...] = ("debian", "standalone")
"""Where Pythons come from that are not conda's, in the order in which they are looked at."""


@dataclass(frozen=True, slots=True)
class PythonSite:
    """Where Pythons come from, in order. `downloads` is the address of a list of standalone builds, "" for uv's own.

    `mirror` holds the builds, in a folder for each day; "" for the places on the list.
    """

    sources: tuple[PythonSource, ...] = PYTHON_SOURCES
    downloads: str = ""
    mirror: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a lock's aliases lead at this site.

    `archives` maps an archive's alias ("debian", "debian-security") to base URLs, tried in order: configured mirror, then the
    dated archive, whose URL may hold `{date}` (replaced by a UTC time like 20260131T000000Z). `index_url` is the package
    index; "" leaves the choice to uv's own configuration. `extra_index_urls` come before it. `ca_bundle` is a host path, ""
    for the system's. `uv_environment` holds the variables that uv is started with.

    `proxies` maps "http" and "https" to proxies, which are not for the hosts, domains and networks in `no_proxy`. `netrc` (host
    path) holds logins by host; with `keyring` the program of that name is asked where a configured URL has a user only.

    `gateways` maps host names to the base URLs by which this site reaches them (an institute's cache of an archive, say):
    documents and messages name the host itself. `tokens` maps host names (with :PORT where it is not the usual one) to what
    opens them. `network_inward` are inward HOST:PORT that programs in sandboxes may reach where they are given a network.
    """

    archives: Mapping[str, tuple[str, ...]]
    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    ca_bundle: str = ""
    uv_environment: Mapping[str, str] = field(default_factory=dict)
    proxies: Mapping[str, str] = field(default_factory=dict)
    no_proxy: tuple[str, ...] = ()
    netrc: Path | None = None
    keyring: bool = False
    gateways: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, Token] = field(default_factory=dict)
    network_inward: tuple[str, ...] = ()
    conda: CondaSite = field(default_factory=CondaSite)
    pythons: PythonSite = field(default_factory=PythonSite)

    def token_for(self, url: str, place: str = "") -> Token | None:
        """Return the token for exactly that URL's host; none travels in the clear.

        `place` is the address that is asked in truth, where that is a gateway's.
        """
        with contextlib.suppress(ValueError):  # a port that is no number
            parts = urlsplit(url)
            host = (parts.hostname or "").lower()
            if is_private(place or url):
                return self.tokens.get(f"{host}:{parts.port}" if parts.port else host)
        return None


def is_private(url: str) -> bool:
    """Whether what is sent to a URL is read by nobody on the way."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
