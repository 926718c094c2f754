"""Notebooks that use up what processes share, or that will not end: bounded, and nobody else notices (H20, H23, H24)."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time

import pytest
from escape_attempts import alive
from notebook_runs import Runs
from sandbox_programs import spec
from waiting import until

from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import Limits
from reprolake_runner.inside import root_of

pytestmark = [pytest.mark.engine("bubblewrap"), pytest.mark.usefixtures("untouched_host")]

USE_UP = """
import ctypes, os, threading, time
libc = ctypes.CDLL(None)
files, watchers, threads = [], [], 0
try:
    while len(files) < 5000: files.append(os.open('/dev/null', os.O_RDONLY))
except OSError as error:
    print(error.errno, end=' ')
for one in files[:]: os.close(one)
while len(watchers) < 5000 and (one := libc.inotify_init()) >= 0: watchers.append(one)
go = threading.Event()
try:
    while threads < 5000: threading.Thread(target=go.wait, daemon=True).start(); threads += 1
except RuntimeError:
    print('no thread', end=' ')
go.set()
print(len(files), len(watchers), threads)
time.sleep(0.3)
"""


@pytest.fixture
def run(built_image, session, tmp_path):
    """Runs notebooks in the image of a sample repository."""
    return Runs(built_image, session.tools.store, tmp_path / "runs")


def test_descriptors_watchers_and_threads_run_out(run):
    """H20: open files, inotify instances and threads end at the run's own limits, the next cell runs, and the host has its own left."""
    done = run(USE_UP, "print('on')", limits=Limits(open_files=300, processes=100))
    assert done.record.status == "succeeded", done.record.message
    error, no, thread, files, watchers, threads = done.text(0).split()
    assert (error, no, thread) == ("24", "no", "thread")
    assert int(files) < 300
    assert int(watchers) <= 64
    assert int(threads) < 100
    assert done.text(1) == "on\n"
    control = run(USE_UP, limits=Limits(open_files=2000, processes=300))
    *_, files, watchers, threads = control.text(0).split()
    assert int(files) > 1500
    assert int(threads) > 150


def test_watchers_outside_are_not_used_up(built_image, session):
    """H20: while a program holds all the inotify instances that it may, the user outside can still make some."""
    root = root_of(built_image, session.tools.store)
    script = "import ctypes, time\nlibc, held = ctypes.CDLL(None), 0\nwhile libc.inotify_init() >= 0: held += 1\nprint(held, flush=True)\ntime.sleep(600)"
    given = spec(root, f'exec python3 -c "{script}"')
    told, tell = os.pipe()
    null = subprocess.DEVNULL
    running = Bubblewrap().start(given, stdin=null, stdout=tell, stderr=null)
    os.close(tell)
    try:
        with open(told) as stream:
            assert int(stream.readline()) > 5
        one = ctypes.CDLL(None).inotify_init()
        assert one >= 0
        os.close(one)
        assert running.poll() is None
    finally:
        running.kill()


def test_a_daemon_lives_no_longer_than_its_run(run, tmp_path):
    """H23: a process that forked twice and left its session is there while the run is, which is the control, and then no more."""
    marker = f"9{os.getpid()}{time.monotonic_ns() % 10**6}"
    source = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        f"        os.execv('/bin/sleep', ['sleep', '{marker}'])\n    os._exit(0)\n"
        "while not os.path.exists('/data/seen'): time.sleep(0.05)"
    )
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    seen: list[str] = []

    def look():
        seen.extend(until(lambda: alive(marker)))
        (inputs / "seen").touch()

    watcher = threading.Thread(target=look)
    watcher.start()
    done = run(source, inputs=inputs, timeout=100)
    watcher.join()
    assert done.record.status == "succeeded", done.record.message
    assert seen != []
    assert alive(marker) == []


def test_a_notebook_that_sleeps_is_ended(run):
    """H24: one that sleeps past the limit of the whole run ends as timed out, soon; one that sleeps less long is a success."""
    given = ("import time", "time.sleep(600)", "3")
    done = run.until_time_is_up(*given, reached=lambda done: done.states[0] == "succeeded")
    assert (done.record.status, done.record.exit_code) == ("timed-out", 24)
    assert "cell 2" in done.record.message
    assert done.states == ["succeeded", "running", "pending"]
    assert run("import time", "time.sleep(0.5)", timeout=60).record.status == "succeeded"
