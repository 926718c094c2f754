"""What every stage of the builder works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reprolake_builder.download import Downloader
from reprolake_builder.progress import SILENT, Progress
from reprolake_builder.site import Site
from reprolake_builder.store import Store


@dataclass(frozen=True, slots=True)
class Tools:
    """The store, the site's addresses, what fetches from them, and where progress is told.

    `git_environment` may be the caller's whole environment: only what git needs to reach a server is taken from it.
    """

    store: Store
    site: Site
    downloader: Downloader
    progress: Progress = SILENT
    git_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
