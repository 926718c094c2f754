"""Parameters as a cell."""

from __future__ import annotations

import json
import math

import nbformat.v4
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_runner.documents.run import Parameter
from reprolake_runner.driver.inject import assignments, inject, literal
from reprolake_runner.errors import NotebookError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_a_literal_is_its_value(value):
    """Python reads back from the text exactly the value, with its types."""
    read = eval(literal(value), {"__builtins__": {"float": float}})
    assert read == value
    assert json.dumps(read) == json.dumps(value)


@given(st.text(st.characters()))
def test_a_string_is_never_code(text):
    """Any string, quotes and control characters and half surrogates included, stays one line and one constant."""
    found = literal(text)
    assert "\n" not in found
    assert eval(found, {"__builtins__": {}}) == text


def test_floats_that_json_lacks():
    """NaN and infinities are spelled so that Python has them."""
    assert math.isnan(eval(literal(math.nan)))
    assert eval(literal([math.inf, -math.inf])) == [math.inf, -math.inf]


@pytest.mark.parametrize("value", [10**5000, -(10**5000)], ids=["positive", "negative"])
def test_huge_integers(value):
    """Numbers beyond Python's limit for decimal digits are written in another base."""
    assert eval(literal(value)) == value


def test_bottomless_nesting_is_refused():
    """What Python's parser could not read is an error here."""
    value: list[object] = []
    for _ in range(200):
        value = [value]
    with pytest.raises(NotebookError, match="nested deeper"):
        literal(value)


@pytest.mark.parametrize("name", ["x=1; import os; y", "class", "", "a b", "a\nb", "1a"])
def test_names_must_be_names(name):
    """A name that is none of Python's is refused, not written down."""
    with pytest.raises(NotebookError, match="cannot be the name"):
        assignments([Parameter(name=name, value=1, origin="-p")])


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


def test_other_languages_are_refused():
    """Python text is not written into a notebook of another language."""
    with pytest.raises(NotebookError, match="notebook in R"):
        inject(notebook(("1",)), GIVEN, "R")
