"""Sources that are commits of a git repository."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.source import GitSource
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.providers.git import refs
from reprolake_builder.providers.git.cache import CommitFacts, GitCache, opened
from reprolake_builder.providers.git.parts import parts_of, proven_parts
from reprolake_builder.providers.git.write import write_commit
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.providers.links.git import (
    FULL_ID,
    SHORT_ID,
    GitLink,
    is_git_link,
    link_of_pin,
    parse_git_link,
)
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

_SEEN = "git-commits"
_WAY = re.compile(r"(?:[a-z]+://)?(?:[^@/:]+@)?")


class GitProvider:
    """Any repository that git can reach."""

    def recognises(self, link: str) -> bool:
        """Whether the link has the form of a git URL."""
        return is_git_link(link)

    def resolve(self, request: LinkRequest, tools: Tools) -> GitSource:
        """Return the commit that the link's ref names exactly; it is fetched, without history. Raises ResolveError."""
        link = parse_git_link(request.link, request.ref, request.subdir)
        with opened(tools, link, ResolveError) as cache:
            return pin_commit(link, resolve_commit(cache), cache)


def pin_commit(link: GitLink, facts: CommitFacts, cache: GitCache) -> GitSource:
    """Return the source for a commit that the cache has, without its parts (`with_parts`). Raises ResolveError."""
    if link.subdir and not cache.has_folder(facts.commit, link.subdir):
        raise ResolveError(
            f"{link.url} has no folder {link.subdir!r} at {facts.commit[:12]}",
            hint="its folders: " + (", ".join(cache.top_folders(facts.commit)[:10]) or "none"),
        )
    return GitSource(
        url=link.url,
        commit=facts.commit,
        tree=facts.tree,
        date=facts.date,
        ref=link.ref,
        subdir=link.subdir,
    )


def write_git(source: GitSource, root: Path, tools: Tools) -> str:
    """Write the files of the pinned commit below `root` (empty host folder) and return the hash of the commit's tree as written.

    Raises FetchError when the commit or a part of it cannot be had, or its tree cannot be taken.
    """
    return write_commit(link_of_pin(source.url), source.commit, source.left, root, tools)


def prove_git(source: GitSource, tools: Tools) -> None:
    """Return when the repository has that commit, with that tree, date and parts; what was seen once is remembered.

    Raises FetchError otherwise: a lock could claim the commit of one repository for the files of another, which the store has.
    """
    link = link_of_pin(source.url)
    seen = tools.store.get(_SEEN, _seen_key(source), GitSource)
    if seen is None:
        with opened(tools, link, FetchError) as cache:
            facts = cache.bring(source.commit)
        seen = GitSource(
            url=link.url, commit=facts.commit, tree=facts.tree, date=facts.date, left=source.left
        )
        seen = proven_parts(seen, tools, link)
        _remember(seen, tools.store)
    for what, found, pinned in (
        ("id", seen.commit, source.commit),
        ("tree", seen.tree, source.tree),
        ("date", seen.date, source.date),
        ("submodules", _named(seen), _named(source)),
        ("files in Git LFS", seen.lfs, source.lfs),
    ):
        if found != pinned:
            raise FetchError(
                f"the commit {source.commit} of {source.url} has the {what} {found}, pinned is {pinned}",
                hint="the lock was changed by hand; make a new one with `reprolake lock`",
            )


def with_parts(source: GitSource, tools: Tools, login: str = "", ignored: tuple[str, ...] = ()) -> GitSource:
    """Return a commit's source with its submodules, all of which are fetched, and what Git LFS keeps, which is not.

    `login` is the one of the link; `ignored` are paths that may be left as git itself has them. Raises ResolveError.
    """
    found = parts_of(source, tools, login, ignored)
    _remember(found, tools.store)
    return found


def content_key(source: GitSource) -> tuple[str, ...]:
    """Return what tells the files of a source from those of another with the same tree; nothing for a plain commit."""
    parts = tuple(f"{inner.path} {inner.tree}" for inner in source.submodules)
    return (*parts, "lfs", *source.left) if source.lfs is not None else parts


def _named(source: GitSource) -> tuple[tuple[str, str, str, str], ...]:
    """Return what the submodules are; where one has a key for ssh, another one asks the same server by https."""
    return tuple(
        (
            inner.path,
            inner.commit,
            inner.tree,
            _WAY.sub("", inner.url, 1).lower().replace(":22/", "/").replace(":", "/"),
        )
        for inner in source.submodules
    )


def _remember(seen: GitSource, store: Store) -> None:
    store.put(_SEEN, _seen_key(seen), msgspec.structs.replace(seen, ref="", subdir="", record=None))


def _seen_key(source: GitSource) -> str:
    return content_hash([source.url, source.commit, source.left])


def resolve_commit(cache: GitCache) -> CommitFacts:
    """Return the commit that the ref of the cache's link names, fetched without history. Raises ResolveError."""
    ref = cache.link.ref
    if FULL_ID.fullmatch(ref):
        return cache.bring(ref.lower())
    advertised = cache.ask()
    commit = refs.choose(ref, advertised)
    if commit is None and SHORT_ID.fullmatch(ref):
        commit = _by_prefix(cache, ref.lower())
    if commit is None:
        raise _not_found(cache.link, advertised)
    facts = cache.bring(commit)
    if not ref:
        cache.progress.note(f"No ref was given: HEAD is {advertised.head or 'detached'} at {facts.commit}")
    return facts


def _by_prefix(cache: GitCache, prefix: str) -> str | None:
    found = cache.bring_by_prefix(prefix)
    if len(found) > 1:
        raise ResolveError(
            f"{prefix} is the beginning of {len(found)} commits: " + ", ".join(found[:5]),
            hint="give more digits of the one that is meant",
        )
    return found[0] if found else None


def _not_found(link: GitLink, advertised: refs.Advertised) -> ResolveError:
    names = ", ".join(refs.nearest(link.ref, advertised))
    hint = f"nearest: {names}" if names else "it has no branches and no tags"
    if not link.ref:
        return ResolveError(f"{link.url} has no commit that its HEAD names", hint=f"give a ref; {hint}")
    return ResolveError(
        f"{link.url} has no branch, tag or commit {link.ref!r}",
        hint=f"{hint} (an @ that belongs to the path of the URL is written %40)",
    )
