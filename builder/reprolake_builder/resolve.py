"""The resolve stage: a link becomes a PinnedSource."""

from __future__ import annotations

import os
import re
from pathlib import Path

from reprolake_builder.denied import denied
from reprolake_builder.documents.source import PinnedSource
from reprolake_builder.errors import ResolveError
from reprolake_builder.process import printable
from reprolake_builder.providers.git import GitProvider
from reprolake_builder.providers.interface import LinkRequest, Provider
from reprolake_builder.providers.local import LocalProvider
from reprolake_builder.tools import Tools

PROVIDERS: tuple[Provider, ...] = (LocalProvider(), GitProvider())
"""Every kind of source, asked in this order."""

_RECORD = re.compile(
    r"(?:doi:|https?://(?:dx\.)?doi\.org/)?10\.\d{4,9}/\S+|https?://(?:www\.)?zenodo\.org/.*|swh:1:.*"
)
_ASK = "ask its owner for access, or work as a user who has it"
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)+/\S+")


def resolve(request: LinkRequest, tools: Tools) -> PinnedSource:
    """Return what the link means now: a commit or the content of a folder, never a moving name.

    Raises ResolveError when the link names nothing that can be pinned.
    """
    link = request.link
    if not link.strip():
        raise ResolveError("the link is empty", hint="for the folder that you are in give .")
    if "\0" not in link and (why := denied(link)):
        raise ResolveError(f"{printable(link)} cannot be read: {why}", hint=_ASK)
    for provider in PROVIDERS:
        if not _RECORD.fullmatch(link) and provider.recognises(link):
            source = provider.resolve(request, tools)
            if source is not None:
                return source
    raise _not_understood(link)


def _not_understood(link: str) -> ResolveError:
    shown = printable(link)
    if _RECORD.fullmatch(link):
        return ResolveError(
            f"{shown} is a record of an archive, which a later version can take",
            hint="until then give the git repository, or unpack the record and give the folder",
        )
    folder, _, ref = link.rpartition("@")
    if folder and "\0" not in link and os.path.isdir(folder):
        return ResolveError(
            f"{printable(folder)} is a folder, whose files are taken as they are on disk",
            hint=f"for a committed state give the repository: file://{printable(str(Path(folder).resolve()))}@{printable(ref)}",
        )
    if "\0" not in link and os.path.isfile(link):
        return ResolveError(
            f"{shown} is a file", hint="give the folder that it lies in, or a lock made by `reprolake lock`"
        )
    place, hash_, subdir = link.partition("#subdirectory=")
    if hash_ and "\0" not in link and os.path.isdir(place):
        return ResolveError(
            f"{printable(place)} is a folder", hint=f"for a folder in it add --subdir {printable(subdir)}"
        )
    hint = "give a folder, a git URL such as https://HOST/PATH@REF, or a lock"
    if _HOST.fullmatch(link):
        hint = f"for a git repository write https://{shown}"
    return ResolveError(f"{shown!r} is neither a folder here nor a git URL", hint=hint)
