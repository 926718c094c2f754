"""Which trees share a layer: few layers, stable ones first, and the same answer for one lock everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from reprolake_builder.documents.base import Document, Sha256, content_hash
from reprolake_builder.documents.lock import LAYOUT
from reprolake_builder.image import ImageLayer
from reprolake_builder.progress import Progress
from reprolake_builder.store import Store, Tree
from reprolake_builder.trees import merge, write_tar

OWN_LAYER = 1 << 20
"""Bytes: a package of at least this unpacked size is a layer of its own. A constant of the layout version."""
MAX_LAYERS = 100
"""Docker refuses more than 125; a site that stacks layers of its own on the image needs room."""
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Part:
    """A tree and what it is, in words."""

    name: str
    tree: Tree


class LayerDigest(Document, frozen=True, kw_only=True):
    """The digest of a layer's tar stream, and its size in bytes."""

    diff_id: str
    size: int


def order_packages(
    packages: Sequence[Part], requested: Collection[str], most: int = MAX_LAYERS
) -> tuple[tuple[Part, ...], ...]:
    """Return the packages grouped into layers, lowest first; no more than `most` of them have one of their own.

    An engine wants every layer again that lies on a changed one. So what changes least and what costs most to send lies
    lowest: packages that were not `requested` by name, then those that were, the largest first; all small ones, of which one or
    another always changes, share the last layer. Where two packages claim one path the later in this order wins, in the image
    and in a run alike.
    """
    by_name = sorted(packages, key=lambda part: part.name)
    large = [part for part in by_name if part.tree.size >= OWN_LAYER]
    if len(large) > most:
        large = sorted(large, key=lambda part: -part.tree.size)[:most]
    chosen = {part.name for part in large}
    # By powers of two, so that a package does not change its place with every release.
    large.sort(key=lambda part: (part.name in requested, -part.tree.size.bit_length(), part.name))
    small = tuple(part for part in by_name if part.name not in chosen)
    return (*((part,) for part in large), *((small,) if small else ()))


def make_layers(
    groups: Sequence[tuple[Part, ...]], store: Store, progress: Progress
) -> tuple[ImageLayer, ...]:
    """Return the image's layers; a layer's digest is computed once per store."""
    with progress.step("Hashing layers", len(groups)) as step, ThreadPoolExecutor() as pool:

        def one(group: tuple[Part, ...]) -> ImageLayer:
            trees = tuple(part.tree.key for part in group)
            known = _digest(group, trees, store)
            step.advance()
            comment = group[0].name if len(group) == 1 else f"{len(group)} small packages"
            return ImageLayer(diff_id=known.diff_id, size=known.size, trees=trees, comment=comment)

        return tuple(pool.map(one, groups))


def _digest(group: tuple[Part, ...], trees: tuple[Sha256, ...], store: Store) -> LayerDigest:
    key = content_hash({"layer": "merged", "layout": LAYOUT, "trees": trees})
    if (known := store.get("layers", key, LayerDigest)) is not None:
        return known
    digest = hashlib.sha256()
    placed, _ = merge((part.tree.root, part.tree.entries) for part in group)
    size = write_tar(placed, digest.update)
    made = LayerDigest(diff_id="sha256:" + digest.hexdigest(), size=size)
    store.put("layers", key, made)
    return made


def conflicts(groups: Sequence[tuple[Part, ...]]) -> tuple[str, ...]:
    """Return, in words, the files that two packages claim with different content; the later of them wins.

    Of many files that two packages share the first are named.
    """
    owner: dict[bytes, tuple[Part, bytes]] = {}
    found: dict[tuple[str, str], list[str]] = {}
    for part in (part for group in groups for part in group):
        for entry in part.tree.entries:
            if entry.kind == "d":
                continue
            before = owner.get(entry.path)
            if before is not None and before[1] != entry.sha256 + entry.target:
                path = entry.path.decode("utf-8", "backslashreplace")
                found.setdefault((before[0].name, part.name), []).append(path)
            owner[entry.path] = (part, entry.sha256 + entry.target)
    return tuple(
        sentence for (lower, upper), paths in found.items() for sentence in _claims(lower, upper, paths)
    )


def _claims(lower: str, upper: str, paths: Sequence[str]) -> Iterator[str]:
    for path in paths[:_NAMED]:
        yield f"{lower} and {upper} both hold {path}; that of {upper} is used"
    if (more := len(paths) - _NAMED) > 0:
        yield f"{lower} and {upper} both hold {more} more files; those of {upper} are used"
