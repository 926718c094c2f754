"""papermill's options on `reprolake run`: the same meaning, or a sentence that says what stands in its place."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from notebook_runs import Runs, cell, notebook

from reprolake.pipeline import Request, obtain_image, obtain_lock

pytestmark = pytest.mark.engine("bubblewrap")

CELLS = (
    cell("n = 1\nname = ''", "parameters"),
    "import os, sys; print(n, repr(name), os.getcwd()); print('oh', file=sys.stderr)",
    "print(open(os.environ['REPROLAKE_PARAMETERS']).read())",
    cell("1/0", "raises-exception"),
    cell("open('never', 'w')", "skip-execution"),
    "'the ' + 'end'",
)


@pytest.fixture
def repository(tmp_path):
    """A repository with one notebook and a folder."""
    folder = tmp_path / "repository"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "kept").write_text("")
    (folder / "a.ipynb").write_text(notebook(*CELLS))
    (folder / "runtime.txt").write_text("python-3.11\n")
    return folder


@pytest.fixture
def run(reprolake, repository, tmp_path):
    """Calls `reprolake run` on it, and returns the call, the executed notebook and the record."""

    def call(*arguments):
        done = reprolake("run", repository, "a.ipynb", "--stage", tmp_path / "st", "--json", *arguments)
        if not done.stdout:
            return done, None, None
        result = Path(json.loads(done.stdout)["result"])
        read = [json.loads((result / name).read_text()) for name in ("a.ipynb", "run.json")]
        return done, *read

    return call


def printed(cell):
    return "".join("".join(one.get("text", [])) for one in cell["outputs"])


def test_the_long_names_of_papermill_are_understood(run, tmp_path):
    """-p, -r, -f, -y and -b by their long names, the paths, --cwd, --report-mode, time limits and file outputs."""
    (tmp_path / "p.yaml").write_text("n: 2\nname: f")
    done, executed, record = run(
        "--parameters_file", tmp_path / "p.yaml", "--parameters_yaml", "name: y",
        "--parameters_base64", base64.b64encode(b"n: 9\nname: b").decode(),
        "--parameters", "n", "007", "--parameters_raw", "name", "é $x",
        "--inject-paths", "--cwd", "data", "--report-mode", "--start_timeout", "50", "--execution-timeout", "40",
        "--engine", "nbclient", "--autosave-cell-every", "5", "--no-request-save-on-cell-execute", "--log-level", "DEBUG",
        "--no-progress-bar", "--stdout-file", tmp_path / "out", "--stderr-file", tmp_path / "err",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert printed(executed["cells"][2]) == "7 'é $x' /repo/data\noh\n"
    given = {
        "n": 7,
        "name": "é $x",
        "PAPERMILL_INPUT_PATH": "a.ipynb",
        "PAPERMILL_OUTPUT_PATH": "a.ipynb",
    }
    assert (
        json.loads(printed(executed["cells"][3])) == given == executed["metadata"]["papermill"]["parameters"]
    )
    assert all(one["metadata"]["jupyter"]["source_hidden"] for one in executed["cells"])
    spec = record["spec"]
    assert (spec["cwd"], spec["start_timeout"], spec["execution_timeout"]) == ("data", 50, 40)
    assert (tmp_path / "out").read_text().startswith("7 'é $x' /repo/data\n{")
    assert (tmp_path / "err").read_text() == "oh\n"
    assert "--autosave-cell-every and --request-save-on-cell-execute change nothing: " in done.stderr
    assert "--log-level changes nothing: " in done.stderr


def test_a_language_that_nobody_writes_parameters_in_is_told(run):
    """In a language that is not known, or was misspelt, a notebook is not given its parameters in silence."""
    done, executed, _ = run("--language", "pyhton", "-p", "n", "2")
    assert "warning: parameters are not set in a notebook in pyhton" in done.stderr
    assert "injected-parameters" not in json.dumps(executed)


def test_tags_decide_what_may_fail_and_what_is_skipped(run):
    """A cell tagged raises-exception may raise, and one tagged skip-execution does not run; the run goes well."""
    done, executed, record = run()
    assert done.returncode == 0
    states = [one["state"] for one in record["cells"]]
    assert states == ["succeeded"] * 3 + ["allowed-failure", "skipped", "succeeded"]
    assert executed["cells"][3]["outputs"][-1]["ename"] == "ZeroDivisionError"
    assert not executed["cells"][4]["outputs"]


def test_log_output_shows_lines_and_no_control_characters(run, repository):
    """What cells print appears on standard error as it comes; what could drive a terminal does not."""
    (repository / "a.ipynb").write_text(
        notebook("print('seen \\x1b]52;c;aGk=\\x07')\nprint('half', end='')", "6 * 7")
    )
    done, *_ = run("--log-output")
    lines = done.stderr.splitlines()
    assert any(line.startswith("seen ") for line in lines)
    assert "half42" in lines or "half" in lines
    assert "\x1b" not in done.stderr
    assert "\x07" not in done.stderr


def test_a_notebook_can_be_prepared_without_being_run(reprolake, repository, tmp_path):
    """--prepare-only writes the notebook with its parameters to a new folder each time, builds nothing and runs nothing."""
    store = tmp_path / "store"
    for _ in range(2):
        done = reprolake(
            "run", repository, "a.ipynb", "--prepare-only", "-p", "n", "5", "--stage", tmp_path / "st", "--json",
            REPROLAKE_STORE=str(store),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        made = json.loads(Path(json.loads(done.stdout)["notebook"]).read_text())
        assert made["cells"][1]["source"] == ["# Parameters\n", "n = 5"]
        assert not any(one["outputs"] for one in made["cells"])
    assert len(list((tmp_path / "st").iterdir())) == 2
    assert not list((store / "documents" / "images-by-id").glob("*"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--engine", "noteable"), 2, "papermill --engine reprolake"),
        (("--help-notebook",), 2, "reprolake plan LINK NOTEBOOK"),
        (("--kernel", "ir"), 21, "kernels of the image: python3"),
        (("--cwd", "../x"), 21, "no folder of the repository"),
        (("--cwd", "/tmp"), 21, "no folder of the repository"),
        (("--start-timeout", "0"), 2, "0.0 is not in the range"),
        (("--start-timeout", "nan"), 2, "nan is not in the range"),
        (("--check-outputs", "--tolerance", "nan"), 2, "nan is not in the range"),
        (("--check-outputs", "--image-tolerance", "nan"), 2, "nan is not in the range"),
        (("--stdout-file", "/nowhere/x"), 2, "cannot be written"),
    ],
)
def test_what_has_no_meaning_here_is_refused_with_what_has(run, arguments, code, said):
    """The message names what to use, or what there is."""
    done, *_ = run(*arguments)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_a_kernel_that_is_asked_for_replaces_the_notebooks(run, repository):
    """-k and -l decide where the notebook names a kernel and language that the image does not have."""
    made = json.loads(notebook("print(1)"))
    made["metadata"]["kernelspec"] = {"name": "crab", "display_name": "Crab", "language": "crab"}
    (repository / "a.ipynb").write_text(json.dumps(made))
    done, *_ = run()
    assert (done.returncode, "kernel 'crab'" in done.stderr) == (21, True)
    done, _, record = run("-k", "python3", "-l", "python", "-p", "x", "1")
    assert done.returncode == 0
    assert (record["kernel"], record["spec"]["kernel"]) == ("python3", "python3")


def test_python_2_on_python_3_is_a_warning(run, repository):
    """A notebook of Python 2 gets the Python that there is, and is told which: it may well fail for that."""
    made = json.loads(notebook("print('x')"))
    made["metadata"]["kernelspec"] = {"name": "python2", "display_name": "Python 2", "language": "python"}
    (repository / "a.ipynb").write_text(json.dumps(made))
    done, *_ = run()
    said = "names the kernel python2, which the image does not have: python3 runs it, and not the Python"
    assert (done.returncode, "warning: " in done.stderr, said in done.stderr) == (0, True, True), done.stderr


def test_a_bash_notebook_runs_with_its_parameters(session, tmp_path):
    """A kernel of another language gets its parameters in that language, and no text of them is run."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "requirements.txt").write_text("bash_kernel\n")
    image = obtain_image(obtain_lock(Request(link=str(folder)), session), session)
    spec = {"argv": ["python", "-m", "bash_kernel", "-f", "{connection_file}"], "language": "bash"}
    made = json.loads(notebook(cell("who=nobody", "parameters"), 'echo "$who"; ls /tmp'))
    made["metadata"]["kernelspec"] = {"name": "bash", "display_name": "Bash", "language": "bash"}
    files = {
        "README": "",
        "../usr/local/share/jupyter/kernels/bash/kernel.json": json.dumps(spec),
        "a.ipynb": json.dumps(made),
    }
    runs = Runs(image, session.tools.store, tmp_path / "runs")
    nasty = "$(touch /tmp/ran) 'é' `touch /tmp/ran` ${x:=y} !! \\\t\x03|"
    done = runs(files=files, path="a.ipynb", parameters={"who": nasty})
    assert done.record.status == "succeeded", done.record.message
    assert done.text(2).rstrip() == nasty
