"""Unit tests of which Pythons are tried, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reprolake_builder.documents.environment import Asked
from reprolake_builder.errors import LockError
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.python_choice import candidates


def as_of(year: int) -> AsOf:
    return AsOf(datetime(year, 12, 1, tzinfo=UTC), "commit + 1 day", hides=True)


def order(*texts: str, override: str = "", year: int = 2026) -> list[str]:
    declared = [Asked(text=text, origin="runtime.txt:1") for text in texts]
    return [candidate.python.version for candidate in candidates(declared, override, as_of(year))]


@pytest.mark.parametrize(
    ("year", "expected"),
    [
        (2026, ["3.13", "3.11", "3.9"]),
        (2022, ["3.11", "3.9", "3.13"]),
        (2021, ["3.9", "3.11", "3.13"]),
        (2019, ["3.9", "3.11", "3.13"]),
    ],
)
def test_the_newest_of_the_time_comes_first(year, expected):
    """Pythons of the time are tried newest first, later ones after them, oldest first."""
    assert order(year=year) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("==3.11.*",), ["3.11"]),
        ((">=3.10",), ["3.13", "3.11"]),
        ((">=3.9", "<3.12"), ["3.11", "3.9"]),
        (("~=3.9",), ["3.13", "3.11", "3.9"]),
        (("==3.11.2",), ["3.11"]),
        ((">=3.11.1",), ["3.13", "3.11"]),
        ((">=3.11.4",), ["3.13"]),
    ],
)
def test_all_declared_specifiers_hold(texts, expected):
    """Only Pythons that every specifier accepts are tried."""
    assert order(*texts) == expected


def test_another_patch_release_serves_but_not_in_silence():
    """A pinned patch release that no suite has is served by the same minor version, and a note says so."""
    (only,) = candidates([Asked(text="==3.11.4", origin="runtime.txt:1")], "", as_of(2026))
    assert only.python.version == "3.11"
    assert "3.11.2" in only.note
    assert "==3.11.4 (runtime.txt:1)" in only.note


def test_exact_answers_leave_no_note():
    """A specifier that a suite's Python meets needs no remark."""
    assert {
        candidate.note for candidate in candidates([Asked(text=">=3.9", origin="a:1")], "", as_of(2026))
    } == {""}


@pytest.mark.parametrize("texts", [("==3.8.*",), (">=3.14",), ("<3.10", ">=3.11")])
def test_a_python_that_nobody_offers_is_an_error_that_lists_what_there_is(texts):
    """The error names the demand with its place, what is on offer and the override."""
    with pytest.raises(LockError, match=r"3\.9, 3\.11, 3\.13") as caught:
        order(*texts)
    assert f"{texts[0]} (runtime.txt:1)" in caught.value.message
    assert "--python 3.11" in caught.value.hint


def test_the_override_takes_the_place_of_what_is_declared():
    """`--python` wins over the repository, and a contradiction is noted."""
    (only,) = candidates([Asked(text="==3.9.*", origin="runtime.txt:1")], "3.11", as_of(2026))
    assert only.python.version == "3.11"
    assert "runtime.txt:1" in only.note
    (agreed,) = candidates([Asked(text=">=3.9", origin="runtime.txt:1")], "3.11", as_of(2026))
    assert agreed.note == ""


def test_the_override_may_name_a_patch_release():
    """`--python 3.11.4` gives the suite's 3.11 with a note."""
    (only,) = candidates([], "3.11.4", as_of(2026))
    assert only.python.version == "3.11"
    assert "3.11.4" in only.note


@pytest.mark.parametrize("text", ["3.8", "3", "python3.11", "3.11; import os", "3.011"])
def test_an_override_that_nobody_offers_is_an_error(text):
    """What is not on offer cannot be chosen; the error lists what can."""
    with pytest.raises(LockError, match=r"3\.9, 3\.11, 3\.13"):
        order(override=text)


def test_nonsense_about_python_is_an_error_with_its_place():
    """Text that is no specifier is refused where it stands."""
    with pytest.raises(LockError, match=r"runtime\.txt:1"):
        order("three")
