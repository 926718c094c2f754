"""`--check-outputs`: what cells put out beside what the repository's notebook was saved with."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from notebook_runs import Runs, cell, notebook

from reprolake_runner.documents.run import CheckSpec

pytestmark = pytest.mark.engine("bubblewrap")

# A figure as a cell would show it, without the weight of a plotting library; the level of compression changes its bytes only.
FIGURE = """\
import base64, struct, zlib
from IPython.display import display
def png(red, level):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = b"".join(b"\\x01" + bytes([red, 0, 0]) + bytes(3 * 99) for _ in range(100))
    header = struct.pack(">IIBBBBB", 100, 100, 8, 2, 0, 0, 0)
    return b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, level)) + chunk(b"IEND", b"")
def show(red, level):
    display({"image/png": base64.b64encode(png(red, level)).decode(), "text/plain": "<Figure>"}, raw=True)
"""


def saved(source, *outputs, count=1, tags=()):
    """A cell with saved outputs."""
    return cell(source, *tags) | {"outputs": list(outputs), "execution_count": count}


def printed(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


def figure(red, level):
    names: dict = {}
    exec(FIGURE.replace("from IPython.display import display\n", ""), names)
    data = base64.b64encode(names["png"](red, level)).decode()
    return {
        "output_type": "display_data",
        "metadata": {},
        "data": {"image/png": data, "text/plain": "<Figure>"},
    }


@pytest.fixture
def run(built_image, session, tmp_path):
    """Runs notebooks whose outputs are to be checked."""
    runs = Runs(built_image, session.tools.store, tmp_path / "runs")
    return lambda *cells, **given: runs(*cells, **{"check": CheckSpec(), **given})


def test_outputs_that_come_out_again(run):
    """Text, numbers within the tolerance, times and images by their pixels: each cell gets its verdict, the run succeeds."""
    done = run(
        saved(FIGURE),
        saved("print(0.1 + 0.2)", printed("0.30000000001\n")),
        saved("show(200, 1)", figure(200, 9)),
        saved("print(object())", printed("<object object at 0x7f0000000001>\n")),
        saved("import datetime; print(datetime.datetime.now())", printed("2023-05-01 10:00:00.123\n")),
        saved("1/0", {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "division by zero", "traceback": []}, tags=["raises-exception"]),
        saved("print('skipped')", printed("what was"), tags=["skip-execution"]),
        cell("print('new')"),
        saved("print('same')", printed("same\n")),
    )  # fmt: skip
    assert (done.record.status, done.record.exit_code) == ("succeeded", 0), done.record.message
    found = {one.index: one.verdict for one in done.record.checks}
    assert found == {
        0: "same", 1: "close", 2: "close", 3: "close", 4: "close", 5: "same", 7: "not-saved", 8: "same",
    }  # fmt: skip
    assert "put out what the notebook was saved with" in done.record.message
    assert sum(event["event"] == "cell-checked" for event in done.events) == 8


def test_outputs_that_differ_end_with_3(run):
    """Every cell ran, and yet it is no success: status, exit code and message say which cell differs, and how."""
    done = run(
        saved(FIGURE),
        saved("print(1.5)", printed("1.25\n")),
        saved("show(200, 1)", figure(0, 9)),
    )
    assert (done.record.status, done.record.exit_code) == ("not-reproduced", 3)
    assert done.states == ["succeeded"] * 3
    assert "cell In [2] differ: 1.25 became 1.5; so do those of 1 more" in done.record.message
    assert done.record.checks[2].reason == "image/png: 100 % of the pixels differ"
    assert (
        run(saved("print(1.5)", printed("1.25\n")), check=CheckSpec(tolerance=0.5)).record.status
        == "succeeded"
    )


def test_a_run_that_fails_is_no_question_of_outputs(run):
    """A cell that raises ends the run with its own code; nothing is compared."""
    done = run(saved("print(1)", printed("2\n")), saved("1/0"))
    assert (done.record.status, done.record.exit_code, done.record.checks) == ("failed", 1, ())


def test_without_being_asked_nothing_is_compared(run):
    """Other outputs are no failure of an ordinary run."""
    done = run(saved("print(1)", printed("2\n")), check=None)
    assert (done.record.status, done.record.checks) == ("succeeded", ())


def test_an_injected_cell_is_no_difference(run):
    """Parameters that are the notebook's own values leave the verdicts as they are, though cells moved."""
    done = run(saved("n = 2", tags=["parameters"]), saved("print(n)", printed("2\n")), parameters={"n": 2})
    assert [(one.index, one.verdict) for one in done.record.checks] == [(0, "same"), (1, "same"), (2, "same")]
    assert done.record.status == "succeeded"


def test_the_command_says_it_everywhere(reprolake, tmp_path):
    """Exit code, JSON, record, page and `inspect` tell of the comparison; a notebook without outputs is refused first."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "a.ipynb").write_text(notebook(saved("print(2)", printed("<b>1</b>\n"))))
    (folder / "bare.ipynb").write_text(notebook("print(1)"))
    (folder / "runtime.txt").write_text("python-3.11\n")
    done = reprolake("run", folder, "a.ipynb", "--check-outputs", "--json", "--stage", tmp_path / "st")
    assert done.returncode == 3, done.stderr
    said = json.loads(done.stdout)
    assert (said["status"], said["exit_code"]) == ("not-reproduced", 3)
    page = (Path(said["result"]) / "index.html").read_text()
    assert "Did it reproduce?" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    shown = reprolake("inspect", said["result"]).stdout
    assert "cell 1: differs" in shown
    record = json.loads((Path(said["result"]) / "run.json").read_text())
    assert f"tree        {record['source']['tree']}\n" in shown
    logged = reprolake("logs", said["result"]).stdout
    assert "the outputs of cell 1: differs; " in logged
    bare = reprolake("run", folder, "bare.ipynb", "--check-outputs", "--stage", tmp_path / "st")
    assert (bare.returncode, "saved without outputs" in bare.stderr) == (21, True)
