"""The cut-off date of time travel: which uploads of language packages a resolution may see."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from reprolake_builder.documents.source import GitSource, PinnedSource
from reprolake_builder.errors import LockError

GRACE = timedelta(days=1)
"""Projects release right after the commit that needs the release."""
_BARE_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_WORDS = {"published": "publication", "last modified": "last change"}
_LAST_MOMENT = time(23, 59, 59)


@dataclass(frozen=True, slots=True)
class AsOf:
    """The cut-off `date` (UTC, whole seconds) and where it comes from; `hides` tells whether any upload can be later than it."""

    date: datetime
    origin: str
    hides: bool

    @property
    def cutoff(self) -> datetime | None:
        """The date for a resolver, or None where there is nothing to hide (then upload times need not be known)."""
        return self.date if self.hides else None

    @property
    def day(self) -> str:
        """The date for messages."""
        return f"{self.date:%Y-%m-%d}"


def choose_as_of(source: PinnedSource, override: str, now: datetime) -> AsOf:
    """Return the cut-off: the `--as-of` text `override` when it is not "", else the source's date with a day of grace.

    `now` is in UTC. Raises LockError for a text that is no date, or one in the future.
    """
    now = now.astimezone(UTC).replace(microsecond=0)
    if override:
        return parse_as_of(override, now)
    kind = "commit" if isinstance(source, GitSource) else _WORDS.get(source.date_is, source.date_is)
    if kind == "now":
        return AsOf(now, "now", hides=False)
    graced = source.date.astimezone(UTC).replace(microsecond=0) + GRACE
    if graced >= now:
        return AsOf(now, f"now: the day of grace after the {kind} is not over", hides=False)
    return AsOf(graced, f"{kind} + 1 day", hides=True)


def as_of_files(changed: datetime, paths: Sequence[str]) -> AsOf:
    """Return the cut-off for files that were last `changed` then (UTC), with a day of grace."""
    what = paths[0] if len(paths) == 1 else "the environment files"
    return AsOf(changed.replace(microsecond=0) + GRACE, f"last change of {what} + 1 day", hides=True)


def parse_as_of(text: str, now: datetime) -> AsOf:
    """Return the cut-off that the user wrote; `now` is in UTC, whole seconds. Raises LockError as `choose_as_of` does."""
    text = text.strip()
    if text == "now":
        return AsOf(now, "--as-of now", hides=False)
    asked = _parsed(text)
    today = _BARE_DATE.fullmatch(text) is not None and asked.date() == now.date()
    if asked > now and not today:
        raise LockError(
            f"--as-of {text} lies in the future",
            hint="give a date that is over, such as `--as-of 2022-12-01`, or `--as-of now`",
        )
    if asked >= now:
        return AsOf(now, f"now: the day of --as-of {text} is not over", hides=False)
    return AsOf(asked, f"--as-of {text}", hides=True)


def _parsed(text: str) -> datetime:
    """Return the moment that the text names, in UTC; a bare date means the end of that day, a time without zone is UTC."""
    try:
        if _BARE_DATE.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), _LAST_MOMENT, UTC)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError) as error:
        raise LockError(
            f"--as-of {text!r} is no date",
            hint="write a date such as 2022-12-01, a time such as 2022-12-01T12:00:00Z, or `now`",
        ) from error
