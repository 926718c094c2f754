"""Notebooks that hold anything: each is refused in words, or read, prepared and begun as any other."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reprolake_builder.process import printable
from reprolake_runner.documents.run import Parameter, ParameterSet
from reprolake_runner.driver.inject import hide_code, inject
from reprolake_runner.driver.notebook_file import NotebookFile
from reprolake_runner.driver.protocol import LINE_LIMIT, KernelReady
from reprolake_runner.errors import NotebookError
from reprolake_runner.languages import language_of
from reprolake_runner.notebook import read_notebook
from reprolake_runner.prepare import prepared_notebook

KEYS = (
    "cell_type", "source", "metadata", "outputs", "execution_count", "id", "attachments", "tags", "papermill", "jupyter",
    "output_type", "data", "text", "name", "text/plain", "image/png", "kernelspec", "language_info", "language", "nbformat",
)  # fmt: skip
WORDS = st.sampled_from(
    ["code", "markdown", "raw", "parameters", "injected-parameters", "python", "python2", "python3", "R", "ir", "stream",
     "display_data", "error", "stdout", "x = 1", "print 'x'", "\ud800", "\x00", "../x", ""]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | WORDS | st.text(max_size=10)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | WORDS, inner, max_size=4)
    ),
    max_leaves=10,
)
SOURCES = st.just("x = 1") | WORDS | st.lists(WORDS, max_size=3) | VALUES
OBJECTS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)
OUTPUTS = st.fixed_dictionaries(
    {"output_type": st.sampled_from(["stream", "display_data", "error", "execute_result", "odd"])},
    optional={
        "text": VALUES,
        "data": OBJECTS | VALUES,
        "metadata": VALUES,
        "name": VALUES,
        "traceback": VALUES,
    },
)
CELLS = st.fixed_dictionaries(
    {
        "cell_type": st.sampled_from(["code", "code", "markdown", "raw", "heading"]),
        "source": SOURCES,
        "metadata": st.just({})
        | st.just({"tags": ["parameters"]})
        | st.just({"tags": ["injected-parameters"]})
        | OBJECTS
        | VALUES,
    },
    optional={
        "outputs": st.lists(OUTPUTS, max_size=2) | VALUES,
        "execution_count": VALUES,
        "id": VALUES,
        "attachments": VALUES,
    },
)
METADATA = st.fixed_dictionaries(
    {},
    optional={
        "kernelspec": OBJECTS | VALUES,
        "language_info": OBJECTS | VALUES,
        "papermill": VALUES,
        "widgets": VALUES,
    },
)
NOTEBOOKS = st.fixed_dictionaries(
    {
        "nbformat": st.just(4) | VALUES,
        "metadata": METADATA | VALUES,
        "cells": st.lists(CELLS, max_size=4) | VALUES,
    },
    optional={"nbformat_minor": st.integers(0, 6) | VALUES, "more": VALUES},
)
PARAMETERS = (Parameter(name="x", value="é", origin="-p"),)


def nothing(**more):
    """A notebook with one cell and whatever else."""
    cell = {"cell_type": "code", "source": "1", "metadata": {}, "outputs": [], "execution_count": None}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell], **more}


def begun(folder, name):
    """What the driver does with a notebook before its first cell, and at its end."""
    file = NotebookFile(folder / name, folder / "out.ipynb", "test")
    for cell in file.notebook.cells:
        if cell.cell_type == "code":
            cell["outputs"] = []
            cell["execution_count"] = None
    inject(file.notebook, PARAMETERS, "python")
    hide_code(file.notebook)
    file.begin(name, PARAMETERS)
    file.save()
    file.end(failed=False)
    file.save()


@given(NOTEBOOKS)
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(nothing())
@example(nothing(cells=[{"cell_type": "code", "source": "1", "metadata": {}}]))
@example(nothing(cells=[{"cell_type": "raw", "source": "1", "metadata": {}, "attachments": {"a": 5}}]))
@example(
    nothing(
        cells=[
            {
                "cell_type": "code",
                "source": "1",
                "metadata": {},
                "outputs": [{"output_type": "display_data", "data": 5}],
            }
        ]
    )
)
@example(
    nothing(
        cells=[
            {
                "cell_type": "code",
                "source": "1",
                "metadata": {},
                "outputs": [{"output_type": "stream", "text": [5]}],
            }
        ]
    )
)
@example(nothing(cells=[{"cell_type": "code", "source": "1", "metadata": {}, "outputs": [{}]}]))
@example(
    nothing(
        cells=[{"cell_type": "code", "source": "1", "metadata": {}, "outputs": [{"output_type": "stream"}]}],
        nbformat_minor=0,
    )
)
@example(nothing(metadata={"language_info": {"name": 5}}))
@example(nothing(metadata={"papermill": [], "kernelspec": {"name": "x" * 300}}))
def test_any_notebook_is_refused_or_can_be_begun(tmp_path, made):
    """What is read as a notebook is one for all that follows; what is not is a NotebookError that says so."""
    (tmp_path / "a.ipynb").write_text(json.dumps(made))
    refused, notebook = "", None
    try:
        notebook = read_notebook(tmp_path, "a.ipynb")
    except NotebookError as error:
        refused = error.message
    assert printable(refused) == refused
    if notebook is None:
        return
    if language_of(notebook.dialect) is not None:
        prepared = prepared_notebook(tmp_path, notebook, ParameterSet(parameters=PARAMETERS))
        assert json.loads(prepared)["cells"]
    begun(tmp_path, "a.ipynb")
    assert json.loads((tmp_path / "out.ipynb").read_bytes())["cells"]


UNBEARABLE = {
    "deep": ('"metadata": {}, "outputs"', '"metadata": {"x": ' + "[" * 600 + "]" * 600 + '}, "outputs"', "levels"),
    "deep where nobody looks": ('"execution_count": null', '"x": ' + '{"a":' * 600 + "1" + "}" * 600, "levels"),
    "a long number": ('"execution_count": null', '"x": ' + "9" * 5000, "digits"),
}  # fmt: skip


@pytest.mark.parametrize(("there", "instead", "said"), UNBEARABLE.values(), ids=UNBEARABLE)
def test_what_the_driver_could_not_read_is_refused_before(tmp_path, there, instead, said):
    """JSON that is valid and breaks the libraries of those who read it is no fault of the driver's: nothing is begun."""
    text = json.dumps(nothing())
    assert there in text
    (tmp_path / "a.ipynb").write_text(text.replace(there, instead))
    with pytest.raises(NotebookError, match=said):
        read_notebook(tmp_path, "a.ipynb")


