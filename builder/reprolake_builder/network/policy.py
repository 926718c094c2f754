"""What a sandbox may reach: nothing, hosts by name, or every public host.

A host that is allowed without a port is allowed on those of http and https. "all" leaves out ports below 1024 (mail, ssh and
other services that are no business of a notebook) and those that browsers refuse, too.
Source: Fetch Standard, 2.9 (bad ports); URL Standard, 3.5 (hosts that end in a number); RFC 5892, 2.6 (characters of two meanings).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Literal

from reprolake_builder.documents.base import Document
from reprolake_builder.process import printable

NONE = "none"
_ALLOW = "allow="
_WEB = (80, 443)
_BAD = {
    1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
}  # fmt: skip
# texts, which `re` compiles when it first needs them: all runs come by here, and few need them
_NAME = r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
_NUMBER = r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)"
_DOUBTFUL = "ßς\u200c\u200d"  # which older programs turn into others, or leave out
_ENTRY = r"(\[[^\]]*\]|[^:]*)(?::([0-9]{1,5}))?"
FORMS = "none, all, or allow=HOST[:PORT],… where *.example.org stands for all hosts below example.org"


class Policy(Document, frozen=True, kw_only=True):
    """What may be reached. `hosts` are HOST, HOST:PORT or *.DOMAIN with or without :PORT, as `parse` writes them.

    `inward` are HOST:PORT of this site's own network that may be reached all the same when the rest of the policy allows them.
    """

    mode: Literal["none", "allow", "all"] = "none"
    hosts: tuple[str, ...] = ()
    inward: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The policy as `--network` takes it."""
        return _ALLOW + ",".join(self.hosts) if self.mode == "allow" else self.mode

    def refusal(self, host: str, port: int) -> str:
        """Why a host (lower case, an IPv6 address without brackets) may not be asked on a port; "" when it may."""
        if self.mode == "all":
            if port in _WEB or (port >= 1024 and port not in _BAD) or self.is_inward(host, port):
                return ""
            return f"port {port} is none that --network all opens"
        ports = [port_of for name, port_of in map(_split, self.hosts) if _matches(name, host)]
        if not ports:
            return f"{host} is not among the hosts that --network allows"
        if any(port == allowed if allowed else port in _WEB for allowed in ports):
            return ""
        return f"{host} is allowed, and its port {port} is not"

    def is_inward(self, host: str, port: int) -> bool:
        """Whether the site opened this host and port of its own network by name."""
        return joined(host, port) in self.inward


def parse(text: str, inward: tuple[str, ...] | None = ()) -> Policy:
    """Return the policy that `--network` names; None for `inward` leaves open what the site opens.

    Raises ValueError, which says what is expected.
    """
    said = text.strip()
    if said in {"none", "all"}:
        return Policy(mode="none" if said == NONE else "all", inward=inward or ())
    if not said.startswith(_ALLOW):
        raise ValueError(f"{printable(text)!r} is no network: it is {FORMS}")
    words = [word for word in (part.strip() for part in said.removeprefix(_ALLOW).split(",")) if word]
    if not words:
        raise ValueError(f"allow= names no host: it is {FORMS}")
    from reprolake_builder.inward import is_inside  # seldom needed where all runs come by

    hosts = []
    for word in words:
        host, port = entry(word, wildcard=True)
        if inward is not None and is_inside(host) and joined(host, port) not in inward:
            raise ValueError(
                f"{printable(word)} is an address of this host or its network, which sandboxes do not reach; "
                "a site opens single ones by the setting network_inward, as HOST:PORT"
            )
        hosts.append(joined(host, port))
    return Policy(mode="allow", hosts=tuple(sorted(set(hosts))), inward=inward or ())


def parse_inward(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return entries HOST:PORT in their canonical form. Raises ValueError."""
    found = []
    for word in words:
        host, port = entry(word)
        if not port:
            raise ValueError(
                f"{printable(word)} lacks a port: HOST:PORT is expected, like mirror.example.org:8080"
            )
        found.append(joined(host, port))
    return tuple(sorted(set(found)))


def entry(word: str, *, wildcard: bool = False) -> tuple[str, int]:
    """Return host (lower case, without brackets) and port (0 for none) of HOST[:PORT]. Raises ValueError."""
    found = re.fullmatch(_ENTRY, word.strip().lower())
    host = found[1] if found else ""
    port = int(found[2]) if found and found[2] else 0
    if found is None or (found[2] and not 0 < port < 1 << 16):
        raise ValueError(f"{printable(word)} is no HOST or HOST:PORT")
    if host.startswith("["):
        if "%" in host:
            raise ValueError(f"{printable(word)} names a link of this host")
        return str(ipaddress.IPv6Address(host[1:-1])), port
    domain = host.rstrip(".")
    if not domain.isascii():
        if set(_DOUBTFUL) & set(domain):
            raise ValueError(f"{printable(word)} is looked up as one of two names: write it as xn--...")
        domain = domain.encode("idna").decode()
    bare = domain.removeprefix("*.") if wildcard else domain
    if not re.fullmatch(_NAME, bare):
        hint = "; all public hosts are --network all" if host == "*" else ""
        raise ValueError(f"{printable(word)} is no HOST or HOST:PORT{hint}")
    if re.fullmatch(_NUMBER, bare):  # in other forms 010 is eight to some programs, and ten to others
        try:
            ipaddress.IPv4Address(bare)
        except ValueError as error:
            raise ValueError(
                f"{printable(word)} could be several addresses: IPv4 is written as four decimal numbers"
            ) from error
    return domain, port


def joined(host: str, port: int) -> str:
    """Return HOST:PORT, or HOST alone when the port is 0; an IPv6 address gets its brackets."""
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{port}" if port else name


def _split(word: str) -> tuple[str, int]:
    return entry(word, wildcard=True)


def _matches(name: str, host: str) -> bool:
    return host.endswith(name[1:]) if name.startswith("*.") else host == name
