"""What every stage of the builder works with."""

from __future__ import annotations

from dataclasses import dataclass

from reprolake_builder.download import Downloader
from reprolake_builder.progress import SILENT, Progress
from reprolake_builder.site import Site
from reprolake_builder.store import Store


@dataclass(frozen=True, slots=True)
class Tools:
    """The store, the site's addresses, what fetches from them, and where progress is told."""

    store: Store
    site: Site
    downloader: Downloader
    progress: Progress = SILENT
