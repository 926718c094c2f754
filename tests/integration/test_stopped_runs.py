"""Runs that are ended from outside: what they printed is kept, and nothing that they started stays."""

from __future__ import annotations

import os
import signal
import time

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
