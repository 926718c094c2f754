"""What the store holds and what was removed from it, counted by kind."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime

from reprolake.pipeline import Session
from reprolake_builder.documents.base import Document
from reprolake_builder.errors import StoreError
from reprolake_builder.stock import KINDS, Item, Unwanted, prune, take_stock


class Line(Document, frozen=True, kw_only=True):
    """All of one kind: `size` in bytes; when one of it was last used, and the one that was not for longest (UTC)."""

    kind: str
    count: int
    size: int
    used: datetime
    oldest: datetime


class Stock(Document, frozen=True, kw_only=True):
    """What `reprolake cache --json` prints. `size` and `free` (on the disk) in bytes."""

    store: str
    size: int
    free: int
    holds: tuple[Line, ...]


class Cleaned(Document, frozen=True, kw_only=True):
    """What `reprolake cache prune --json` prints. `kept` was to go and could not; `size` (bytes) is that of the rest."""

    store: str
    dry_run: bool
    size: int
    removed: tuple[Line, ...]
    kept: tuple[Line, ...]


def examine(session: Session) -> Stock:
    """Return what the store holds. Raises StoreError when there is none."""
    store = session.tools.store
    try:
        free = shutil.disk_usage(store.root).free
    except OSError as error:
        raise StoreError(
            f"there is no store at {store.root}: {error.strerror}",
            hint="`reprolake config` shows where it is looked for",
        ) from error
    items = take_stock(store)
    return Stock(store=str(store.root), size=_size(items), free=free, holds=_lines(items))


def clean(session: Session, unwanted: Unwanted, *, dry_run: bool) -> Cleaned:
    """Remove what is unwanted from the store and return what that was."""
    store = session.tools.store
    items = take_stock(store)
    with session.tools.progress.step("Removing what is not wanted"):
        done = prune(store, items, unwanted, session.now, dry_run=dry_run)
    return Cleaned(
        store=str(store.root),
        dry_run=dry_run,
        size=_size(items) - _size(done.removed),
        removed=_lines(done.removed),
        kept=_lines(done.kept),
    )


def _size(items: Sequence[Item]) -> int:
    return sum(item.size for item in items)


def _lines(items: Sequence[Item]) -> tuple[Line, ...]:
    by_kind = {kind: [item for item in items if item.kind == kind] for kind in KINDS}
    return tuple(
        Line(
            kind=kind,
            count=len(found),
            size=_size(found),
            used=max(item.used for item in found),
            oldest=min(item.used for item in found),
        )
        for kind, found in by_kind.items()
        if found
    )
