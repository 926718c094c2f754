"""What a commit consists of beyond its own files: its submodules, at any depth, and the files that Git LFS keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from reprolake_builder.documents.source import GitSource, LfsContent, Submodule
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.git_tree import SUBMODULE, TreeError, check_extent, check_path, shown
from reprolake_builder.providers.git.cache import CommitFacts, GitCache, opened
from reprolake_builder.providers.git.modules import declared_urls, submodule_links
from reprolake_builder.providers.git.pointers import (
    ATTRIBUTES,
    LONGEST,
    Pointer,
    parse_pointer,
    speaks_of_lfs,
)
from reprolake_builder.providers.git.rows import Blobs, Row, rows
from reprolake_builder.providers.links.git import GitLink
from reprolake_builder.tools import Tools

_DEEPEST = 10
_MOST_SUBMODULES = 1000
_LARGEST_ATTRIBUTES = 1 << 20  # bytes
_HINT = "to go on with an empty folder in its place: --ignore {path}"
FILES = {0o100644: False, 0o100664: False, 0o100755: True}
"""Modes of files, and whether they are executable; git itself once wrote 100664."""


@dataclass(frozen=True, slots=True)
class Part:
    """A repository's commit at its place in the source (`path`, with a slash at the end, b"" for the source's own).

    `cache` is open while the part is in hand. `pointers` are the files that Git LFS keeps, by their names in the part.
    """

    path: bytes
    cache: GitCache
    facts: CommitFacts
    submodules: tuple[Row, ...]
    pointers: dict[bytes, Pointer]


@dataclass(frozen=True, slots=True)
class _Place:
    path: bytes
    links: tuple[GitLink, ...]
    commit: str
    depth: int = 0


@dataclass(slots=True)
class Walk:
    """A way through the parts of a source.

    `ignored` are submodules, and .gitattributes files that put others into Git LFS, that are left as git itself has them;
    `left` those of them that were met; `entries` and `size` (bytes) what the parts so far hold together.
    """

    tools: Tools
    failure: type[ResolveError | FetchError]
    ignored: tuple[str, ...] = ()
    left: set[str] = field(default_factory=set)
    entries: int = 0
    size: int = 0

    def parts(self, link: GitLink, commit: str) -> Iterator[Part]:
        """Yield each part, a submodule after the part that has it. Raises `failure` when one cannot be had."""
        pending = [_Place(b"", (link,), commit)]
        met = 0
        while pending:
            place = pending.pop()
            with self._brought(place) as (cache, facts):
                try:
                    part = self._part(place, cache, facts)
                    inner = self._inner(part, place.depth + 1)
                except TreeError as error:
                    raise self.failure(
                        f"the commit {facts.commit} of {cache.link.url} cannot be taken: {error}"
                    ) from error
                yield part
            met += len(inner)
            if met > _MOST_SUBMODULES or (inner and place.depth >= _DEEPEST):
                raise self.failure(
                    f"{link.url} has more than {_MOST_SUBMODULES} submodules, or has them more than {_DEEPEST} deep",
                    hint=_HINT.format(path=shown(inner[0].path.rstrip(b"/"))),
                )
            pending += reversed(inner)

    @contextlib.contextmanager
    def _brought(self, place: _Place) -> Iterator[tuple[GitCache, CommitFacts]]:
        """Yield the commit of a place from the first repository that has it."""
        with contextlib.ExitStack() as stack:
            for number, link in enumerate(place.links, 1):
                try:
                    with contextlib.ExitStack() as attempt:
                        cache = attempt.enter_context(opened(self.tools, link, self.failure))
                        facts = cache.bring(place.commit)
                        stack.enter_context(attempt.pop_all())
                    break
                except self.failure as error:
                    if number < len(place.links):
                        continue
                    if not place.path:
                        raise
                    path = shown(place.path.rstrip(b"/"))
                    raise self.failure(
                        f"the submodule {path} cannot be had: {error.message}",
                        hint=_HINT.format(path=path) if not error.transient else error.hint,
                        transient=error.transient,
                    ) from error
            yield cache, facts

    def _part(self, place: _Place, cache: GitCache, facts: CommitFacts) -> Part:
        submodules: list[Row] = []
        speaking: list[bytes] = []
        pointers: dict[bytes, Pointer] = {}
        with cache.git.converse("cat-file", "--batch") as pipes:
            blobs = Blobs(*pipes)
            for row in rows(cache.git, facts.tree):
                self.size += row.size
                check_extent(self.entries, self.size)
                self.entries += 1
                if row.mode == SUBMODULE:
                    check_path(row.name)
                    if not self._is_left(place.path + row.name):
                        submodules.append(row)
                elif _is_attributes(row) and speaks_of_lfs(blobs.content(row).decode("utf-8", "replace")):
                    path = row.name.removesuffix(ATTRIBUTES.encode())
                    speaking += [] if self._is_left(place.path + row.name) else [path]
            for row in rows(cache.git, facts.tree) if speaking else ():
                small = row.mode in FILES and row.size <= LONGEST and row.name.startswith(tuple(speaking))
                if small and (pointer := parse_pointer(blobs.content(row))):
                    pointers[row.name] = pointer
        self.size += sum(pointer.size for pointer in pointers.values())
        check_extent(0, self.size)
        return Part(place.path, cache, facts, tuple(submodules), pointers)

    def _inner(self, part: Part, depth: int) -> list[_Place]:
        if not part.submodules:
            return []
        link, found = part.cache.link, []
        try:
            urls = declared_urls(part.cache.git, part.facts.tree)
            for row in part.submodules:
                if row.name not in urls:
                    path = shown(part.path + row.name)
                    raise ResolveError(
                        f"{link.url} has a submodule at {path}, of which its .gitmodules says nothing",
                        hint=_HINT.format(path=path),
                    )
                links = submodule_links(link, row.name, urls[row.name])
                found.append(_Place(part.path + row.name + b"/", links, row.object_id.decode(), depth))
        except ResolveError as error:
            path = shown(part.path + part.submodules[len(found)].name)
            raise self.failure(error.message, hint=error.hint or _HINT.format(path=path)) from error
        return found

    def _is_left(self, path: bytes) -> bool:
        text = path.decode("utf-8", "replace")
        if text in self.ignored:
            self.left.add(text)
        return text in self.ignored


def parts_of(source: GitSource, tools: Tools, login: str = "", ignored: tuple[str, ...] = ()) -> GitSource:
    """Return the source with its submodules, all of which are fetched, and what Git LFS keeps, which is not.

    `login` is the one of the link, `ignored` what is to be left as git has it. Raises ResolveError.
    """
    return _with_parts(source, Walk(tools, ResolveError, ignored), GitLink(source.url, login=login))


def proven_parts(source: GitSource, tools: Tools, link: GitLink) -> GitSource:
    """Return the source with the parts that its commit has in truth. Raises FetchError."""
    return _with_parts(source, Walk(tools, FetchError, source.left), link)


def _with_parts(source: GitSource, walk: Walk, link: GitLink) -> GitSource:
    submodules, files, size = [], 0, 0
    for part in walk.parts(link, source.commit):
        files += len(part.pointers)
        size += sum(pointer.size for pointer in part.pointers.values())
        if part.path:
            path = part.path.rstrip(b"/").decode("utf-8", "backslashreplace")
            facts = part.facts
            submodules.append(
                Submodule(path=path, url=part.cache.link.url, commit=facts.commit, tree=facts.tree)
            )
    return msgspec.structs.replace(
        source,
        submodules=tuple(sorted(submodules, key=lambda submodule: submodule.path)),
        lfs=LfsContent(files=files, size=size) if files else None,
        left=tuple(sorted(walk.left)),
    )


def _is_attributes(row: Row) -> bool:
    return (
        row.mode in FILES
        and row.name.rpartition(b"/")[2] == ATTRIBUTES.encode()
        and row.size <= _LARGEST_ATTRIBUTES
    )
