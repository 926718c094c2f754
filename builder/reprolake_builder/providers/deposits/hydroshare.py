"""HydroShare's resources: their links, and what a bag's manifest and the system metadata say.

Source: RFC 8493 (BagIt), 2.1.3 "Payload manifests"; HydroShare's API, /hsapi/resource/ID/sysmeta/. The bag itself is packed
anew whenever somebody asks for it, so that its bytes cannot be pinned; its manifest and its files have addresses of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote, urlsplit

import msgspec

from reprolake_builder.errors import ResolveError
from reprolake_builder.process import printable
from reprolake_builder.providers.answers import ask, ask_bytes
from reprolake_builder.providers.deposits.deposit import (
    Deposit,
    DepositProvider,
    offered,
    refuse_moving,
    shortened,
)
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.providers.links.dois import parse_doi
from reprolake_builder.tools import Tools

SITE = "www.hydroshare.org"
CONTENTS = "data/contents/"
_HOSTS = {SITE, "hydroshare.org", "beta.hydroshare.org"}
_DOI = re.compile(r"10\.4211/hs\.([0-9a-f]{32})", re.IGNORECASE)
_PATH = re.compile(
    r"/(?:resource|hsapi/resource|django_irods/download/bags|rest_download/bags)/([0-9a-f]{32})(?:[/.].*)?"
)
_ESCAPED = re.compile(r"%(?:0[AaDd]|25)")
_ROW = re.compile(r"([0-9a-fA-F]{32})[ \t]+\*?(.+)")


class SystemMetadata(msgspec.Struct, frozen=True):
    """A resource as the system knows it; who has published one cannot change it any more."""

    resource_id: str
    resource_title: str = ""
    resource_type: str = ""
    date_last_updated: str = ""
    date_created: str = ""
    public: bool = True
    published: bool = False
    immutable: bool = False
    doi: str | None = None

    @property
    def updated(self) -> datetime | None:
        """When it was changed last (to a day, UTC); HydroShare writes months before days."""
        for form in ("%m-%d-%Y", "%Y-%m-%d"):
            try:
                return datetime.strptime(self.date_last_updated[:10], form).replace(tzinfo=UTC)
            except ValueError:
                continue
        return None


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of a resource: `name` below its contents."""

    name: str
    md5: str


def parse_hydroshare_link(text: str) -> str:
    """Return the id of the resource that a DOI or an address names, "" when it is no link to HydroShare."""
    if doi := parse_doi(text):
        found = _DOI.fullmatch(doi)
        return found[1].lower() if found else ""
    try:
        parts = urlsplit(text)
        found = _PATH.fullmatch(unquote(parts.path)) if (parts.hostname or "").lower() in _HOSTS else None
    except ValueError:
        return ""
    return found[1] if found and parts.scheme in {"https", "http"} else ""


def parse_manifest(content: bytes) -> tuple[Listed, ...]:
    """Return the files below `data/contents` that a bag's manifest lists. Raises ResolveError for a line that is none."""
    files = []
    for number, line in enumerate(content.decode("utf-8", "backslashreplace").splitlines(), 1):
        if not line.strip():
            continue
        found = _ROW.fullmatch(line)
        if found is None:
            raise ResolveError(
                f"manifest-md5.txt:{number}: {printable(line[:200])!r} is no checksum and path"
            )
        path = _ESCAPED.sub(lambda code: unquote(code[0]), found[2])
        if path.startswith(CONTENTS):
            files.append(Listed(path.removeprefix(CONTENTS), found[1].lower()))
    return tuple(files)


def find_resource(resource: str, request: LinkRequest, tools: Tools) -> Deposit:
    """Return the resource as it is now; of a published one that is for good. Raises ResolveError."""
    told = ask(tools, f"https://{SITE}/hsapi/resource/{resource}/sysmeta/", SystemMetadata)
    if told is None or told.resource_id != resource:
        raise ResolveError(f"HydroShare has no resource {resource}", hint="check the 32 digits of the link")
    manifest = ask_bytes(tools, f"https://{SITE}/resource/{resource}/manifest-md5.txt", accept="text/plain")
    if manifest is None:
        raise ResolveError(
            f"HydroShare tells no manifest of the resource {resource}",
            hint="open its page and ask for the download once: then HydroShare writes one",
        )
    changed = told.updated
    chain: tuple[str, ...] = ()
    day = f"{changed:%Y-%m-%d}" if changed else "an unknown day"
    if not (told.published or told.immutable):
        chain = (f"the resource {resource} is not published: its state is that of {day}",)
        tools.progress.note(f"HydroShare: {chain[0]}")
        if request.locked:
            refuse_moving(
                f"the HydroShare resource {resource}",
                f"the state of {day}",
                "ask its owner to publish it, under a DOI",
            )
    return Deposit(
        site=SITE,
        id=resource,
        page=f"https://{SITE}/resource/{resource}/",
        files=tuple(
            offered(
                file.name,
                f"https://{SITE}/resource/{resource}/{CONTENTS}{quote(file.name)}",
                None,
                f"md5:{file.md5}",
            )
            for file in parse_manifest(manifest)
        ),
        date=changed,
        date_is="published" if told.published else "last modified",
        doi=f"10.4211/hs.{resource}" if told.published else "",
        version=day if changed else "",
        title=shortened(told.resource_title),
        asked="" if told.published or told.immutable else resource,
        chain=chain,
    )


HYDROSHARE = DepositProvider(parse_hydroshare_link, find_resource)
"""Resources of HydroShare."""
