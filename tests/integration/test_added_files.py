"""`--add FILE`: the user's own script beside the notebook."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from notebook_runs import cell, notebook

pytestmark = pytest.mark.engine("bubblewrap")


@pytest.fixture
def repository(tmp_path):
    """A repository whose notebook imports a module that it does not have."""
    folder = tmp_path / "repository"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.ipynb").write_text(
        notebook("import mine, kept; print(mine.x, kept.y)", cell("open('made', 'w').write('1')"))
    )
    (folder / "sub" / "kept.py").write_text("y = 2\n")
    (folder / "runtime.txt").write_text("python-3.11\n")
    return folder


@pytest.fixture
def run(reprolake, repository, tmp_path):
    """Calls `reprolake run` on it."""
    return lambda *given: reprolake(
        "run", repository, "sub/a.ipynb", "--stage", tmp_path / "st", "--json", *given
    )


def test_a_file_lies_where_the_notebook_runs(run, tmp_path):
    """The notebook imports it beside what the repository has; record, manifest and page know it by its hash."""
    mine = tmp_path / "mine.py"
    mine.write_text("x = 1\n")
    done = run("--add", mine)
    assert done.returncode == 0, done.stderr
    assert "imports mine" not in done.stderr
    result = Path(json.loads(done.stdout)["result"])
    executed = json.loads((result / "a.ipynb").read_text())
    assert executed["cells"][0]["outputs"][0]["text"] == ["1 2\n"]
    digest = hashlib.sha256(b"x = 1\n").hexdigest()
    record = json.loads((result / "run.json").read_text())
    assert record["spec"]["added"] == [{"path": "sub/mine.py", "size": 6, "sha256": digest}]
    assert (result / "outputs/repository/sub/mine.py").read_text() == "x = 1\n"
    assert "brought along by the user" in (result / "index.html").read_text()
    assert mine.read_text() == "x = 1\n"


def test_the_working_folder_decides_where(run, tmp_path):
    """With --cwd it is that folder which gets the file."""
    (tmp_path / "mine.py").write_text("x = 1\n")
    done = run("--add", tmp_path / "mine.py", "--cwd", ".")
    assert done.returncode == 1, "kept.py is in the other folder"
    assert "No module named 'kept'" in json.loads(done.stdout)["message"]


def test_nothing_of_the_repository_is_replaced(run, tmp_path):
    """A file of the repository's keeps its place, two of one name are refused, and so is what is no file."""
    (tmp_path / "kept.py").write_text("y = 3\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "other" / "mine.py").write_text("")
    os.mkfifo(tmp_path / "pipe")
    for files, code, said in (
        (("kept.py",), 22, "has sub/kept.py already"),
        (("mine.py", "other/mine.py"), 22, "another file of that name"),
        (("pipe",), 2, "it is no file"),
        (("nothing.py",), 2, "there is no such file"),
    ):
        done = run(*(word for file in files for word in ("--add", tmp_path / file)))
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
