"""Runs that are ended from outside: what they printed is kept, and nothing that they started stays."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import pytest
from escape_attempts import alive
from notebook_runs import Runs
from runs_apart import run_apart
from waiting import until

pytestmark = pytest.mark.engine("bubblewrap")


@pytest.fixture
def runs(built_image, session, tmp_path):
    """Runs notebooks in the image of a sample repository."""
    return Runs(built_image, session.tools.store, tmp_path / "runs")


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name
)
def test_a_signal_ends_the_run_and_keeps_what_there_is(runs, number):
    """SIGTERM, SIGINT and SIGHUP to the supervisor end the run as stopped, 143, with partial outputs saved."""
    run = run_apart(
        runs,
        "print('partial', flush=True)\nopen('/out/printed', 'w').close()\nimport time; time.sleep(600)",
    )
    run.until((run.folder / "output/printed").exists)
    time.sleep(0.5)  # what was printed comes by another way than the file
    run.child.send_signal(number)
    assert run.child.wait(60) == 0
    assert (run.record["status"], run.record["exit_code"]) == ("stopped", 143)
    assert number.name in run.record["message"]
    assert "partial\\n" in (run.folder / "driver/executed.ipynb").read_text()


def test_a_killed_supervisor_leaves_nothing_behind(runs):
    """SIGKILL to the supervisor ends kernel, driver and whatever the notebook started."""
    marker = f"123456{os.getpid()}"
    source = f"import subprocess, time; subprocess.Popen(['sleep', '{marker}'], start_new_session=True)"
    run = run_apart(runs, f"{source}\ntime.sleep(600)")
    run.until(lambda: alive(marker))
    run.child.kill()
    run.child.wait()
    until(lambda: alive(marker) == [])


def innermost(child, marker):
    """The number of the process below `child` that has the marker among its arguments, and no such process below itself."""
    parents = {}
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit():
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])

    def above(number):
        while number in parents:
            number = parents[number]
            yield number

    found = [number for number in map(int, alive(marker)) if child in above(number)]
    inner = [number for number in found if not any(number in above(other) for other in found)]
    return inner[0] if inner else None


@pytest.mark.parametrize(
    ("marker", "status", "said"),
    [
        ("reprolake_runner.driver.main", "broken", "the driver ended with status 137 in cell 2"),
        ("connection.json", "kernel-died", "the kernel was killed by signal 9 in cell 2"),
    ],
    ids=["driver", "kernel"],
)
def test_a_process_that_is_killed_makes_no_success(runs, marker, status, said):
    """SIGKILL to the driver or to the kernel in the middle of a cell ends the run, which says so; nothing looks finished."""
    run = run_apart(runs, "1", "open('/out/there', 'w').close()\nimport time; time.sleep(600)", "2")
    run.until((run.folder / "output/there").exists)
    os.kill(run.until(lambda: innermost(run.child.pid, marker)), signal.SIGKILL)
    assert run.child.wait(60) == 0
    assert (run.record["status"], said in run.record["message"]) == (status, True), run.record["message"]
    assert [cell["state"] for cell in run.record["cells"]] == ["succeeded", "running", "pending"]
    left = json.loads((run.folder / "driver/executed.ipynb").read_text())
    assert left["metadata"]["papermill"]["end_time"] is None
