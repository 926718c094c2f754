"""Addresses that a sandbox may be led to: what is looked up is looked at, and then exactly that is connected to.

Source: RFC 6890 and its registries (special-purpose addresses); RFC 6052, RFC 3056, RFC 4380, RFC 4291, 2.5.5 (IPv4 inside of IPv6).
"""

from __future__ import annotations

import errno
import ipaddress
import socket

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_DISCARD = 9
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# of special purpose, and not so in the lists of every Python
_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",
        "192.88.99.0/24",
        "64:ff9b:1::/48",
        "100::/8",
        "2001::/23",
        "3fff::/20",
        "5f00::/16",
    )
)
_COMPATIBLE = ipaddress.IPv6Network("::/96")


def why_inward(text: str) -> str:
    """What an address (as text) is when no sandbox may reach it; "" for one of the public Internet that is not this host's own."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "no address"
    translated = _within(address)
    for one in translated if address in _NAT64 else (address, *translated):
        if kind := _kind(one):
            return kind
    return "an address of this host" if is_own(address) else ""


def is_own(address: Address) -> bool:
    """Whether an address is one of this host's own: from there Linux would ask it by itself. In doubt it is."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.connect((str(address), _DISCARD))  # sends nothing
            return ipaddress.ip_address(str(one.getsockname()[0])) == address
    except OSError as error:
        return error.errno not in _UNREACHABLE


def _kind(address: Address) -> str:
    """Return what an address is when it is not one of the public Internet, "" when it is."""
    for kind, holds in (
        ("a loopback address", address.is_loopback),
        ("a link-local address", address.is_link_local),
        ("no address of any host", address.is_unspecified),
        ("a multicast address", address.is_multicast),
        ("a private address", address.is_private),
        ("a reserved address", address.is_reserved or not address.is_global),
        ("a reserved address", any(address in network for network in _SPECIAL)),
        ("a site-local address", isinstance(address, ipaddress.IPv6Address) and address.is_site_local),
    ):
        if holds:
            return kind
    return ""


def _within(address: Address) -> tuple[Address, ...]:
    """Return the IPv4 addresses that gateways would make of an IPv6 address."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    found: list[Address] = [one for one in (address.ipv4_mapped, address.sixtofour) if one is not None]
    if address.teredo is not None:
        found += address.teredo
    if address in _NAT64 or address in _COMPATIBLE:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(found)
