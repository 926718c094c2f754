"""Many links at once: what each of them stands for, side by side, told in the order of the list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from reprolake.options import UsageError
from reprolake.pipeline import Request, Session, pin
from reprolake_builder.documents.base import Document
from reprolake_builder.documents.source import PinnedSource
from reprolake_builder.errors import ReprolakeError, without_logins
from reprolake_builder.process import printable
from reprolake_builder.progress import SILENT, Progress, Step

_SIDE_BY_SIDE = 8
_LIST_LIMIT = 16 << 20  # bytes


class LinkAnswer(Document, frozen=True, kw_only=True):
    """A line of what `reprolake resolve --json` prints for several links.

    `source` is absent when the link could not be resolved; then `error`, `hint` and `exit_code` tell why, as they would have
    for this link alone. `notebook` is the one that the link names. A login in `link` is left out.
    """

    link: str
    source: PinnedSource | None = None
    notebook: str = ""
    error: str = ""
    hint: str = ""
    exit_code: int = 0


def read_links(path: Path) -> tuple[str, ...]:
    """Return the links in a file (host path; `-` is standard input): one a line; empty lines and those with # first are skipped."""
    try:
        with click.open_file(str(path), "rb") as stream:
            data = stream.read(_LIST_LIMIT + 1)
        lines = data.decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the list {path} cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="--from takes a text file with one link a line, or - for standard input",
        ) from error
    if len(data) > _LIST_LIMIT:
        raise UsageError(f"the list {path} is larger than {_LIST_LIMIT >> 20} MiB")
    return tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))


def pin_all(links: Sequence[str], request: Request, session: Session) -> Iterator[LinkAnswer]:
    """Yield the answer for each link, in their order, as soon as it and those before it are there; a failure is one, too."""
    pool = ThreadPoolExecutor(_SIDE_BY_SIDE)
    try:
        jobs = [pool.submit(_answer, replace(request, link=link), session) for link in links]
        for job in jobs:
            yield job.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _answer(request: Request, session: Session) -> LinkAnswer:
    link = printable(without_logins(request.link))
    tools = replace(session.tools, progress=_OfLink(session.tools.progress, link))
    try:
        found = pin(request, replace(session, tools=tools))
    except ReprolakeError as error:
        return LinkAnswer(link=link, error=error.message, hint=error.hint, exit_code=error.exit_status)
    return LinkAnswer(link=link, source=found.source, notebook=found.notebook)


class _OfLink(Progress):
    """Says which link a note is about; bars of several links at once would only be in each other's way."""

    def __init__(self, shown: Progress, link: str) -> None:
        self._shown = shown
        self._link = link

    @contextmanager
    def step(self, label: str, total: int | None = None) -> Iterator[Step]:
        with SILENT.step(label, total) as step:
            yield step

    def note(self, message: str) -> None:
        self._shown.note(f"{self._link}: {message}")

    def warn(self, message: str) -> None:
        self._shown.warn(f"{self._link}: {message}")
