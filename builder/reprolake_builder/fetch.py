"""The fetch stage: a PinnedSource becomes a SourceTree, the very files that were pinned, in the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from reprolake_builder.documents.base import TreeHash, content_hash
from reprolake_builder.documents.lock import LAYOUT
from reprolake_builder.documents.source import (
    FilesSource,
    GitSource,
    HeritageSource,
    LocalSource,
    MercurialSource,
    PinnedSource,
)
from reprolake_builder.errors import FetchError
from reprolake_builder.image import USER
from reprolake_builder.providers.files import prove_files, write_files
from reprolake_builder.providers.git.provider import content_key, prove_git, write_git
from reprolake_builder.providers.heritage.provider import prove_heritage
from reprolake_builder.providers.heritage.vault import write_heritage
from reprolake_builder.providers.local.provider import copy_local
from reprolake_builder.providers.mercurial.provider import prove_mercurial, write_mercurial
from reprolake_builder.source_tree import INSIDE, SourceTree
from reprolake_builder.tools import Tools

__all__ = ["SourceTree", "fetch"]


def fetch(
    source: PinnedSource,
    tools: Tools,
    *,
    source_dir: Path | None = None,
    bring: Callable[[Path], TreeHash] | None = None,
) -> SourceTree:
    """Return the pinned files in the store, brought there if they are missing and proven to be the pinned ones.

    `source_dir` (host path) is where a local folder's files are now, as the user says; without it they are looked for where
    the pin has them, and only a folder with exactly the pinned content is copied. `bring` writes the files into an empty host
    folder and returns git's hash of them: then no place is asked, and that they are what a changeset or an archive's revision
    named is believed of the pin.
    Raises FetchError when the files cannot be had or are others.
    """
    if source_dir is not None and not isinstance(source, LocalSource):
        raise FetchError(
            f"--source-dir is for the locks of local folders; this source is {source.url}",
            hint="leave it away",
        )
    if bring is None or isinstance(source, GitSource | FilesSource):
        _prove(source, tools)

    def fill(folder: Path) -> None:
        root = folder / INSIDE
        root.mkdir()
        found = bring(root) if bring is not None else _write(source, source_dir, root, tools)
        if found != source.tree:
            raise FetchError(
                f"the source's files have the tree {found}, pinned is {source.tree}",
                hint="the lock was changed by hand, or the repository's objects are damaged",
            )

    named = {"layer": "repository", "tree": source.tree, "layout": LAYOUT}
    if isinstance(source, GitSource) and (parts := content_key(source)):
        named["parts"] = parts
    key = content_hash(named)
    found = SourceTree(source, tools.store.make_tree(key, fill, owner=USER))
    if not found.is_folder(source.subdir):
        folders = ", ".join(name for name in found.names("") if found.is_folder(name)) or "none"
        raise FetchError(f"the source has no folder {source.subdir!r}", hint=f"its folders: {folders}")
    return found


def _prove(source: PinnedSource, tools: Tools) -> None:
    """Return when the places of a source, where it has any, still have what is pinned. Raises FetchError."""
    match source:
        case GitSource():
            prove_git(source, tools)
        case FilesSource():
            prove_files(source, tools)
        case MercurialSource():
            prove_mercurial(source, tools)
        case HeritageSource():
            prove_heritage(source, tools)
        case LocalSource():
            pass  # what is copied is the proof


def _write(source: PinnedSource, source_dir: Path | None, root: Path, tools: Tools) -> TreeHash:
    """Write a source's files into an empty host folder and return git's hash of them. Raises FetchError."""
    match source:
        case GitSource():
            return write_git(source, root, tools)
        case FilesSource():
            return write_files(source, root, tools)
        case MercurialSource():
            return write_mercurial(source, root, tools)
        case HeritageSource():
            return write_heritage(source, root, tools)
        case LocalSource():
            return copy_local(source, source_dir, root, tools.progress, tools.git_environment)
    assert_never(source)
