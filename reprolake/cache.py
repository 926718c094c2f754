"""What the store holds and what was removed from it, counted by kind."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime

from reprolake.pipeline import Session
from reprolake_builder.damage import find_damage
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


class Damaged(Document, frozen=True, kw_only=True):
    """Something that is not as it was written: where it lies below the store, and what is wrong with it.

    `removed` tells whether it is gone now; it stays while a running process uses it.
    """

    kind: str
    path: str
    why: str
    removed: bool = False


class Checked(Document, frozen=True, kw_only=True):
    """What `reprolake cache check --json` prints: how much was read (`size` in bytes), and what of it is damaged."""

    store: str
    count: int
    size: int
    damaged: tuple[Damaged, ...]


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


def check(session: Session, *, discard: bool) -> Checked:
    """Read the whole store and return what is damaged; with `discard` that is removed."""
    store = session.tools.store
    items = take_stock(store)
    damaged = tuple(
        Damaged(
            kind=found.item.kind,
            path=found.item.path.relative_to(store.root).as_posix(),
            why=found.why,
            removed=discard and store.discard(found.item.path),
        )
        for found in find_damage(items, session.tools.progress)
    )
    return Checked(store=str(store.root), count=len(items), size=_size(items), damaged=damaged)


def refuse_damage(report: Checked) -> None:
    """Raise StoreError when something damaged is still there."""
    left = [found for found in report.damaged if not found.removed]
    if left and len(left) == len(report.damaged):
        raise StoreError(
            f"{len(left)} of {report.count} things in the store {report.store} are not as they were written",
            hint="`reprolake cache check --discard` removes them; what is needed is fetched or made again",
        )
    if left:
        raise StoreError(
            f"{len(left)} damaged things in the store {report.store} are used by running processes, or are another user's",
            hint="call again when these have ended",
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
