"""The file beside a notebook that says what its parameters are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notebook_runs import cell, notebook

from reprolake_runner.bind import BindOptions, bind, refuse_unfilled
from reprolake_runner.declared import declared_parameters
from reprolake_runner.errors import NotebookError
from reprolake_runner.notebook import read_notebook
from reprolake_runner.sidecar import with_sidecar

CELL = 'bins = 10\nobs = 7\nname = "Crab"\nplain = 1.5'
TAGGED = (cell(CELL, "parameters"),)
SCHEMA = {
    "bins": {"type": "integer", "minimum": 1, "maximum": 100, "description": "of the histogram"},
    "obs": {"type": "string"},
    "name": {"type": "string", "enum": ["Crab", "Vela"]},
    "emax": {"type": ["number", "null"], "default": 10},
    "events": {"type": "array"},
}


@pytest.fixture
def bound(tmp_path):
    """Binds values (-p) for a notebook with these cells and this file beside it."""

    def bind_them(*values, schema=SCHEMA, cells=TAGGED, language=""):
        (tmp_path / "sub").mkdir(exist_ok=True)
        (tmp_path / "sub/n.ipynb").write_text(notebook(*cells))
        (tmp_path / "sub/n.parameters.json").write_text(json.dumps(schema))
        read = read_notebook(tmp_path, "sub/n.ipynb", language=language)
        binding = bind(read, None, BindOptions(values=values))
        refuse_unfilled(binding)
        return binding.parameters

    return bind_them


def test_types_come_from_the_file(bound):
    """What the file says goes before what the cell's default looks like; what the cell alone has keeps its type."""
    found = bound(("obs", "007"), ("bins", "007"), ("plain", "2"), ("events", '["a"]')).values
    assert found == {"obs": "007", "bins": 7, "plain": 2.0, "events": ["a"], "emax": 10.0}
    assert type(found["plain"]) is type(found["emax"]) is float


def test_a_default_of_the_file_is_given_where_the_notebook_has_none(bound):
    """It is recorded as the file's, and anything that is given wins over it."""
    origins = {one.name: one.origin for one in bound(("events", "[]")).parameters}
    assert origins == {"events": "-p", "emax": "sub/n.parameters.json"}
    assert bound(("events", "[]"), ("emax", "null")).values["emax"] is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (("bins", "0"), "1 or more"), (("bins", "101"), "100 or less"), (("bins", "1.5"), "whole number"),
        (("name", "Geminga"), "one of 'Crab', 'Vela'"), (("events", "3"), "a list is needed"), (("evnts", "[]"), "events"),
    ],
)  # fmt: skip
def test_what_the_file_does_not_allow_is_refused(bound, value, said):
    """Bounds, choices, types and names hold, and the error says what would do."""
    with pytest.raises(NotebookError) as caught:
        bound(value)
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_what_nothing_gives_is_refused(bound):
    """A parameter without a default, neither in the notebook nor in the file, has to be given."""
    with pytest.raises(NotebookError, match="no default for events"):
        bound()


def test_notebooks_of_other_languages_have_typed_parameters(bound):
    """Where the cell cannot be read the file alone knows types and names; what it has no default for the cell may set."""
    given = bound(("obs", "007"), language="R", cells=(cell("obs <- 1", "parameters"),))
    assert given.values == {"obs": "007", "emax": 10.0}
    with pytest.raises(NotebookError, match="no parameter nmae"):
        bound(("nmae", "x"), language="R", cells=(cell("obs <- 1", "parameters"),))


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"bins": {"typ": "integer"}}, "did you mean type"), ({"bins": {"type": "int"}}, "is no type"),
        ({"bins": {"type": ["integer", "string"]}}, "is no type"), ({"bins": {"minimum": "1"}}, "minimum is no number"),
        ({"bins": {"enum": 3}}, "enum is no list"), ({"bins": 3}, "expected an object"), ([], "expected an object"),
        ({"x": {"type": "integer", "default": "a"}}, "does not fit"),
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_refused(bound, schema, said):
    """Whatever is wrong with it, the error names the file and what it understands."""
    with pytest.raises(NotebookError) as caught:
        bound(schema=schema)
    assert "n.parameters.json" in caught.value.message
    assert said in caught.value.message


def test_a_link_out_of_the_repository_is_refused(bound, tmp_path):
    """The file has to be one of the repository."""
    bound(("events", "[]"))
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    inside = tmp_path / "inside"
    (tmp_path / "sub").rename(inside)
    (inside / "n.parameters.json").unlink()
    (inside / "n.parameters.json").symlink_to(secret)
    with pytest.raises(NotebookError, match="leads out of the repository"):
        read_notebook(inside, "n.ipynb")


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5) | st.booleans(),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "enum", "bins", "default"]), inner)))  # fmt: skip
def test_any_json_is_understood_or_refused(value):
    """Whatever JSON lies there, it gives parameters or the error that names it."""
    told = ""
    found = declared_parameters(CELL, "n", 0)
    try:
        found = with_sidecar(found, json.dumps(value).encode(), "f", is_complete=True)
    except NotebookError as error:
        told = error.message
    assert told.startswith("f: ") or not told
    assert {one.name for one in found} >= {"bins", "obs", "name", "plain"}
