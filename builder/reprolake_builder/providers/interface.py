"""The seam between a link and its source: what a provider is given, and what it must return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Protocol

from reprolake_builder.documents.source import PinnedSource
from reprolake_builder.errors import ResolveError
from reprolake_builder.process import printable
from reprolake_builder.tools import Tools


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """A link as the user gave it.

    `ref` and `subdir` are the options of those names ("" when absent); `now` is the time of the call (UTC).
    """

    link: str
    now: datetime
    ref: str = ""
    subdir: str = ""


class Provider(Protocol):
    """One kind of place that sources come from."""

    def recognises(self, link: str) -> bool:
        """Whether the link is of this provider's kind; nothing but its text and the local disk is looked at."""

    def resolve(self, request: LinkRequest, tools: Tools) -> PinnedSource:
        """Return what the link means now, named so that it can never mean anything else. Raises ResolveError."""


def checked_subdir(text: str) -> str:
    """Return a folder inside a source in its normal form. Raises ResolveError when it leads out of the source."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not text.isprintable():
        raise ResolveError(
            f"the sub-folder {printable(text)!r} leads out of the repository",
            hint="give it relative to the repository's root, without ..",
        )
    return "" if path == PurePosixPath() else str(path)
