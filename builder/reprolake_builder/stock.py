"""What a store holds, what of it nothing refers to, and removing what is not wanted any more."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reprolake_builder.errors import StoreError
from reprolake_builder.image import LOCK_IN_IMAGE, REPOSITORY
from reprolake_builder.store import Store, Tree

KINDS = (
    "archives",
    "layers",
    "sources",
    "damaged",
    "images",
    "locks",
    "answers",
    "git caches",
    "hg caches",
    "uv cache",
)
# What is had again at the least cost goes first where the last uses are of the same day.
_CHEAP_FIRST = {kind: cost for cost, kind in enumerate(("damaged", "archives", "git caches", "hg caches"))}
# An image is also found by what it is made from: that document is an answer that spares building.
_DOCUMENTS = {"images-by-id": "images", "locks": "locks"}
_NAME = re.compile(r"[0-9a-f]{64}")
_HASH = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_URL = re.compile(rb'"url":\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, slots=True)
class Item:
    """Something in the store that can be removed by itself: one of KINDS at `path` (host), `size` in bytes, last `used` (UTC).

    `referred` tells whether an image or a lock in the store refers to it, or might.
    """

    kind: str
    path: Path
    size: int
    used: datetime
    referred: bool = True


@dataclass(frozen=True, slots=True)
class Unwanted:
    """What is to go: what was not used for `older_than`, and only what nothing refers to when `unused`.

    With `max_size` (bytes) no more of it goes than brings the store down to that, what was used longest ago first.
    """

    older_than: timedelta | None = None
    max_size: int | None = None
    unused: bool = False


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, and what was to go but stayed: a process uses it, or it is another user's."""

    removed: tuple[Item, ...]
    kept: tuple[Item, ...]


def take_stock(store: Store) -> tuple[Item, ...]:
    """Return everything in the store that has its final name; what has a name that is not ours is left out."""
    known = _mentioned(store.root)
    return (
        *_archives(store.root, known),
        *_trees(store.root, known),
        *_documents(store.root),
        *_caches(store.root, known),
    )


def prune(
    store: Store, items: Iterable[Item], unwanted: Unwanted, now: datetime, *, dry_run: bool = False
) -> Pruned:
    """Remove from the store what is unwanted; a dry run only tells what would go. Raises StoreError."""
    items = tuple(items)
    total = sum(item.size for item in items)
    removed: list[Item] = []
    kept: list[Item] = []
    for item in sorted(items, key=_first_to_go):
        if unwanted.max_size is not None and total <= unwanted.max_size:
            break
        if unwanted.older_than is not None and now - item.used < unwanted.older_than:
            continue
        if unwanted.unused and item.referred:
            continue
        if not store.discard(item.path, dry_run=dry_run):
            kept.append(item)
            continue
        total -= item.size
        removed.append(item)
    return Pruned(tuple(removed), tuple(kept))


def _first_to_go(item: Item) -> tuple[int, int, datetime]:
    return item.used.toordinal(), _CHEAP_FIRST.get(item.kind, len(_CHEAP_FIRST)), item.used


def _mentioned(root: Path) -> set[str]:
    """Return every hash that an image or lock of the store holds, and the names of the repositories that they are from.

    Looking for what looks like a hash, whatever it stands for, also honours documents of other versions.
    """
    found: set[str] = set()
    for kind in _DOCUMENTS:
        for path in _listed(root / "documents" / kind):
            found |= _mentions(path)
    for key in tuple(found):
        found |= _mentions(root / "trees" / key[:2] / key / "root" / LOCK_IN_IMAGE.lstrip("/"))
    return found


def _mentions(path: Path) -> set[str]:
    try:
        text = path.read_bytes()
    except OSError:
        return set()
    found = {match.decode() for match in _HASH.findall(text)}
    for url in _URL.findall(text):
        with contextlib.suppress(ValueError):
            found.add(hashlib.sha256(json.loads(url).encode()).hexdigest())
    return found


def _archives(root: Path, known: set[str]) -> Iterator[Item]:
    for path in _named(root / "archives"):
        if (info := _info(path)) is not None and stat.S_ISREG(info.st_mode):
            yield Item("archives", path, info.st_size, _time(info), path.name in known)


def _trees(root: Path, known: set[str]) -> Iterator[Item]:
    for path in _named(root / "trees"):
        folder, index = _info(path), _info(path / "index")
        try:
            if folder is not None and index is not None:
                size = Tree(path.name, path).size + index.st_size
                is_source = [item.name for item in _listed(path / "root")] == [REPOSITORY.lstrip("/")]
                kind = "sources" if is_source else "layers"
                yield Item(kind, path, size, _time(index), path.name in known)
                continue
        except StoreError:
            pass  # its index cannot be read
        if folder is not None:
            yield Item("damaged", path, _size(path), _time(folder), referred=False)


def _documents(root: Path) -> Iterator[Item]:
    for folder in _listed(root / "documents"):
        for path in _listed(folder):
            if (info := _info(path)) is not None and stat.S_ISREG(info.st_mode):
                yield Item(_DOCUMENTS.get(folder.name, "answers"), path, info.st_size, _time(info))


def _caches(root: Path, known: set[str]) -> Iterator[Item]:
    for program in ("git", "hg"):
        for path in _listed(root / program):
            if _NAME.fullmatch(path.name) and (info := _info(path)) is not None:
                yield Item(f"{program} caches", path, _size(path), _time(info), path.name in known)
    if (info := _info(root / "uv")) is not None:
        yield Item("uv cache", root / "uv", _size(root / "uv"), _time(info))


def _named(folder: Path) -> Iterator[Path]:
    for group in _listed(folder):
        yield from (
            path for path in _listed(group) if _NAME.fullmatch(path.name) and path.name[:2] == group.name
        )


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []  # not there, not a folder, or gone meanwhile


def _info(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def _time(info: os.stat_result) -> datetime:
    return datetime.fromtimestamp(info.st_mtime, UTC)


def _size(folder: Path) -> int:
    """Return the bytes of all files below a folder, which may be changing."""
    found = 0
    for path, _, names in os.walk(folder):
        for name in names:
            if (info := _info(Path(path, name))) is not None:
                found += info.st_size
    return found
