"""A root file system as a value: what is at each path once an image's layers are laid over each other.

Source: OCI image specification 1.1, layer.md, "Applying Changesets".
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from reprolake_builder.errors import PublishError
from reprolake_builder.image import Image, ImageLayer
from reprolake_builder.process import printable
from reprolake_builder.store import Store
from reprolake_builder.trees import Entry, Owned, Placed, merge, write_tar

_WHITEOUT = b".wh."


@dataclass(frozen=True, slots=True)
class Item:
    """One path: its entry, the host path of a file's content, and the number of the layer that it comes from (0 is the lowest).

    Of several hard links the first in order is the file, and the others have its path as target.
    """

    entry: Entry
    content: bytes
    layer: int


def layer_entries(image: Image, layer: ImageLayer, store: Store) -> list[Placed]:
    """Return what the layer's tar stream is made of, in order. Raises PublishError when the store lacks it."""
    trees = [tree for key in layer.trees if (tree := store.tree(key)) is not None]
    if len(trees) != len(layer.trees):
        raise PublishError(
            f"the store {store.root} lacks trees of image {image.id[:19]}",
            hint="build the image again: `reprolake build`",
        )
    return merge((tree.root, tree.entries) for tree in trees)[0]


def write_layer(image: Image, layer: ImageLayer, store: Store, write: Callable[[bytes], object]) -> None:
    """Write the layer's tar stream. Raises PublishError at its end when it is not what the image promises."""
    plain = hashlib.sha256()

    def take(data: bytes) -> None:
        plain.update(data)
        write(data)

    try:
        write_tar(layer_entries(image, layer, store), take)
        same = "sha256:" + plain.hexdigest() == layer.diff_id
    except (ValueError, FileNotFoundError):  # a file of another length, or none
        same = False
    if not same:
        folders = [tree.folder for key in layer.trees[:3] if (tree := store.tree(key)) is not None]
        raise PublishError(
            f"layer {layer.comment!r} no longer has the bytes it was built with: the store {store.root} was changed",
            hint=f"remove {' '.join(map(str, folders))} and build again",
        )


def flatten(layers: Iterable[Sequence[Placed]]) -> list[Item]:
    """Return the root file system of layers, lowest first, sorted by path so that a folder stands before what is in it.

    A hard link keeps the content that it had in its own layer. Raises PublishError for what no file system can hold: a name
    such as "..", something below what is not a folder.
    """
    at: dict[bytes, Item] = {}
    owned: dict[bytes, Owned] = {}  # by host path of the content, for hard links have one owner and one mode
    for number, layer in enumerate(layers):
        for placed in layer:
            item = _item(placed, number, at)
            path, kind = item.entry.path, item.entry.kind
            if path in at and at[path].entry.kind == "d" and kind != "d":
                for below in [other for other in at if other.startswith(path + b"/")]:
                    del at[below]
            at[path] = item
            owned[item.content] = Owned(item.entry.mode, item.entry.uid, item.entry.gid)
    return _with_links(at, owned)


def _item(placed: Placed, layer: int, at: Mapping[bytes, Item]) -> Item:
    """Return the item of an entry; a hard link is a file with the content of what it links to."""
    entry = placed.entry
    name = entry.path.rpartition(b"/")[2]
    if name in {b"", b".", b".."} or b"\0" in entry.path or name.startswith(_WHITEOUT):
        raise PublishError(
            f"{shown(entry.path)} is no path for a root file system: OCI images give such names another meaning"
        )
    if entry.kind != "h":
        return Item(entry, os.fsencode(placed.root) + b"/" + entry.path, layer)
    linked = at.get(entry.target)
    if linked is None or linked.entry.kind != "f":
        raise PublishError(f"{shown(entry.path)} is a hard link to {shown(entry.target)}, which is no file")
    file = linked.entry
    return Item(
        Entry(entry.path, "f", entry.mode, entry.uid, entry.gid, file.size, file.sha256),
        linked.content,
        layer,
    )


def _with_links(at: Mapping[bytes, Item], owned: Mapping[bytes, Owned]) -> list[Item]:
    first: dict[bytes, bytes] = {}  # host path of a content -> path of the first file that has it
    items = []
    for path in sorted(at):
        item = at[path]
        folder = path.rpartition(b"/")[0]
        if folder and (folder not in at or at[folder].entry.kind != "d"):
            raise PublishError(
                f"{shown(path)} has its place below {shown(folder)}, which is no folder in the image"
            )
        if item.entry.kind == "f":
            if first.setdefault(item.content, path) != path:
                link = msgspec.structs.replace(
                    item.entry, kind="h", size=0, sha256=b"", target=first[item.content]
                )
                item = replace(item, entry=link)
            if (common := owned[item.content]) != (item.entry.mode, item.entry.uid, item.entry.gid):
                item = replace(item, entry=msgspec.structs.replace(item.entry, **common._asdict()))
        items.append(item)
    return items


def shown(path: bytes) -> str:
    """Return a path in the image as printable text, from its root."""
    return "/" + printable(path.decode("utf-8", "backslashreplace")).replace("\n", "\\n")
