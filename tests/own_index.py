"""Resolution against an index of a test's own."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from pypi_index_server import Upload

from reprolake_builder.documents.environment import Asked
from reprolake_builder.documents.lock import WheelLock
from reprolake_builder.documents.source import GitSource
from reprolake_builder.download import Downloader
from reprolake_builder.site import Site
from reprolake_builder.solvers.as_of import AsOf, choose_as_of
from reprolake_builder.solvers.pypi import Choice, choose
from reprolake_builder.solvers.pypi_asking import Solution, asking
from reprolake_builder.solvers.pypi_failure import NoChoice
from reprolake_builder.solvers.python_choice import candidates
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

NOW = datetime(2026, 5, 4, tzinfo=UTC)
DATE = "2022-12-01"


def tools_for(url: str, store: Store, **environment: str) -> Tools:
    passed = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    site = Site(archives={}, index_url=url, uv_environment={**passed, "UV_HTTP_RETRIES": "0", **environment})
    return Tools(store, site, Downloader(site))


def asked(*texts: str) -> tuple[Asked, ...]:
    return tuple(Asked(text=text, origin=f"requirements.txt:{line}") for line, text in enumerate(texts, 1))


def as_of(text: str = DATE) -> AsOf:
    source = GitSource(url="https://example.org/a.git", commit="0" * 40, tree="1" * 40, date=NOW)
    return choose_as_of(source, text, NOW)


def chosen(
    tools: Tools,
    *texts: str,
    python: str = "",
    date: AsOf | None = None,
    constraints: tuple[str, ...] = (),
) -> Choice:
    date = date or as_of()
    found = choose(asking(asked(*texts), asked(*constraints), date), candidates((), python, date), tools)
    if isinstance(found, NoChoice):
        raise found.error()
    return found


def versions(solution: Solution | tuple[WheelLock, ...]) -> dict[str, str]:
    wheels = solution.wheels if isinstance(solution, Solution) else solution
    return {wheel.name: wheel.version for wheel in wheels}


def alpha_for(*tags: str, version: str = "5.0", uploaded: str = "2022-11-01") -> list[Upload]:
    return [Upload("alpha", version, uploaded, tag=tag) for tag in tags]
