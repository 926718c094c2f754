"""The seam between a link and its source: what a provider is given, and what it must return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Protocol

from reprolake_builder.documents.source import PinnedSource
from reprolake_builder.errors import ResolveError
from reprolake_builder.process import printable
from reprolake_builder.progress import Progress
from reprolake_builder.store import Store


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """A link as the user gave it.

    `ref` and `subdir` are the options of those names ("" when absent); `now` is the time of the call (UTC).
    `git_environment` may be the caller's whole environment: only what git needs to reach a server is taken from it.
    """

    link: str
    now: datetime
    ref: str = ""
    subdir: str = ""
    git_environment: Mapping[str, str] = field(default_factory=dict, repr=False)


class Provider(Protocol):
    """One kind of place that sources come from."""

    def recognises(self, link: str) -> bool:
        """Whether the link is of this provider's kind; nothing but its text and the local disk is looked at."""

    def resolve(self, request: LinkRequest, store: Store, progress: Progress) -> PinnedSource:
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
