"""CKAN's data sets: links to them on any portal, and what the API says of one.

Source: CKAN's API guide, package_show. A data set may change at any time; a resource may lie on any host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

import msgspec

from reprolake_builder.download import Offer
from reprolake_builder.errors import ResolveError
from reprolake_builder.providers.answers import ask
from reprolake_builder.providers.deposits.deposit import (
    Deposit,
    DepositProvider,
    moment,
    offered,
    refuse_moving,
    shortened,
    told_apart,
)
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.tools import Tools

_PATH = re.compile(r"(?P<base>/.*?)??/dataset/(?:(?:activity|groups)/)?(?P<id>[\w.-]{1,256})(?:/.*)?")
_API = re.compile(r"(?P<base>/.*?)??/api/(?:3/)?action/package_show/?")
_ID = re.compile(r"[\w.-]{1,256}")
_CHECKSUM = re.compile(r"(?:(md5|sha-?1|sha-?256|sha-?512)[:-])?([0-9a-f]{32,128})", re.IGNORECASE)
_LENGTHS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}


@dataclass(frozen=True, slots=True)
class CkanLink:
    """A data set of a portal (`portal` is its base URL), by name or id; `past` where an earlier state of it is named."""

    portal: str
    dataset: str
    past: bool = False

    @property
    def question(self) -> str:
        """The address at which the API tells of it."""
        return f"{self.portal}/api/3/action/package_show?id={quote(self.dataset)}"


class Resource(msgspec.Struct, frozen=True):
    """A file of a data set, or a link to something else."""

    id: str
    url: str | None = None
    name: str | None = None
    hash: str | None = None
    state: str | None = "active"

    @property
    def checksum(self) -> str:
        """The hash as ALGORITHM:DIGITS, "" where none is given that is understood."""
        found = _CHECKSUM.fullmatch(self.hash or "")
        if found is None:
            return ""
        kind = _LENGTHS.get(len(found[2]), "")
        said = (found[1] or kind).lower().replace("-", "")
        return f"{kind}:{found[2].lower()}" if kind and said == kind else ""

    @property
    def basename(self) -> str:
        """The last part of the address, its id where there is none."""
        path = (self.url or "").partition("#")[0].partition("?")[0]
        return unquote(path.rpartition("/")[2]) or self.id


class Package(msgspec.Struct, frozen=True):
    """A data set."""

    id: str
    name: str = ""
    title: str | None = None
    version: str | None = None
    metadata_modified: str | None = None
    private: bool = False
    resources: tuple[Resource, ...] = ()


class PackageAnswer(msgspec.Struct, frozen=True):
    """The answer to package_show."""

    success: bool
    result: Package


def parse_ckan_link(text: str) -> CkanLink | None:
    """Return the data set that an address may name on any host, None when its path is no data set's."""
    try:
        parts = urlsplit(text)
        host = f"{(parts.hostname or '').lower()}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return None
    if parts.scheme not in {"https", "http"} or not host or "@" in parts.netloc:
        return None
    path = unquote(parts.path)
    if found := _API.fullmatch(path):
        named = parse_qs(parts.query).get("id", [""])[-1]
        return (
            CkanLink(f"{parts.scheme}://{host}{found['base'] or ''}", named) if _ID.fullmatch(named) else None
        )
    found = _PATH.fullmatch(path)
    if found is None or path.endswith(".git"):
        return None
    past = "activity_id" in parse_qs(parts.query)
    return CkanLink(f"{parts.scheme}://{host}{found['base'] or ''}", found["id"], past)


def find_package(link: CkanLink, request: LinkRequest, tools: Tools) -> Deposit | None:
    """Return the data set as it is now, None when the host is no portal of CKAN's or has no such data set.

    Raises ResolveError for an earlier state of one, and where `locked` wants what cannot change.
    """
    try:
        answer = ask(tools, link.question, PackageAnswer)
    except ResolveError as error:
        if error.transient:
            raise
        return None
    if answer is None or not answer.success:
        return None
    package, host = answer.result, urlsplit(link.portal).netloc
    if link.past:
        raise ResolveError(
            f"the link names an earlier state of the data set {link.dataset} at {host}, of which CKAN keeps the words only",
            hint=f"its present state is {link.portal}/dataset/{link.dataset}",
        )
    changed = moment(package.metadata_modified)
    state = f"its state of {changed:%Y-%m-%d %H:%M:%S} UTC" if changed else "its present state"
    if request.locked:
        refuse_moving(
            f"the data set {link.dataset} of {host}", state, "take a lock of it: a lock names each file"
        )
    tools.progress.note(f"A data set of CKAN may change at any time: {link.dataset} is taken in {state}")
    return Deposit(
        site=host,
        id=shortened(package.id),
        page=f"{link.portal}/dataset/{quote(link.dataset)}",
        files=_kept(package, tools),
        date=changed,
        date_is="last modified",
        version=shortened(package.version or ""),
        title=shortened(package.title or package.name),
        asked=link.dataset,
        chain=(f"the data set {link.dataset} is taken in {state}",),
    )


def _kept(package: Package, tools: Tools) -> tuple[Offer, ...]:
    """Return the files by the last part of their address; those that share one are told apart by their id."""
    web = [item for item in package.resources if (item.url or "").startswith(("https://", "http://"))]
    active = [item for item in web if item.state in {None, "active"}]
    if others := [item.name or item.id for item in package.resources if item not in web]:
        tools.progress.warn(f"Left out, for they have no web address: {shortened(', '.join(others))}")
    names = told_apart([(item.id, item.basename) for item in active])
    return tuple(
        offered(name, item.url or "", None, item.checksum) for name, item in zip(names, active, strict=True)
    )


CKAN = DepositProvider(parse_ckan_link, find_package)
"""Data sets of portals of CKAN's, on any host."""
