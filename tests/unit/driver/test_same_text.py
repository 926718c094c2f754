"""Texts that say the same, and texts that do not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_runner.driver.same_text import compare_texts

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def compared(saved, new, tolerance=1e-6):
    return compare_texts(saved, new, tolerance, NOW)


@given(st.text())
def test_a_text_is_itself(text):
    """No text differs from itself."""
    assert compared(text, text) is None


@given(st.text(), st.text())
def test_any_two_texts_can_be_compared(saved, new):
    """Whatever they hold, the comparison ends, and says the same both ways as to whether it matters."""
    there, back = compared(saved, new), compared(new, saved)
    assert (there is None) == (back is None) == (saved == new)


@pytest.mark.parametrize(
    ("saved", "new"),
    [
        ("<Crab object at 0x7f34f5de91c0>", "<Crab object at 0x7fa1b2c3d4e5>"),
        ("saved to /tmp/tmpab12/x.fits.", "saved to /tmp/tmpzz99/x.fits."),
        ("<ipython-input-3-0123abcd>", "<ipython-input-4-ffff0000>"),
        ("id 6f1c2d3e-0000-4000-8000-0123456789ab", "id aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"),
        ("started 2023-05-01 10:00:00.123", "started 2026-11-22 08:59:12.5"),
        ("Mon May  1 10:00:00 2023", "Sun Nov 22 09:26:46 2026"),
        ("CPU times: user 1.2 s, sys: 3 ms, total: 1.3 s\nWall time: 1.25 s", "CPU times: user 980 ms, sys: 1 µs, total: 1 s\nWall time: 1min 2s"),
        ("1.23 ms ± 4.1 µs per loop", "980 µs ± 12 ns per loop"),
        ("fit took 0:01:02", "fit took 13.5"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("   a    b\n1  2.0", "  a  b\n1 2.0"),
        ("flux 1.2345678", "flux 1.2345679"),
        ("rest 1e-17", "rest -3e-18"),
        ("a\r\nb", "a\nb"),
    ],
)  # fmt: skip
def test_what_changes_from_run_to_run_is_let_pass(saved, new):
    """Addresses, clocks, durations, temporary paths, spaces and rounding make no difference that matters, and are told."""
    found = compared(saved, new)
    assert found is not None
    assert not found.matters


@pytest.mark.parametrize(
    ("saved", "new", "reason"),
    [
        ("flux 1.2345", "flux 1.2346", "1.2345 became 1.2346"),
        ("42 events", "43 events", "42 became 43"),
        ("1000000 events", "1000001 events", "1000000 became 1000001"),
        ("mean: nan", "mean: 1.0", "'mean: nan' became 'mean: 1.0'"),
        ("x = 1", "x = -1", "1 became -1"),
        ("seen 2013-10-08 12:00:00", "seen 2013-10-09 12:00:00", "08 became 09"),
        ("exposure 1800 s", "exposure 1700 s", "1800 became 1700"),
        ("a b", "a c", "became 'a c'"),
        ("1 2", "1 2 3", "3 numbers, it had 2"),
        ("0x12", "0x13", "became"),
    ],
)
def test_what_is_data_matters(saved, new, reason):
    """Other numbers, words, dates of data and times that nobody measured are differences, each told by where it is."""
    found = compared(saved, new)
    assert found is not None
    assert found.matters
    assert reason in found.reason


def test_the_tolerance_is_the_users():
    """A wider tolerance lets more pass; whole numbers stay exact."""
    assert not compared("1.00", "1.05", tolerance=0.1).matters
    assert compared("100", "101", tolerance=0.1).matters


def test_an_endless_line_is_compared_soon():
    """Patterns do not run wild on a long line of what they look for."""
    long = "-+.e0x/tmp/" * 20_000
    assert compared(long, f"{long} x").matters
