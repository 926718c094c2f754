"""Sources that are commits of a git repository."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.source import GitSource
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.git_tree import (
    LONGEST_TARGET,
    PIECE,
    SUBMODULE,
    SYMLINK,
    TreeError,
    TreeWriter,
    check_extent,
    shown,
)
from reprolake_builder.progress import Progress
from reprolake_builder.providers import git_refs
from reprolake_builder.providers.git_cache import CommitFacts, GitCache, opened
from reprolake_builder.providers.git_command import Git
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.providers.links import GitLink, is_git_link, parse_git_link
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

_SEEN = "git-commits"
_LISTING = 1 << 16  # bytes
_MODES = {0o100644: False, 0o100664: False, 0o100755: True}  # git itself once wrote 100664


class GitProvider:
    """Any repository that git can reach."""

    def recognises(self, link: str) -> bool:
        """Whether the link has the form of a git URL."""
        return is_git_link(link)

    def resolve(self, request: LinkRequest, tools: Tools) -> GitSource:
        """Return the commit that the link's ref names exactly; it is fetched, without history. Raises ResolveError."""
        link = parse_git_link(request.link, request.ref, request.subdir)
        with opened(tools, link, ResolveError) as cache:
            return pin_commit(link, resolve_commit(cache), cache, tools)


def pin_commit(link: GitLink, facts: CommitFacts, cache: GitCache, tools: Tools) -> GitSource:
    """Return the source for a commit that the cache has; what was seen of it is remembered. Raises ResolveError."""
    if link.subdir and not cache.has_folder(facts.commit, link.subdir):
        raise ResolveError(
            f"{link.url} has no folder {link.subdir!r} at {facts.commit[:12]}",
            hint="its folders: " + (", ".join(cache.top_folders(facts.commit)[:10]) or "none"),
        )
    source = GitSource(
        url=link.url,
        commit=facts.commit,
        tree=facts.tree,
        date=facts.date,
        ref=link.ref,
        subdir=link.subdir,
    )
    _remember(source, tools.store)
    return source


def write_git(source: GitSource, root: Path, tools: Tools) -> str:
    """Write the files of the pinned commit below `root` (empty host folder) and return the hash of what was written.

    Raises FetchError when the commit cannot be had or its tree cannot be taken.
    """
    with opened(tools, _link_of(source), FetchError) as cache:
        facts = cache.bring(source.commit)
    return _write_tree(cache.git, facts, root, tools.progress)


def prove_git(source: GitSource, tools: Tools) -> None:
    """Return when the repository has that commit, with that tree and that date; what was seen once is remembered.

    Raises FetchError otherwise: a lock could claim the commit of one repository for the files of another, which the store has.
    """
    link = _link_of(source)
    seen = tools.store.get(_SEEN, _seen_key(source), GitSource)
    if seen is None:
        with opened(tools, link, FetchError) as cache:
            facts = cache.bring(source.commit)
        seen = GitSource(url=link.url, commit=facts.commit, tree=facts.tree, date=facts.date)
        _remember(seen, tools.store)
    for what, found, pinned in (
        ("id", seen.commit, source.commit),
        ("tree", seen.tree, source.tree),
        ("date", seen.date, source.date),
    ):
        if found != pinned:
            raise FetchError(
                f"the commit {source.commit} of {source.url} has the {what} {found}, pinned is {pinned}",
                hint="the lock was changed by hand; make a new one with `reprolake lock`",
            )


def _remember(seen: GitSource, store: Store) -> None:
    store.put(_SEEN, _seen_key(seen), msgspec.structs.replace(seen, ref="", subdir=""))


def _seen_key(source: GitSource) -> str:
    return content_hash([source.url, source.commit])


def _link_of(source: GitSource) -> GitLink:
    """Return the link of a pin, which may come from anybody: its URL is parsed as strictly as one that was typed."""
    try:
        link = parse_git_link(source.url)
    except ResolveError as error:
        raise FetchError(f"the pinned source cannot be fetched: {error.message}", hint=error.hint) from error
    if (link.url, link.ref, link.subdir) != (source.url, "", ""):
        raise FetchError(
            f"the pinned source cannot be fetched: {source.url} is not the plain form {link.url}",
            hint="the lock was changed by hand; a lock names no login, ref or sub-folder in its URL",
        )
    return link


