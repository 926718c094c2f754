"""When files of a source were last changed, as its history tells."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from reprolake_builder.documents.environment import SpokenFile
from reprolake_builder.documents.source import GitSource, LocalSource, PinnedSource
from reprolake_builder.errors import FetchError
from reprolake_builder.providers.git.cache import opened
from reprolake_builder.providers.git.command import Git, git_in
from reprolake_builder.providers.links.git import parse_git_link
from reprolake_builder.tools import Tools

_LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z


def last_changed(source: PinnedSource, files: Sequence[SpokenFile], tools: Tools) -> datetime | None:
    """Return the date (UTC) of the last commit that changed one of the files; None where no history tells.

    For a repository elsewhere its history is fetched. Raises FetchError.
    """
    if not files:
        return None
    if isinstance(source, GitSource):
        link = parse_git_link(source.url)
        with opened(tools, link, FetchError) as cache:
            return _date(cache.bring_history(source.commit), source.commit, files)
    if not isinstance(source, LocalSource):
        return None
    git = git_in(Path(source.path), tools.git_environment)
    return _date(git, "HEAD", files) if _are_committed(git, files) else None


def _are_committed(git: Git, files: Sequence[SpokenFile]) -> bool:
    """Whether a folder's files are those of its last commit, and its history is all there."""
    if git.run("rev-parse", "--is-shallow-repository").stdout.strip() != b"false":
        return False  # the first commit of what is there seems to have made every file
    return all(
        hashlib.sha256(git.run("cat-file", "blob", f"HEAD:./{file.path}").stdout).hexdigest() == file.sha256
        for file in files
    )


def _date(git: Git, commit: str, files: Sequence[SpokenFile]) -> datetime | None:
    paths = [file.path for file in files]  # taken literally, as all paths that our git is given
    told = git.run("rev-list", "-1", "--format=%ct", commit, "--", *paths)
    seconds = told.stdout.decode("ascii", "replace").strip().rpartition("\n")[2]
    known = told.returncode == 0 and seconds.isdigit() and int(seconds) <= _LAST_SECOND
    return datetime.fromtimestamp(int(seconds), UTC) if known else None
