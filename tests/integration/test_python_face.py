"""`reprolake.build` and `reprolake.run`: what the command does, for programs."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sysconfig
from pathlib import Path

import nbformat
import pytest
from tools import tool_folder

import reprolake
from reprolake.face import _parameters
from reprolake_runner.errors import NotebookError

ROOT = Path(__file__).parent.parent.parent
STORE = str(ROOT / ".cache" / "tests" / "store")
pytestmark = pytest.mark.engine("bubblewrap")
_CHECK = """\
import math
assert a == 5 and type(a) is int
assert b is True and c == 0.5 and type(c) is float
assert math.isnan(d[0]) and d[1] == math.inf and d[2] is None
assert e == {"é": [[1, 2], [3, 4]]} and f == "'); import os #"
"""


@pytest.fixture
def repository(tmp_path) -> str:
    """A repository whose notebook checks its parameters."""
    cells = [
        nbformat.v4.new_code_cell("a = b = c = d = e = f = None", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(_CHECK),
    ]
    (tmp_path / "r").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "r" / "check.ipynb")
    (tmp_path / "r" / "runtime.txt").write_text("python-3.11\n")
    return str(tmp_path / "r")


def test_values_of_python_arrive_as_they_are(repository, tmp_path):
    """Numbers, NaN, None, nested values and text that looks like code reach the notebook with their types."""
    values = {
        "a": 5, "b": True, "c": 0.5, "d": (math.nan, math.inf, None), "e": {"é": [[1, 2], [3, 4]]}, "f": "'); import os #",
    }  # fmt: skip
    result = reprolake.run(repository, "check.ipynb", values, stage=tmp_path / "out", store=STORE)
    assert result.record.status == "succeeded", result.record.message
    assert (result.folder / "manifest.json").is_file()


def test_values_of_numpy_arrive_as_numbers(repository, tmp_path):
    """Scalars and arrays of numpy are numbers and lists for the notebook, not their texts."""
    code = f"""
import numpy as np, reprolake
values = dict(a=np.int64(5), b=np.bool_(True), c=np.float32(0.5), d=[np.float64("nan"), np.inf, None],
              e={{"é": np.array([[1, 2], [3, 4]])}}, f=np.str_("'); import os #"))
result = reprolake.run({repository!r}, "check.ipynb", values, stage={str(tmp_path / "out")!r}, store={STORE!r})
assert result.record.status == "succeeded", result.record.message
"""
    places = [ROOT, ROOT / "builder", ROOT / "runner", sysconfig.get_path("purelib")]
    done = subprocess.run(
        [tool_folder("numpy") / "python", "-c", code],
        env={**os.environ, "PYTHONPATH": ":".join(map(str, places))}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_failed_notebook_is_a_result(repository, tmp_path):
    """A notebook that fails raises nothing: its result says so, with the cell."""
    result = reprolake.run(repository, "check.ipynb", {"a": 6}, stage=tmp_path / "out", store=STORE)
    assert (result.record.status, result.record.exit_code) == ("failed", 1)
    assert "cell" in result.record.message


def test_build_gives_the_image(repository, reprolake_command):
    """The image is that of the command."""
    image = reprolake.build(repository, store=STORE)
    assert reprolake_command("build", repository).stdout.strip() == image.id


@pytest.fixture
def reprolake_command(request):
    """The command as users call it; `reprolake` is the module here."""
    return request.getfixturevalue("reprolake")


@pytest.mark.parametrize("value", [{1, 2}, b"x", Path("/x"), object(), {1: 2}, 2**70])
def test_a_value_that_no_notebook_can_have_is_named(value):
    """A set, bytes, a path, an object, a key that is no text, a huge number: each is refused with its name."""
    with pytest.raises(NotebookError, match="the parameter x"):
        _parameters({"x": value})


def test_not_a_number_is_spelled():
    """NaN and infinities travel in a form of their own, since JSON has none."""
    assert json.loads(_parameters({"x": math.nan})) == {"x": {"$numberDouble": "NaN"}}
