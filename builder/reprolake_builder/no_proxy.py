"""Which hosts no proxy is for. Source: what curl and requests make of the variable no_proxy."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit


def is_direct(url: str, no_proxy: Sequence[str]) -> bool:
    """Whether a URL's host is among those that no proxy is for: names, domains, addresses, networks, with or without a port; or `*`."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    try:
        asked = str(parts.port or {"http": 80, "https": 443}.get(parts.scheme))
    except ValueError:
        return False  # whoever connects will say that this is no port
    for entry in no_proxy:
        name, _, port = entry.lower().rpartition(":") if entry.count(":") == 1 else (entry.lower(), "", "")
        if port and port != asked:
            continue
        domain = name.lstrip("*").lstrip(".")
        if name == "*" or (domain and (host == domain or host.endswith(f".{domain}"))):
            return True
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
    return False
