"""Basket: what the user selected, in one form whatever service it comes from, and free of tokens."""

from __future__ import annotations

from typing import Any, Literal

from reprolake_builder.documents.base import Document


class BasketItem(Document, frozen=True, kw_only=True):
    """One selected thing.

    `id` is derived from the record; `archive` names the service it comes from ("" unknown); `url` where its bytes are
    ("" when there are none to fetch); `path` (sandbox path) where they lie during a run, "" before stage in. `size` in bytes.
    `checksums` by algorithm name in lower case, hexadecimal. `record` is what the service said, minus credentials.
    """

    id: str
    archive: str = ""
    kind: Literal["file", "collection", "export", "unknown"] = "unknown"
    name: str
    url: str = ""
    path: str = ""
    size: int | None = None
    checksums: dict[str, str] = {}
    record: Any = None


class Basket(Document, frozen=True, kw_only=True):
    """All selected things, in the user's order."""

    version: Literal[1] = 1
    items: tuple[BasketItem, ...] = ()
