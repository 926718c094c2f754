"""The seam between a link and its source: what a provider is given, and what it must return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Literal, Protocol

from reprolake_builder.documents.source import PinnedSource
from reprolake_builder.errors import ResolveError
from reprolake_builder.process import printable
from reprolake_builder.tools import Tools

Take = Literal["auto", "repo", "archive"]


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """A link as the user gave it.

    `ref` and `subdir` are the options of those names ("" when absent); `now` is the time of the call (UTC). `take` says
    what of an archive's record is wanted: the repository that it came from, its own files, or the former where there is
    one. With `require_proof` a repository is taken only when it is known to hold what was published. `locked` follows no
    name that may mean something else tomorrow and needs a server to be asked what it means today. `sha256` is that of the
    one file that the link names ("" when absent). `ignore` are paths of the source that may be left out: submodules, and the
    .gitattributes that put files into Git LFS.
    """

    link: str
    now: datetime
    ref: str = ""
    subdir: str = ""
    take: Take = "auto"
    require_proof: bool = False
    locked: bool = False
    sha256: str = ""
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a link turned out to be.

    `notebook` is the one that the link names, by its path in the source ("" for none). It is no part of what is pinned: a
    lock and an image are the same for every notebook of a source.
    """

    source: PinnedSource
    notebook: str = ""


class Provider(Protocol):
    """One kind of place that sources come from."""

    def recognises(self, link: str) -> bool:
        """Whether the link is of this provider's kind; nothing but its text and the local disk is looked at."""

    def resolve(self, request: LinkRequest, tools: Tools) -> PinnedSource | None:
        """Return what the link means now, named so that it can never mean anything else.

        None when the place, once asked, is of another kind: then the next provider has its turn. Raises ResolveError.
        """


def one_answer(what: str, in_link: str, option: str, name: str) -> str:
    """Return what a link or an option says. Raises ResolveError when both do and differ."""
    if in_link and option and in_link != option:
        raise ResolveError(
            f"two answers for the {what}: {printable(in_link)!r} in the link, {printable(option)!r} by {name}",
            hint="give it once; an @ that belongs to the path of a URL is written %40",
        )
    return in_link or option


def checked_subdir(text: str) -> str:
    """Return a folder inside a source in its normal form. Raises ResolveError when it leads out of the source."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not text.isprintable():
        raise ResolveError(
            f"the sub-folder {printable(text)!r} leads out of the repository",
            hint="give it relative to the repository's root, without ..",
        )
    return "" if path == PurePosixPath() else str(path)