def resolve_commit(cache: GitCache) -> CommitFacts:
    """Return the commit that the ref of the cache's link names, fetched without history. Raises ResolveError."""
    ref = cache.link.ref
    if git_refs.FULL_ID.fullmatch(ref):
        return cache.bring(ref.lower())
    advertised = cache.ask()
    commit = git_refs.choose(ref, advertised)
    if commit is None and git_refs.SHORT_ID.fullmatch(ref):
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


def _not_found(link: GitLink, advertised: git_refs.Advertised) -> ResolveError:
    names = ", ".join(git_refs.nearest(link.ref, advertised))
    hint = f"nearest: {names}" if names else "it has no branches and no tags"
    if not link.ref:
        return ResolveError(f"{link.url} has no commit that its HEAD names", hint=f"give a ref; {hint}")
    return ResolveError(
        f"{link.url} has no branch, tag or commit {link.ref!r}",
        hint=f"{hint} (an @ that belongs to the path of the URL is written %40)",
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of `git ls-tree --long`."""

    mode: int
    name: bytes
    object_id: bytes
    size: int


def _write_tree(git: Git, facts: CommitFacts, root: Path, progress: Progress) -> str:
    writer = TreeWriter(root)
    try:
        total = _measure(git, facts.tree)
        with (
            progress.step("Writing the repository's files", total) as step,
            git.converse("cat-file", "--batch") as (ask, answer),
        ):
            for row in _rows(git, facts.tree):
                if row.mode == SUBMODULE:
                    writer.submodule(row.name, row.object_id.decode())
                    continue
                if row.mode == SYMLINK and row.size > LONGEST_TARGET:
                    raise TreeError(f"the symbolic link {shown(row.name)} has a target of {row.size} bytes")
                _ask(ask, answer, row)
                if row.mode == SYMLINK:
                    writer.symlink(row.name, b"".join(_content(answer, row)))
                elif row.mode in _MODES:
                    writer.file(row.name, row.size, _content(answer, row), executable=_MODES[row.mode])
                else:
                    raise TreeError(f"{shown(row.name)} has the mode {row.mode:o}, which no file may have")
                _read(answer, 1)
                step.advance(row.size)
    except TreeError as error:
        raise FetchError(f"the commit {facts.commit} cannot be taken: {error}") from error
    return writer.tree_hash


def _measure(git: Git, tree: str) -> int:
    """Return the bytes of all files. Raises TreeError for a tree made to be endless, before anything of it is written."""
    total = 0
    for count, row in enumerate(_rows(git, tree)):
        total += row.size
        check_extent(count, total)
    return total


def _rows(git: Git, tree: str) -> Iterator[_Row]:
    with git.converse("ls-tree", "-r", "-z", "--long", "--full-tree", tree) as (_, listing):
        rest = b""
        while piece := listing.read(_LISTING):
            *lines, rest = (rest + piece).split(b"\0")
            for line in lines:
                head, _, name = line.partition(b"\t")
                mode, _, object_id, size = head.split()
                yield _Row(int(mode, 8), name, object_id, 0 if size == b"-" else int(size))
        if rest:
            raise TreeError("git could not list all of the tree")


def _ask(ask: IO[bytes], answer: IO[bytes], row: _Row) -> None:
    """Ask for a blob; its content stands at `answer` afterwards."""
    ask.write(row.object_id + b"\n")
    ask.flush()
    if answer.readline() != b"%s blob %d\n" % (row.object_id, row.size):
        raise TreeError(f"the content of {shown(row.name)} is missing or damaged")


def _content(answer: IO[bytes], row: _Row) -> Iterator[bytes]:
    left = row.size
    while left:
        piece = _read(answer, min(left, PIECE))
        left -= len(piece)
        yield piece


def _read(answer: IO[bytes], size: int) -> bytes:
    piece = answer.read(size)
    if len(piece) != size:
        raise TreeError("git ended while it gave a file's content")
    return piece
