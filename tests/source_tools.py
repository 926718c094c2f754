"""Tools for tests that take sources and need no mirror, no index and no login."""

from __future__ import annotations

from collections.abc import Mapping

from git_repositories import ENVIRONMENT

from reprolake_builder.download import Downloader
from reprolake_builder.progress import SILENT, Progress
from reprolake_builder.site import Site
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools


def source_tools(
    store: Store,
    progress: Progress = SILENT,
    environment: Mapping[str, str] = ENVIRONMENT,
    gateways: Mapping[str, str] | None = None,
) -> Tools:
    """Return tools over the store, with git's settings of the tests; `gateways` lead from hosts to servers of the tests."""
    site = Site(archives={}, gateways=gateways or {})
    return Tools(store, site, Downloader(site), progress, environment)
