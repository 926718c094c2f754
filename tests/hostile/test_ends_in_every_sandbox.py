"""How runs end, in every other sandbox than the one that all hostile tests use: H23, H24 and H25 on podman, docker and apptainer."""

from __future__ import annotations

import os
import time

import pytest
from escape_attempts import alive
from notebook_runs import Runs
from sandbox_programs import SANDBOXES

pytestmark = pytest.mark.usefixtures("untouched_host")

DAEMON = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv('/bin/sleep', ['sleep', '{marker}'])
    os._exit(0)
"""


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.engine(name)) for name in SANDBOXES if name != "bubblewrap"]
)
def run(request, built_image, session, tmp_path):
    """Runs notebooks in a sandbox."""
    return Runs(built_image, session.tools.store, tmp_path / "runs", SANDBOXES[request.param]())


def test_time_and_daemons_end_with_the_run(run):
    """H23, H24: a run that sleeps for too long is timed out soon, and what it left running is gone with it."""
    marker = f"9{os.getpid()}{time.monotonic_ns() % 10**6}"
    given = (DAEMON.format(marker=marker), "import time; time.sleep(600)")
    done = run.until_time_is_up(*given, reached=lambda done: done.states[0] == "succeeded")
    assert (done.record.status, done.record.exit_code) == ("timed-out", 24)
    assert done.states == ["succeeded", "running"]
    assert alive(marker) == []


def test_no_early_end_looks_finished(run):
    """H25: a kernel that ends itself politely in the middle is dead, not done."""
    done = run("1", "import os; os._exit(0)", "2")
    assert (done.record.status, done.record.exit_code) == ("kernel-died", 25), done.record.message
    assert done.states == ["succeeded", "running", "pending"]
