"""Where a conda channel is at this site, and which channel an address stands for."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

import msgspec

from reprolake_builder.documents.conda import CondaChannel, CondaPackage
from reprolake_builder.download import Wanted
from reprolake_builder.errors import FetchError, LockError
from reprolake_builder.inward import leads_inward
from reprolake_builder.process import printable
from reprolake_builder.site import Site

DEFAULTS = "defaults"
"""The name that stands for a list of channels, which the configuration holds."""
SETTING = "[conda] channels = {NAME = ADDRESS} in reprolake.toml"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*){0,5}")
_SUBDIR = re.compile(r"/(?:noarch|(?:linux|osx|win|emscripten|wasi|freebsd|zos)-[a-z0-9_]+)/?$")
_ON_PYTHON = re.compile(r"(?:\S+::)?python(?:_abi)?(?![\w.-])")
_TOKEN = re.compile(r"/t/[^/]+")


def channel_bases(channel: CondaChannel, site: Site) -> tuple[str, ...]:
    """Return the addresses of a channel, without a slash at the end, in the order in which they are tried.

    Raises FetchError when nothing tells where it is.
    """
    known = site.conda.channels
    for named in (channel.url, channel.name):
        for name in _and_above(named):
            if bases := known.get(name):
                return tuple(base.rstrip("/") + named[len(name) :] for base in bases)
    if channel.url:
        return (channel.url.rstrip("/"),)
    if channel.name.split("/")[0] in {DEFAULTS, "pkgs", "local"}:
        raise FetchError(
            f"where the conda channel {channel.name} is the configuration does not say",
            hint=f"say it with {SETTING}, or ask for the packages of another channel, such as conda-forge",
        )
    return (f"{(site.conda.alias or default_alias()).rstrip('/')}/{channel.name}",)


def wanted_conda(
    packages: Iterable[CondaPackage], channels: Iterable[CondaChannel], site: Site
) -> tuple[Wanted, ...]:
    """Return packages as files to fetch. Raises FetchError for one whose channel is not among `channels`, or is nowhere."""
    named = {channel.name: channel for channel in channels}
    found = []
    for package in packages:
        if package.channel not in named:
            raise FetchError(
                f"the lock does not name the channel {package.channel}, which {package.filename} is from",
                hint="the lock was changed by hand; make a new one with `reprolake lock`",
            )
        bases = channel_bases(named[package.channel], site)
        urls = tuple(f"{base}/{package.subdir}/{package.filename}" for base in bases)
        found.append(Wanted(f"the conda package {package.filename}", urls, package.sha256, package.size))
    return tuple(found)


def is_for_python(package: CondaPackage) -> bool:
    """Whether the package is one of those that a Python imports, and no library or program, nor a Python itself."""
    if package.name == "python":
        return False
    return package.noarch == "python" or any(_ON_PYTHON.match(demand) for demand in package.depends)


def channel_of(text: str, origin: str, site: Site, told_by: str = "") -> CondaChannel:
    """Return the channel that a name or an address stands for; `origin` says where it was written, for messages.

    `told_by` is the address of the source that names it, "" for a folder of this host.

    An address that the configuration gives a name, or that is below the usual one of all channels, is that name. Raises LockError for one that
    cannot be pinned: a file of this host that the configuration does not name, or an address with a login.
    """
    text = _SUBDIR.sub("", text.strip().rstrip("/")).rstrip("/")
    if "://" not in text:
        if not _NAME.fullmatch(text):
            raise LockError(
                f"{origin}: {printable(text)[:100]!r} names no conda channel",
                hint="a channel is a name such as conda-forge, or an address that begins with https://",
            )
        return _checked(text, "", origin)
    if (name := _named(text, site)) is not None:
        return _checked(name, "", origin)
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise LockError(f"{origin}: {printable(text)[:200]!r} is no address of a conda channel") from error
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise LockError(
            f"{origin}: the channel {printable(text)[:200]} is none of this site's",
            hint=f"a folder is a channel only where the configuration names it: {SETTING}",
        )
    if parts.username or parts.password or parts.query or parts.fragment or _TOKEN.search(parts.path):
        raise LockError(
            f"{origin}: the address of the channel at {parts.hostname} holds a login, which no lock may hold",
            hint="write the address without it; a login for that host can stand in ~/.netrc",
        )
    if leads_inward(told_by, text, site.gateways):
        raise LockError(
            f"{origin}: the channel {printable(text)[:200]} is an address of this host or its network, and {told_by} is none",
            hint=f"what is public must not lead in here; where it is meant, name it: {SETTING}",
        )
    return _checked(re.sub(r"[^A-Za-z0-9._/-]+", "-", f"{parts.netloc}{parts.path}"), text, origin)


def _checked(name: str, url: str, origin: str) -> CondaChannel:
    try:
        return msgspec.convert({"name": name, "url": url}, CondaChannel)
    except msgspec.ValidationError as error:
        raise LockError(
            f"{origin}: {printable(url or name)[:200]!r} is no name or address of a conda channel"
        ) from error


def split_url(url: str, origin: str) -> tuple[str, str, str]:
    """Return the address of the channel, the folder in it and the file name of a package's address. Raises LockError."""
    base, _, filename = url.partition("#")[0].rpartition("/")
    channel, _, subdir = base.rpartition("/")
    if not channel or not filename:
        raise LockError(f"{origin}: {printable(url)[:200]!r} is no address of a conda package")
    return channel, subdir, unquote(filename)


@functools.cache
def default_alias() -> str:
    """Return the address below which conda's programs look for a channel that is known by its name only."""
    from rattler import Channel  # the tool knows it, and it is not for us to write it down

    return Channel("x").base_url.rstrip("/").removesuffix("/x")


def _named(url: str, site: Site) -> str | None:
    for name, bases in site.conda.channels.items():
        for base in (known.rstrip("/") for known in bases):
            if "://" not in name and (url == base or url.startswith(f"{base}/")):
                return name + url[len(base) :]
    for alias in (site.conda.alias.rstrip("/"), default_alias()):
        if alias and url.startswith(f"{alias}/") and _NAME.fullmatch(url[len(alias) + 1 :]):
            return url[len(alias) + 1 :]
    return None


def _and_above(name: str) -> Iterable[str]:
    """Yield a channel's name and those above it: a label of a mirrored channel is in the mirror, too."""
    while name and not name.endswith(":/"):
        yield name
        name = name.rpartition("/")[0]
