"""Following a run from another terminal, and what its page shows of what it took."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import CACHE, ROOT, SAMPLES
from notebook_runs import notebook
from waiting import until

pytestmark = pytest.mark.engine("bubblewrap")
PROGRAM = shutil.which("reprolake", path=str(ROOT / ".venv/bin")) or "reprolake"
ENVIRONMENT = {**os.environ, "REPROLAKE_STORE": str(CACHE / "store")}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository in the environment of a sample, with a notebook that takes its time."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(SAMPLES / "no-parameters", folder, dirs_exist_ok=True)
    (folder / "slow.ipynb").write_text(notebook("1 + 1", SLOW))
    hog = "kept = []\nfor _ in range(100): kept.append(bytearray(b'x' * (10 << 20)))"
    (folder / "hog.ipynb").write_text(notebook("1", hog))
    return folder


SLOW = "x = 1\nimport os, time\nwhile not os.path.exists('/out/go'): open('/out/there', 'w').close(); time.sleep(0.05)"


def begun(repository, tmp_path, *options):
    """A run in a process of its own, and its id."""
    child = subprocess.Popen(
        [PROGRAM, "run", str(repository), "slow.ipynb", "--stage", str(tmp_path / "staging"), *options],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in child.stderr:
        if found := re.search(r"`reprolake logs -f (\w+)`", line):
            return child, found[1]
    raise AssertionError(child.wait())


def followed(run):
    """`logs -f` of a run, once it has told that the slow cell runs, what it told so far, and the run's output folder."""
    follower = subprocess.Popen(
        [PROGRAM, "logs", "-f", run],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = ""
    for line in follower.stdout:
        told += line
        if "cell 2 runs" in line:
            (output,) = (CACHE / "store/tmp").glob(f"*/*/{run}/output")
            until((output / "there").exists)  # the kernel was told of the cell before it is in it
            return follower, told, output
    raise AssertionError(told + follower.stderr.read())


def test_a_run_is_followed_to_its_end(repository, tmp_path, reprolake):
    """`logs -f` of a run that goes on tells of each cell and ends with the run; afterwards the result tells the same."""
    child, run = begun(repository, tmp_path)
    follower, begin, output = followed(run)
    (output / "go").touch()
    rest, problems = follower.communicate(timeout=100)
    child.communicate(timeout=100)
    assert (child.returncode, follower.returncode) == (0, 0), problems
    shown = begin + rest
    told = [line[10:] for line in shown.splitlines()]
    assert told[0] == f"run {run} with the kernel python3"
    assert told[2:4] == [
        "cell 1 runs",
        next(line for line in told if line.startswith("cell In [1] succeeded")),
    ]
    assert told[-1] == "succeeded: all 2 code cells ran"
    for where in ((run, "--stage", tmp_path / "staging"), (tmp_path / "staging" / run,)):
        assert reprolake("logs", *where).stdout == shown
    lines = reprolake("logs", "--json", tmp_path / "staging" / run).stdout.splitlines()
    assert json.loads(lines[-1])["status"] == "succeeded"


def test_the_log_of_a_run_that_was_killed_ends(repository, tmp_path, reprolake):
    """When the process of a run is killed, whoever follows it is told and not left waiting."""
    child, run = begun(repository, tmp_path)
    follower, *_ = followed(run)
    child.kill()
    child.communicate()
    assert "the process that kept it is gone" in follower.communicate(timeout=100)[1]


def test_a_run_that_is_stopped_names_cell_and_line(repository, tmp_path, reprolake):
    """SIGTERM ends a run with 143 and a result that says in which line of which cell that was, and what it took."""
    child, run = begun(repository, tmp_path)
    follower, *_ = followed(run)
    child.send_signal(signal.SIGTERM)
    told, _ = child.communicate(timeout=100)
    assert child.returncode == 143
    assert "stopped: ended from outside by SIGTERM, in cell 2, line 3" in told
    follower.communicate(timeout=100)
    record = json.loads((tmp_path / "staging" / run / "run.json").read_text())
    assert (record["cells"][1]["state"], record["cells"][1]["line"]) == ("running", 3)
    page = (tmp_path / "staging" / run / "index.html").read_text()
    assert page.count("<svg") == 1
    assert "Memory and processors over time" in page


def test_a_limit_of_the_command_line_holds(repository, tmp_path, reprolake):
    """A run that needs more memory than --memory says ends with 26; the record lists the limit and what held it."""
    given = ("run", repository, "hog.ipynb", "--stage", tmp_path)
    done = reprolake(*given, "--memory", "300M", "--json")
    assert done.returncode == 26, done.stderr
    result = json.loads(done.stdout)
    assert "more than 300 MiB of memory, in cell 2" in result["message"]
    assert " hint: --memory, " in done.stderr
    record = json.loads((Path(result["result"]) / "run.json").read_text())
    limit = next(one for one in record["limits"] if one["name"] == "memory_bytes")
    assert (limit["value"], bool(limit["held_by"])) == (300 << 20, True)
    assert reprolake(*given, "--memory", "3G").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("logs", "0123456789abcdefghjkmnpqrs"), "no run that goes on here"),
        (("logs", "/nonexistent"), "no run that goes on here"),
        (("run", ".", "a.ipynb", "--memory", "much"), "no size"),
        (("run", ".", "a.ipynb", "--cpus", "0"), "no number of processors"),
    ],
)
def test_mistakes_are_explained(reprolake, arguments, words):
    """What is no run and no amount is a mistake of the command line."""
    done = reprolake(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
