"""What a commit is called after the last tag before it: for packages that take their version from git."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.documents.source import GitSource
from reprolake_builder.errors import FetchError
from reprolake_builder.providers.git.cache import opened
from reprolake_builder.providers.git.command import Git, git_in
from reprolake_builder.providers.links.git import parse_git_link
from reprolake_builder.tools import Tools

_DESCRIBED = re.compile(r"(.+)-(\d+)-g([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Described:
    """The last tag with a digit in it ("" for none), how many commits came after it, and the commit's id."""

    tag: str
    distance: int
    commit: str


def describe_source(source: GitSource, tools: Tools) -> Described | None:
    """Return what the pinned commit is called; for that its history and the tags are fetched. Raises FetchError."""
    link = parse_git_link(source.url)
    with opened(tools, link, FetchError) as cache:
        return _describe(cache.bring_history(source.commit), source.commit)


def describe_folder(folder: Path, environment: Mapping[str, str]) -> Described | None:
    """Return what the commit is called that a folder (host path) was checked out from; None outside of git."""
    return _describe(git_in(folder, environment), "HEAD")


def _describe(git: Git, commit: str) -> Described | None:
    found = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    if found.returncode:
        return None
    full = found.stdout.decode().strip()
    # The same words as setuptools_scm's, which most such packages use.
    told = git.run("describe", "--tags", "--long", "--match", "*[0-9]*", full)
    if words := _DESCRIBED.fullmatch(told.stdout.decode("utf-8", "replace").strip()):
        return Described(words[1], int(words[2]), full)
    count = git.run("rev-list", "--count", full).stdout.decode("ascii", "replace").strip()
    return Described("", int(count), full) if count.isdigit() else None