def test_brackets_in_text_are_no_levels(tmp_path):
    """Only the structure counts: text may hold any number of brackets, quotes and digits, and 200 levels can be begun."""
    source = '"\\[{' * 3000 + "9" * 5000
    deep = json.loads("[" * 190 + "]" * 190)
    made = nothing(cells=[{"cell_type": "code", "source": source, "metadata": {"x": deep}}])
    (tmp_path / "a.ipynb").write_text(json.dumps(made))
    assert read_notebook(tmp_path, "a.ipynb").code[0].text == source
    begun(tmp_path, "a.ipynb")


def test_the_cells_of_a_notebook_have_a_limit(tmp_path):
    """So many cells that the driver could not name them in one line are refused; that many less one can be told."""
    cell = '{"cell_type":"code","source":"","metadata":{}}'
    for cells, is_read in ((100_000, True), (100_001, False)):
        text = f'{{"nbformat":4,"nbformat_minor":4,"metadata":{{}},"cells":[{",".join([cell] * cells)}]}}'
        (tmp_path / "a.ipynb").write_text(text)
        with (
            contextlib.nullcontext() if is_read else pytest.raises(NotebookError, match="the limit is 100000")
        ):
            read_notebook(tmp_path, "a.ipynb")
    told = msgspec.json.encode(KernelReady(info={}, cells=tuple(range(100_000))))
    assert len(told) < LINE_LIMIT
