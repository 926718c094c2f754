"""Unit tests of the cut-off date."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.documents.source import FilesSource, GitSource, LocalSource
from reprolake_builder.errors import LockError
from reprolake_builder.solvers.as_of import choose_as_of

NOW = datetime(2026, 5, 4, 12, 30, 15, 123, tzinfo=UTC)
COMMIT = datetime(2022, 11, 30, 18, 0, tzinfo=UTC)


def git(moment: datetime = COMMIT) -> GitSource:
    return GitSource(url="https://example.org/a.git", commit="0" * 40, tree="1" * 40, date=moment)


def files(date_is: str) -> FilesSource:
    return FilesSource(url="https://example.org/a", files=(), tree="1" * 40, date=COMMIT, date_is=date_is)


def local(date_is: str, moment: datetime = COMMIT) -> LocalSource:
    return LocalSource(path="/a", tree="1" * 40, date=moment, date_is=date_is)


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        (git(), "commit + 1 day"),
        (local("commit"), "commit + 1 day"),
        (local("last commit"), "last commit + 1 day"),
        (files("published"), "publication + 1 day"),
        (files("last modified"), "last change + 1 day"),
    ],
    ids=["git", "clean folder", "dirty folder", "record", "address"],
)
def test_a_commit_has_one_day_of_grace(source, origin):
    """What was uploaded within a day after the commit may be used, and the lock can say so."""
    found = choose_as_of(source, "", NOW)
    assert (found.date, found.origin, found.cutoff) == (COMMIT + timedelta(days=1), origin, found.date)


def test_a_folder_without_history_is_resolved_as_of_now():
    """Without a commit nothing is hidden, and the date is that of locking, in whole seconds."""
    found = choose_as_of(local("now", NOW), "", NOW)
    assert (found.date, found.origin, found.cutoff) == (NOW.replace(microsecond=0), "now", None)


def test_grace_never_reaches_into_the_future():
    """A commit of an hour ago is resolved as of now, and the origin says why."""
    found = choose_as_of(git(NOW - timedelta(hours=1)), "", NOW)
    assert found.date == NOW.replace(microsecond=0)
    assert found.origin.startswith("now")
    assert "grace" in found.origin


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2022-12-01", datetime(2022, 12, 1, 23, 59, 59, tzinfo=UTC)),
        ("2022-12-01T06:00", datetime(2022, 12, 1, 6, tzinfo=UTC)),
        ("2022-12-01T06:00:00+02:00", datetime(2022, 12, 1, 4, tzinfo=UTC)),
        ("2022-12-01T06:00:00.9Z", datetime(2022, 12, 1, 6, tzinfo=UTC)),
        (" 2022-12-01 ", datetime(2022, 12, 1, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_the_override_wins(text, moment):
    """A bare date means the end of that day, a time without a zone is in UTC, and the source's date has no say."""
    found = choose_as_of(git(), text, NOW)
    assert (found.date, found.origin, found.hides) == (moment, f"--as-of {text.strip()}", True)


def test_now_hides_nothing():
    """`--as-of now` needs no index that tells upload times."""
    found = choose_as_of(git(), "now", NOW)
    assert (found.date, found.cutoff) == (NOW.replace(microsecond=0), None)


def test_today_means_until_now():
    """The bare date of today is not in the future, though its end is."""
    assert choose_as_of(git(), "2026-05-04", NOW).date == NOW.replace(microsecond=0)


@pytest.mark.parametrize("text", ["2026-05-05", "2026-05-04T12:31", "9999-12-31"])
def test_the_future_is_refused(text):
    """A date that is not over is an error with a valid example."""
    with pytest.raises(LockError, match="future") as caught:
        choose_as_of(git(), text, NOW)
    assert "2022-12-01" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2022-13-01", "01.12.2022", "0001-01-01T00:00+14:00", "\uff12\uff10\uff12\uff12-12-01"],
)
def test_what_is_no_date_is_refused(text):
    """Text that names no moment is an error that shows the forms there are."""
    with pytest.raises(LockError, match="no date"):
        choose_as_of(git(), text, NOW)


@given(st.dates(min_value=date(1990, 1, 1), max_value=date(2026, 5, 3)))
def test_every_past_day_is_understood(day):
    """Any bare date that is over gives the last second of that day."""
    found = choose_as_of(git(), day.isoformat(), NOW)
    assert found.date.date() == day
    assert found.date + timedelta(seconds=1) == datetime.combine(
        day + timedelta(days=1), datetime.min.time(), UTC
    )


@given(
    st.datetimes(
        min_value=datetime.fromisoformat("1990-01-01"), max_value=datetime.fromisoformat("2026-05-01")
    ),
    st.integers(min_value=-14 * 60, max_value=14 * 60),
)
def test_zones_do_not_move_a_moment(moment, minutes):
    """The same moment written in any zone gives the same cut-off."""
    aware = moment.replace(tzinfo=UTC)
    written = aware.astimezone(timezone(timedelta(minutes=minutes))).isoformat()
    assert choose_as_of(git(), written, NOW).date == aware.replace(microsecond=0)


@given(st.text(max_size=40))
def test_any_text_gives_a_past_moment_or_an_error(text):
    """Nothing that a user can type gives a cut-off in the future, or fails otherwise than with a LockError."""
    try:
        found = choose_as_of(git(), text, NOW)
    except LockError:
        return
    assert found.date <= NOW
    assert found.date.tzinfo is UTC
