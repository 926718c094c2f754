"""Parameters as a cell."""

from __future__ import annotations

import json

import nbformat.v4

from reprolake_runner.documents.run import Parameter
from reprolake_runner.driver.inject import hide_code, inject


def notebook(*cells, minor=5):
    """A notebook of code cells, each a source with its tags."""
    made = []
    for number, (source, *tags) in enumerate(cells):
        cell = {
            "cell_type": "code",
            "metadata": {"tags": tags} if tags else {},
            "source": source,
            "outputs": [],
        }
        made.append(cell | ({"id": f"c{number}"} if minor >= 5 else {}) | {"execution_count": None})
    return nbformat.v4.reads(
        json.dumps({"nbformat": 4, "nbformat_minor": minor, "metadata": {}, "cells": made})
    )


GIVEN = (Parameter(name="bins", value=20, origin="-p"), Parameter(name="path", value='a"b', origin="--map"))


def test_the_cell_follows_the_parameters_cell():
    """The injected cell stands right after the one tagged parameters."""
    found = notebook(("a = 0",), ("bins = 10", "parameters"), ("print(bins)",))
    inject(found, GIVEN, "python")
    assert [cell.source for cell in found.cells] == [
        "a = 0",
        "bins = 10",
        "# Parameters\nbins = 20\npath = 'a\"b'",
        "print(bins)",
    ]
    assert found.cells[2].metadata.tags == ["injected-parameters"]
    nbformat.validate(found)


def test_without_a_parameters_cell_it_is_the_first():
    """A notebook that declares none gets them at the top."""
    found = notebook(("print(1)",))
    inject(found, GIVEN, "python")
    assert found.cells[0].metadata.tags == ["injected-parameters"]


def test_an_injected_cell_is_replaced():
    """Running an executed notebook again leaves one injected cell, in its place."""
    found = notebook(("bins = 10", "parameters"), ("bins = 15", "injected-parameters"), ("print(bins)",))
    inject(found, GIVEN, "python")
    inject(found, GIVEN, "python")
    assert [cell.source[:6] for cell in found.cells] == ["bins =", "# Para", "print("]


def test_nothing_to_inject_changes_nothing():
    """Without parameters the notebook stays as it is."""
    found = notebook(("bins = 10", "parameters"))
    before = nbformat.v4.writes(found)
    inject(found, (), "R")
    assert nbformat.v4.writes(found) == before


def test_ids_are_unique_and_only_where_the_format_has_them():
    """Notebooks before 4.5 get no cell id; later ones one that no other cell has."""
    old = notebook(("1",), minor=4)
    inject(old, GIVEN, "python")
    assert "id" not in old.cells[0]
    taken = notebook(("1",))
    taken.cells[0]["id"] = "injected-parameters"
    inject(taken, GIVEN, "python")
    assert taken.cells[0].id == "injected-parameters-2"


def test_each_language_gets_its_own_text():
    """The cell is written in the language of the kernel that runs it."""
    found = notebook(("print(1)",))
    inject(found, GIVEN, "R")
    assert found.cells[0].source == '# Parameters\nbins = 20\npath = "a\\"b"'
    inject(found, GIVEN, "bash")
    assert found.cells[0].source == "# Parameters\nbins=20\npath='a\"b'"


def test_other_languages_are_left_alone():
    """Into a notebook of a language that we do not write nothing is put: its parameters lie in a file."""
    found = notebook(("1",))
    inject(found, GIVEN, "scala")
    assert [cell.source for cell in found.cells] == ["1"]


def test_report_mode_hides_code_and_keeps_other_metadata():
    """Every code cell's source is marked as hidden, whatever its metadata held before."""
    found = notebook(("1",), ("2",))
    found.cells[0].metadata["jupyter"] = {"outputs_hidden": False}
    found.cells[1].metadata["jupyter"] = "nonsense"
    hide_code(found)
    assert [cell.metadata.jupyter for cell in found.cells] == [
        {"outputs_hidden": False, "source_hidden": True},
        {"source_hidden": True},
    ]
