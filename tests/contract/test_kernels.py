"""What a run promises of a notebook, whatever the kernel: the same table for each."""

from __future__ import annotations

import json

import pytest
from kernel_images import KERNELS, VALUES, kernel_image
from notebook_runs import Runs, cell

pytestmark = pytest.mark.engine("bubblewrap")


@pytest.fixture(scope="module", params=KERNELS)
def kernel(request):
    """One kernel after the other."""
    return KERNELS[request.param]


@pytest.fixture(scope="module")
def run(kernel, request, session, tmp_path_factory):
    """Runs a notebook of these cells in the kernel."""
    (name,) = (name for name, one in KERNELS.items() if one is kernel)
    image = kernel_image(name, session, tmp_path_factory.mktemp("repository"))
    runs = Runs(image, session.tools.store, tmp_path_factory.mktemp("runs"))

    def call(*cells, **given):
        made = json.loads(notebook_of(kernel, cells))
        return runs(files={"a.ipynb": json.dumps(made)}, path="a.ipynb", **given)

    return call


def notebook_of(kernel, cells):
    """The JSON of a notebook of the kernel."""
    spec = {"name": kernel.name, "display_name": kernel.name, "language": kernel.language}
    made = [one if isinstance(one, dict) else cell(one) for one in cells]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": spec}, "cells": made})


@pytest.fixture(scope="module")
def done(kernel, run):
    """A run in which all goes well, with an output of each kind."""
    says = kernel.speech
    cells = [
        cell(says.declares, "parameters"),
        says.shows,
        says.complains,
        says.rich,
        says.long,
        says.updates,
        says.shell,
        says.widget,
    ]
    return run(*(one for one in cells if one), cell(says.asks, "raises-exception"), parameters=VALUES)


def test_a_run_that_goes_well(done, kernel):
    """Every cell runs, in the kernel that the notebook names, and the record says so."""
    assert (done.record.status, done.record.exit_code, done.record.kernel) == ("succeeded", 0, kernel.name), (
        done.record
    )
    assert set(done.states[:-1]) == {"succeeded"}


def test_parameters_arrive_with_their_types(done, kernel):
    """Numbers, truth, nothing, lists and objects are what they are in the language, and text is nothing but text."""
    heard = kernel.speech.heard(done.text(2))
    if kernel.language == "bash":
        assert heard == ["7", "0.5", VALUES["name"], "true", "", '[1, "a"]', '{"k": [2.5]}']
    else:
        assert heard == list(VALUES.values())


def test_standard_error_is_kept_apart(done):
    """What goes to standard error is an output of its own, where the kernel tells the two apart."""
    outputs = [one for one in done.notebook["cells"][3]["outputs"] if one["output_type"] == "stream"]
    assert "to stderr" in "".join("".join(one["text"]) for one in outputs)


def test_rich_output_is_kept(done):
    """HTML arrives as HTML, with its letters."""
    outputs = done.notebook["cells"][4]["outputs"]
    assert "<b>é</b>" in [
        "".join(one["data"]["text/html"]).strip() for one in outputs if "text/html" in one.get("data", {})
    ]


def test_long_output_is_whole(done, kernel):
    """Every line arrives of two megabytes, or of as many as the kernel is known not to drop by itself."""
    found = [int(line.split()[1]) for line in done.text(5).splitlines() if line.startswith("line ")]
    assert found == list(range(len(found)))
    assert len(found) == kernel.lines


def test_displays_are_updated(done, kernel):
    """A display that is updated shows what it was updated to, and that only."""
    if not kernel.speech.updates:
        pytest.skip("the language has no displays that can be updated")
    assert "second" in done.text(6)
    assert "first" not in done.text(6)


def test_a_shell_line_that_fails_is_told(done, kernel):
    """Kernels that are started by us tell of shell lines, of any age."""
    told = [one for one in done.record.warnings if "the shell line `false` failed with exit status 1" in one]
    assert len(told) == bool(kernel.speech.shell), done.record.warnings


def test_nobody_is_asked(done, kernel):
    """Input is refused: the cell that asks fails, and does not wait."""
    if not kernel.speech.asks:
        pytest.skip("the kernel gives programs a terminal, on which nobody types")
    assert done.states[-1] == "allowed-failure"


def test_an_error_ends_the_run(run, kernel):
    """The cell that raises is named, with its words, and nothing after it runs."""
    done = run(kernel.speech.complains, kernel.speech.fails, kernel.speech.complains)
    assert (done.record.status, done.record.exit_code, done.states) == (
        "failed",
        1,
        ["succeeded", "failed", "pending"],
    )
    assert "In [2]" in done.record.message
    assert kernel.speech.failure in done.record.message


def test_a_cell_that_takes_too_long_is_interrupted(run, kernel):
    """It is ended by an interrupt, which the kernel understands, and the run with it."""
    done = run(kernel.speech.waits, execution_timeout=3)
    assert (done.record.status, done.record.exit_code, done.states) == ("timed-out", 24, ["failed"])
    if kernel.name != "xpython":  # which says that it was interrupted, and is not
        assert done.record.cells[0].seconds < 7.9, "the kernel did not react"  # it has five seconds for that
    assert done.record.cells[0].line == (2 if kernel.speech.shell else None), "known of ipykernel only"


def test_the_kernels_death_is_noticed(run, kernel):
    """A kernel that is killed is one that died, in the cell where it did."""
    done = run(kernel.speech.complains, kernel.speech.dies)
    assert (done.record.status, done.record.exit_code, done.states) == (
        "kernel-died",
        25,
        ["succeeded", "running"],
    )
