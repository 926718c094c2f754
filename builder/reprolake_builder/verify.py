"""The proof that an image follows from its lock: it is made once more, from the archives alone, and compared."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.build import build
from reprolake_builder.compare import Difference
from reprolake_builder.differences import entry_changes
from reprolake_builder.documents.lock import EnvironmentLock, GitOrigin
from reprolake_builder.documents.source import GitSource
from reprolake_builder.errors import FetchError
from reprolake_builder.image import USER, Image
from reprolake_builder.inventory import fetched, origins
from reprolake_builder.providers.git.cache import opened
from reprolake_builder.providers.links.git import link_of_pin
from reprolake_builder.rootfs import layer_entries
from reprolake_builder.store import Store, Tree
from reprolake_builder.tools import Tools


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """An image that was made anew, and the store that it was made in."""

    image: Image
    store: Store


def rebuild(lock: EnvironmentLock, repository: Tree, folder: Path, tools: Tools) -> Rebuilt:
    """Return the lock's image, made in a new store below `folder` (empty host folder) where there is nothing but archives.

    Archives of our own store are taken, others fetched; whatever is built from source is built again. Close the store.
    Raises FetchError and BuildError.
    """
    store = Store(folder / "store")
    archives = fetched(lock)
    with tools.progress.step("Taking archives", len(archives)) as step:
        for sha256, archive in archives.items():
            if tools.store.has_sound_archive(sha256):
                store.add_archive(tools.store.pieces(sha256), sha256, archive.filename)
            step.advance()

    anew = dataclasses.replace(tools, store=store)
    for _, origin in origins(lock):
        if isinstance(origin, GitOrigin):
            _take_commits(origin.source, tools, anew)

    def copy(root: Path) -> None:
        shutil.copytree(repository.root, root, symlinks=True, dirs_exist_ok=True)

    source = store.make_tree(repository.key, copy, owner=USER)
    # That the index was made of the pinned files was proven when they came; git's hash of pointers and submodules is not that of files.
    if source.entries != repository.entries:
        raise FetchError(
            "the files of the source in the store are not the pinned ones: they were changed there",
            hint=f"remove {repository.folder} and run the command again: they are fetched anew",
        )
    return Rebuilt(build(lock, source, anew), store)


def _take_commits(source: GitSource, tools: Tools, anew: Tools) -> None:
    """Bring a commit and those of its submodules that our store has into the new one: git computes all ids anew."""
    parts = [(source.url, source.commit), *((part.url, part.commit) for part in source.submodules)]
    for url, commit in parts:
        with (
            opened(tools, link_of_pin(url), FetchError) as ours,
            opened(anew, link_of_pin(url), FetchError) as cache,
        ):
            if ours.facts(f"refs/reprolake/commits/{commit}") is not None:
                cache.take(commit, Path(ours.git.place[1]))  # what cannot be taken is fetched


def first_difference(image: Image, store: Store, rebuilt: Rebuilt) -> Difference | None:
    """Return where an image, whose trees are in `store`, first differs from the rebuilt one; None when it does not."""
    again = rebuilt.image
    if image.id == again.id:
        return None
    if len(image.layers) != len(again.layers):
        return Difference("", "", f"it has {len(image.layers)} layers, built again {len(again.layers)}")
    for number, (was, now) in enumerate(zip(image.layers, again.layers, strict=True)):
        if was.diff_id == now.diff_id:
            continue
        before = {placed.entry.path: placed.entry for placed in layer_entries(image, was, store)}
        after = {placed.entry.path: placed.entry for placed in layer_entries(again, now, rebuilt.store)}
        layer = f"layer {number + 1} of {len(image.layers)} ({was.comment})"
        for change in entry_changes(before, after):
            return Difference(layer, change.path, f"built again: {change.what}")
        return Difference(layer, "", "its files are the same, and their order or form differs")
    return Difference("", "configuration", "the layers are the same, and it differs")
