"""The table of requirement sets in docs/reference: whole, explained, and true of the sets that are quick to do."""

from __future__ import annotations

from datetime import date

import pytest

from bench.time_travel import IMPORTED, PAGE, RequirementSet, read_sets, travel

SETS = {asked.name: asked for asked in read_sets()}
QUICK = {"data science course": "3.9", "the weeks after numpy 2": "3.11"}


def rows() -> list[list[str]]:
    """Return the cells of each row of the table."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| 20")]
    return [[cell.strip() for cell in line.replace("\\|", "/").strip("|").split("|")] for line in lines]


def test_the_table_has_every_set():
    """Twenty sets of 2019 to 2025, each with the date, requirements and rung that it came to rest at, or none."""
    assert len(SETS) == 20
    assert [(row[0], row[1].partition(":")[0]) for row in rows()] == [
        (str(asked.date), asked.name) for asked in SETS.values()
    ]
    assert {row[0][:4] for row in rows()} == {str(year) for year in range(2019, 2026)}


def test_no_row_is_unexplained():
    """A set either gave an image whose modules were imported, or the reason stands there for each Python."""
    for _, name, python, rung, packages, _, result in rows():
        if result.startswith(IMPORTED):
            assert python.startswith("3."), name
            assert rung in {"date", "other Python", "environment files"}, name
            assert int(packages) > 0, name
        else:
            assert python == rung == packages == "-", name
            assert "Python 3.9" in result, name
            assert "could not build" in result or "has no wheel" in result, name


@pytest.mark.engine("bubblewrap")
@pytest.mark.parametrize("name", QUICK)
def test_a_set_does_what_the_table_says(name, session, tmp_path):
    """Its lock, image and imports are those of the row."""
    found = travel(SETS[name], tmp_path / "r", session)
    row = next(row for row in rows() if row[1].startswith(f"{name}:"))
    assert found.sentence == IMPORTED
    assert found.python.startswith(QUICK[name])
    assert [found.python, found.rung, str(found.packages)] == row[2:5]


@pytest.mark.engine("bubblewrap")
def test_a_set_that_cannot_be_had_gives_its_sentence(session, tmp_path):
    """What no Python on offer has is told for each of them, with why it is no wonder."""
    asked = RequirementSet(name="a", date=date(2019, 3, 15), requirements="tensorflow==1.13.1\n", imports=())
    found = travel(asked, tmp_path / "r", session)
    for minor in ("3.9", "3.11", "3.13"):
        assert (
            f"Python {minor}: tensorflow has no wheel for Python {minor} as of 2019-03-16" in found.sentence
        )
    assert "Python 3.9, the oldest on offer, came on 2020-10-05" in found.sentence
