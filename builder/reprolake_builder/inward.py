"""Addresses that strangers name: what comes from outside must not lead to this host, or into the network that it is in.

Source: RFC 6890 (addresses of special purpose), RFC 6761, 6.3 (localhost); inet_aton(3) for the other ways to write a number.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SHORT = re.compile(r"(?:[^@/:]+@)?(\[[^\]/]+\]|[^/:@]+):")
NONE: Mapping[str, str] = {}


def leads_inward(told_by: str, url: str, gateways: Mapping[str, str] = NONE) -> bool:
    """Whether a public place (`told_by`) names an address in here; both are URLs, or git's HOST:PATH.

    What this site reaches by `gateways`, or is itself in here, may lead anywhere. Names are not looked up.
    """
    host = host_of(told_by)
    return bool(host) and host not in gateways and not is_inside(host) and is_inside(host_of(url))


def is_inside(host: str) -> bool:
    """Whether a host is named by an address, or one of the few names, that nobody outside could mean."""
    host = host.strip("[]").rstrip(".").lower()
    with contextlib.suppress(OSError):
        host = socket.inet_ntoa(socket.inet_aton(host))  # 2130706433, 0x7f.1
    with contextlib.suppress(ValueError):
        return not ipaddress.ip_address(host.partition("%")[0]).is_global
    return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))


def is_only_here(host: str) -> bool:
    """Whether a host's name stands for this host or its own link, as far as the name can be looked up."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return False  # whoever connects will say why
    addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
    return any(
        address.is_loopback or address.is_link_local or address.is_unspecified for address in addresses
    )


def host_of(url: str) -> str:
    """Return the host of a URL, or of git's HOST:PATH, in lower case; "" where there is none."""
    if _SCHEME.match(url):
        with contextlib.suppress(ValueError):
            return (urlsplit(url).hostname or "").lower()
        return ""
    found = _SHORT.match(url)
    return found[1].lower() if found else ""
