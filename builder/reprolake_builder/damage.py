"""What of a store is not any more as it was written: archives by their names, trees by their indexes, documents by their form.

Disks and people change files behind the store's back, and what a run reads is not hashed each time.
"""

from __future__ import annotations

import concurrent.futures
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from reprolake_builder.documents.base import file_sha256
from reprolake_builder.errors import StoreError
from reprolake_builder.process import printable
from reprolake_builder.progress import Progress
from reprolake_builder.stock import Item
from reprolake_builder.store import Tree, is_whole
from reprolake_builder.trees import Entry, content_digest, walk

_CHECKED = {"archives", "layers", "sources", "damaged", "images", "locks", "answers"}


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in the store that is not as it was written, and what is wrong with it."""

    item: Item
    why: str


def find_damage(items: Iterable[Item], progress: Progress) -> tuple[Damage, ...]:
    """Return what is damaged, once every byte was read; what vanishes meanwhile is none of it.

    Left out are the caches of git and uv, which check what they keep when it is used.
    """
    checked = [item for item in items if item.kind in _CHECKED]
    with (
        progress.step("Reading the store", sum(item.size for item in checked)) as step,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):

        def judge(item: Item) -> str:
            try:
                return _fault(item)
            except OSError as error:
                return f"it cannot be read: {error.strerror}"
            finally:
                step.advance(item.size)

        faults = zip(checked, pool.map(judge, checked), strict=True)
        return tuple(Damage(item, why) for item, why in faults if why and os.path.lexists(item.path))


def _fault(item: Item) -> str:
    if item.kind == "archives":
        found = file_sha256(item.path)
        return "" if found == item.path.name else f"its bytes have the SHA-256 {found}"
    if item.kind in {"layers", "sources", "damaged"}:
        return _fault_of_tree(item.path)
    try:
        msgspec.json.decode(item.path.read_bytes())
    except (msgspec.DecodeError, RecursionError):
        return "it is no JSON"
    return ""


def _fault_of_tree(folder: Path) -> str:
    if not is_whole(folder):
        return "its index is not as it was written"
    try:
        entries = Tree(folder.name, folder).entries
    except StoreError as error:
        return error.message
    expected = {entry.path: entry for entry in entries}
    base = os.fsencode(folder / "root")
    for path, info in walk(base):
        entry = expected.pop(path, None)
        if entry is None:
            return f"{_told(path)} was added"
        if why := _difference(entry, base, info):
            return f"{_told(path)} {why}"
    return f"{_told(next(iter(expected)))} is missing" if expected else ""


def _difference(entry: Entry, base: bytes, info: os.stat_result) -> str:
    on_disk = base + b"/" + entry.path
    kinds = {"f": stat.S_ISREG, "h": stat.S_ISREG, "d": stat.S_ISDIR, "l": stat.S_ISLNK}
    if not kinds[entry.kind](info.st_mode):
        return "is of another kind"
    if entry.kind == "l" and os.readlink(on_disk) != entry.target:
        return "leads elsewhere"
    if entry.kind == "h" and not os.path.samefile(on_disk, base + b"/" + entry.target):
        return "is no link to its other name any more"
    if entry.kind == "f" and (info.st_size != entry.size or content_digest(on_disk) != entry.sha256):
        return "has other bytes"
    return ""


def _told(path: bytes) -> str:
    return printable(path.decode("utf-8", "backslashreplace"))
