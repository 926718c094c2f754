"""The notebook with its parameters, not run."""

from __future__ import annotations

import contextlib
import json

import nbformat
import pytest
from notebook_runs import cell, notebook

from reprolake_runner.documents.run import Parameter, ParameterSet
from reprolake_runner.errors import NotebookError
from reprolake_runner.notebook import read_notebook
from reprolake_runner.prepare import prepared_notebook

GIVEN = ParameterSet(parameters=(Parameter(name="n", value=[1, "é"], origin="-p"),))


def prepared(folder, text, **how):
    (folder / "a.ipynb").write_text(text)
    data = prepared_notebook(folder, read_notebook(folder, "a.ipynb"), GIVEN, **how)
    return nbformat.reads(data.decode(), as_version=4)


def test_parameters_are_in_and_all_else_is_as_it_was(tmp_path):
    """The cell follows the tagged one, the metadata names the parameters, outputs stay."""
    shown = cell("print(n)")
    shown["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["0\n"]}]
    found = prepared(tmp_path, notebook(cell("n = 0", "parameters"), shown))
    nbformat.validate(found)
    assert [one.source for one in found.cells] == ["n = 0", "# Parameters\nn = [1, 'é']", "print(n)"]
    assert found.metadata.papermill.parameters == {"n": [1, "é"]}
    assert found.cells[2].outputs[0].text == "0\n"
    assert "jupyter" not in found.cells[0].metadata


def test_report_mode_counts_here_too(tmp_path):
    """The prepared notebook hides its code when that is asked for."""
    found = prepared(tmp_path, notebook("1"), report_mode=True)
    assert all(one.metadata.jupyter.source_hidden for one in found.cells)


def test_a_language_that_is_not_written_is_refused(tmp_path):
    """Without a cell for the parameters the notebook would be another than was asked for."""
    made = json.loads(notebook("1"))
    made["metadata"]["kernelspec"]["language"] = "scala"
    with pytest.raises(NotebookError, match="in scala") as caught:
        prepared(tmp_path, json.dumps(made))
    assert "Python, R, Julia, bash" in caught.value.hint


@pytest.mark.parametrize(
    "damage", [{"metadata": {"tags": 5}}, {"id": 7}, {"outputs": 3}, {"source": ["a", "b"]}]
)
def test_odd_notebooks_never_end_in_a_traceback(tmp_path, damage):
    """A stranger's cell is prepared or refused as no notebook."""
    made = json.loads(notebook("1"))
    made["cells"][0] |= damage
    with contextlib.suppress(NotebookError):
        assert prepared(tmp_path, json.dumps(made)).cells[0].metadata.tags == ["injected-parameters"]
