"""A commit of a repository as of a date, and what its history says: for packages that are asked for by their repository."""

from __future__ import annotations

from datetime import datetime

from reprolake_builder.documents.source import GitSource
from reprolake_builder.errors import ResolveError
from reprolake_builder.providers.git.cache import GitCache, opened
from reprolake_builder.providers.git.provider import resolve_commit, with_parts
from reprolake_builder.providers.links.git import FULL_ID, GitLink
from reprolake_builder.tools import Tools


def resolve_dated(link: GitLink, cutoff: datetime | None, tools: Tools) -> GitSource:
    """Return the commit that the link's ref named at the cut-off (UTC; None for now).

    A tag and a commit's id name what they name. A branch that has moved since is followed back along its first parents,
    for which its history is fetched. Raises ResolveError.
    """
    with opened(tools, link, ResolveError) as cache:
        facts = resolve_commit(cache)
        if cutoff is not None and facts.date >= cutoff and _moves(cache):
            facts = cache.bring(_before(cache, facts.commit, cutoff))
        if link.subdir and not cache.has_folder(facts.commit, link.subdir):
            raise ResolveError(f"{link.url} has no folder {link.subdir!r} at {facts.commit[:12]}")
    source = GitSource(
        url=link.url, commit=facts.commit, tree=facts.tree, date=facts.date, ref=link.ref, subdir=link.subdir
    )
    return with_parts(source, tools, link.login)


def _moves(cache: GitCache) -> bool:
    """Whether the ref is a branch, or what HEAD is on."""
    ref = cache.link.ref
    if not ref or ref.startswith("refs/heads/"):
        return True
    return f"refs/heads/{ref}" in cache.ask().refs and not FULL_ID.fullmatch(ref)


def _before(cache: GitCache, commit: str, cutoff: datetime) -> str:
    seconds = int(cutoff.timestamp()) - 1
    found = cache.bring_history(commit).run("rev-list", "-1", "--first-parent", f"--before={seconds}", commit)
    if before := found.stdout.decode("ascii", "replace").strip():
        return before
    raise ResolveError(
        f"{cache.link.url} has no commit of before {cutoff:%Y-%m-%d} on {cache.link.ref or 'its HEAD'}",
        hint="name a tag or a commit instead, or choose a later date with --as-of",
    )
