"""What the probe found, as a document."""

from __future__ import annotations

from reprolake_builder.documents.base import Document


class Row(Document, frozen=True, kw_only=True):
    """One promise, whether it holds, and what was seen if it does not.

    What is not promised of every sandbox has `why` it differs; such a row may hold or not.
    """

    name: str
    promise: str
    holds: bool
    seen: str = ""
    why: str = ""


class Probed(Document, frozen=True, kw_only=True):
    """The verdicts on one sandbox; with a `problem` it cannot be used here, and nothing was tried."""

    sandbox: str
    ok: bool
    problem: str = ""
    rows: tuple[Row, ...] = ()


class ProbeReport(Document, frozen=True, kw_only=True):
    """The verdicts on all sandboxes that were asked for; `ok` when all that can be used keep what they promise."""

    ok: bool
    sandboxes: tuple[Probed, ...]
