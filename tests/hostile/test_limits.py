"""Notebooks that want more than they may have: each ends in bounded time with the right verdict, and the host is as before.

Each case has its control: the same cell under a limit that it does not reach ends as a success.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time

import pytest
from notebook_runs import Runs

from reprolake_builder.errors import SandboxError
from reprolake_builder.sandboxes import cgroups, scope
from reprolake_builder.sandboxes.interface import Limits
from reprolake_runner.bounds import Bounds
from reprolake_runner.driver.protocol import DriverLimits

pytestmark = pytest.mark.engine("bubblewrap")
MIB = 1 << 20


@pytest.fixture
def run(built_image, session, tmp_path):
    """Runs notebooks in the image of a sample repository, and sees that nothing of them stays behind."""
    yield Runs(built_image, session.tools.store, tmp_path / "runs")
    own = f"reprolake-{os.getpid()}-*"
    assert not [path for place in cgroups.places().values() for path in place.folder.glob(own)]


@pytest.fixture(params=["groups", "watchdog"])
def way(request, monkeypatch):
    """Memory is held by control groups, or by the watchdog."""
    if request.param == "watchdog":
        monkeypatch.setattr(cgroups, "places", dict)
        monkeypatch.setattr(scope, "is_there", bool)
    elif "memory" not in cgroups.places():
        pytest.skip("this host has no control groups for us")
    return request.param


def in_time(run, *cells, within=100.0, **given):
    """A run that has to end soon."""
    begun = time.monotonic()
    done = run(*cells, **given)
    assert time.monotonic() - begun < within
    assert done.execution.notebook is not None
    return done


HOG = "import time\nkept = []\nfor _ in range(50): kept.append(bytearray(b'x' * (10 << 20))); time.sleep(0.02)\ndel kept"


@pytest.mark.parametrize(
    "source",
    [HOG, "import subprocess, sys\nsubprocess.run([sys.executable, '-c', '''" + HOG + "'''])"],
    ids=["kernel", "child"],
)
def test_memory_has_a_limit(run, way, source):
    """H18: a cell that fills memory, itself or by a child, ends the run with 26, and the sentence names cell and limit."""
    done = in_time(run, "1", source, "import time; time.sleep(600)", limits=Limits(memory_bytes=300 * MIB))
    assert (done.record.status, done.record.exit_code) == ("limit-exceeded", 26)
    assert done.record.message == "the run needs more than 300 MiB of memory, in cell 2"
    # a child may be killed just before its cell ends, and the next one begin before anybody sees it
    ends = [["succeeded", "running", "pending"]]
    if source is not HOG:
        ends += [["succeeded", "succeeded", "pending"], ["succeeded", "succeeded", "running"]]
    assert done.states in ends
    held = {one.name: one.held_by for one in done.record.limits}
    assert held["memory_bytes"].startswith("cgroup" if way == "groups" else "watchdog")


def test_memory_below_its_limit_is_free(run, way):
    """H18: the same cell runs where it may have what it takes, and the record says how much that was."""
    done = run("1", HOG, limits=Limits(memory_bytes=2000 * MIB))
    assert done.record.status == "succeeded", done.record.message
    assert done.record.cells[1].peak_bytes > 500 * MIB
    assert (
        done.record.resources.peak_bytes >= done.record.cells[1].peak_bytes > done.record.cells[0].peak_bytes
    )


def test_shared_memory_counts_once(run, monkeypatch):
    """Without control groups, too, memory that forked processes share does not count for each of them."""
    monkeypatch.setattr(cgroups, "places", dict)
    monkeypatch.setattr(scope, "is_there", bool)
    source = (
        "import os, time\nbig = bytearray(b'x' * (100 << 20))\nfor _ in range(6):\n    if not os.fork():\n"
        "        time.sleep(1.5); os._exit(0)\ntime.sleep(1)"
    )
    done = run(source, limits=Limits(memory_bytes=400 * MIB))
    assert done.record.status == "succeeded", done.record.message


def test_folders_in_memory_count_as_memory(run, way):
    """H18: what is written to /tmp takes memory, and has its limit with it."""
    source = "with open('/tmp/x', 'wb') as f:\n    for _ in range(400): f.write(b'x' * (1 << 20)); f.flush()\nimport time; time.sleep(600)"
    done = in_time(run, source, limits=Limits(memory_bytes=250 * MIB))
    assert done.record.status == "limit-exceeded", done.record.message
    control = run(source.replace("400", "100").replace("600", "0"), limits=Limits(memory_bytes=250 * MIB))
    assert control.record.status == "succeeded", control.record.message


BOMB = "import os, time\nmade = 0\nwhile True:\n    try:\n        if not os.fork(): time.sleep(600); os._exit(0)\n    except OSError: break\n    made += 1\n"


@pytest.mark.usefixtures("untouched_host")
def test_a_fork_bomb_stops_at_its_limit(run):
    """H19: processes that cannot be made fail to be made; the run goes on, and the record warns of it."""
    done = in_time(run, BOMB + "print(made)", limits=Limits(processes=60))
    assert 5 < int(done.text(0)) < 60
    assert done.record.status == "succeeded"
    if "pids" in cgroups.places():
        assert done.record.warnings == ("the limit on processes was reached: some could not be started",)
    control = in_time(
        run, BOMB.replace("while True", "while made < 80") + "print(made)", limits=Limits(processes=200)
    )
    assert (control.text(0), control.record.warnings) == ("80\n", ())


WRITE = "import os\nfor n in range(40):\n    with open(f'{FOLDER}/{n}', 'wb') as f: f.write(b'x' * (5 << 20))\nimport time; time.sleep(600)"


@pytest.mark.parametrize(
    "folder",
    ["os.environ['REPROLAKE_OUTPUT']", "/repo", "/run/kernel"],
    ids=["output", "repository", "sockets"],
)
def test_the_disk_has_a_limit(run, folder):
    """H12: what is written to a folder of the host's disk has a limit, be it that of its sockets, whatever files it is in."""
    source = (
        WRITE.replace("{FOLDER}", f"{{{folder}}}" if "[" in folder else folder)
        .replace("f'{os", 'f"{os')
        .replace("/{n}'", '/{n}"' if "[" in folder else "/{n}'")
    )
    done = in_time(run, source, bounds=Bounds(disk_bytes=100 * MIB))
    assert (done.record.status, done.record.exit_code) == ("limit-exceeded", 26)
    assert done.record.message == "the run wrote more than 100 MiB to the disk, in cell 1"
    control = run(source.replace("600", "1"), bounds=Bounds(disk_bytes=400 * MIB))
    assert control.record.status == "succeeded", control.record.message


def test_one_file_cannot_outgrow_the_disk_limit(run):
    """H10: a file that is made larger at a stroke than all that may be written is refused at once."""
    source = "import os, signal\nf = open(os.environ['REPROLAKE_OUTPUT'] + '/x', 'wb'); os.posix_fallocate(f.fileno(), 0, 200 << 20)"
    done = in_time(run, source, bounds=Bounds(disk_bytes=100 * MIB))
    assert done.record.status == "failed"
    assert "File too large" in done.record.message
    assert run(source, bounds=Bounds(disk_bytes=300 * MIB)).record.status == "succeeded"


def test_room_stays_free_on_the_disk(run):
    """H12: a run ends before the disk is full, whatever else may be writing to it."""
    free = shutil.disk_usage(run.folder.parent).free
    source = WRITE.replace("{FOLDER}", "/repo")
    done = in_time(run, source, bounds=Bounds(free_bytes=free - 100 * MIB))
    assert done.record.status == "limit-exceeded"
    assert "the disk that the run writes to is full" in done.record.message


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.chdir('/out')\nfor n in range(400): os.mkdir('d'); os.chdir('d')\nimport time; time.sleep(600)"
    ],
    ids=["deep"],
)
def test_what_cannot_be_counted_ends_the_run(run, source):
    """Folders that hide what is in them from those who count end a run that has a limit."""
    done = in_time(run, source, bounds=Bounds(disk_bytes=100 * MIB))
    assert done.record.status == "limit-exceeded"
    assert "cannot be counted" in done.record.message
    shutil.rmtree(done.execution.output, ignore_errors=True)


FLOOD = "from IPython.display import display\nfor n in range(3000): display(n)"


def test_messages_have_a_limit_in_number_and_size(run):
    """H28: a kernel that floods the driver with messages is ended; below the limits all of them arrive."""
    done = in_time(run, FLOOD, bounds=Bounds(messages=DriverLimits(messages=500)))
    assert (done.record.status, done.record.exit_code) == ("limit-exceeded", 26)
    assert "more than 500 messages" in done.record.message
    assert "cell 1" in done.record.message
    large = "print('x' * (3 << 20))"
    done = in_time(run, large, bounds=Bounds(messages=DriverLimits(message_bytes=MIB)))
    assert done.record.status == "limit-exceeded"
    assert run(FLOOD, large).record.status == "succeeded"


BUSY = "import signal\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\ntotal = 0\nfor n in range(10**10):\n    total += n\n"


def test_processor_time_has_a_limit(run, way):
    """H21: a cell that computes without end, deaf to signals, ends when the run's processor time is used up."""
    done = in_time(run, "1", BUSY, bounds=Bounds(cpu_seconds=3))
    assert (done.record.status, done.record.exit_code) == ("limit-exceeded", 26)
    assert "more than 3 s of processor time, in cell 2" in done.record.message
    assert (
        run("1", BUSY.replace("10**10", "10**5"), bounds=Bounds(cpu_seconds=30)).record.status == "succeeded"
    )


def test_processors_are_held_by_a_group(run):
    """With a limit on processors a busy cell gets that share and no more."""
    if "cpu" not in cgroups.places():
        pytest.skip("this host has no control groups for us")
    source = "import time\nt = time.monotonic()\nwhile time.monotonic() < t + 2: pass"
    used = run(source, limits=Limits(cpus=0.3)).record.cells[0].cpu_seconds
    control = run(source, limits=Limits(cpus=2)).record.cells[0].cpu_seconds
    assert used < 0.7 < control


def test_a_limit_that_cannot_be_held_is_refused(run, monkeypatch):
    """Without control groups processors cannot be limited: nothing runs, unless it may be weaker, which is recorded."""
    monkeypatch.setattr(cgroups, "places", dict)
    monkeypatch.setattr(scope, "is_there", bool)
    with pytest.raises(SandboxError, match="cannot hold the limit on processors"):
        run("1", limits=Limits(cpus=1))
    done = run(
        "import os; print(len(os.sched_getaffinity(0)))", limits=Limits(cpus=1), bounds=Bounds(weaker=True)
    )
    assert done.text(0) == "1\n"
    weaker = {one.name: one.weaker for one in done.record.limits if one.weaker}
    assert list(weaker) == ["cpus"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "stopped by a signal"),
        ("x = 1\nimport threading\nthreading.Event().wait()", "in cell 2, line 3"),
    ],
    ids=["stopped", "waiting"],
)
def test_a_kernel_that_does_nothing_is_ended(run, source, words):
    """H22: a kernel that stopped itself, or waits for what never comes, ends the run with 24 without any other limit."""
    done = in_time(run, "1", source, bounds=Bounds(stall_seconds=2))
    assert (done.record.status, done.record.exit_code) == ("timed-out", 24)
    assert "the kernel did nothing for 2 s" in done.record.message
    assert words in done.record.message


def test_a_kernel_that_says_or_does_something_is_not_stalled(run):
    """H22: a cell that prints now and then, or computes, goes on for longer than the kernel may do nothing."""
    talks = "import time\nfor _ in range(4): print('.', flush=True); time.sleep(0.7)"
    works = "import time\nt = time.monotonic()\nwhile time.monotonic() < t + 2.5: pass"
    assert run(talks, works, bounds=Bounds(stall_seconds=2)).record.status == "succeeded"


def test_the_line_is_told_even_of_a_deaf_kernel(run):
    """H21, H24: when the time of a run is up the message names the cell and its line, also in code that ignores interrupts."""
    done = run.until_time_is_up("1", BUSY, reached=lambda done: "line " in done.record.message)
    assert done.record.status == "timed-out"
    assert re.search(r"took longer than \d+ s, in cell 2, line ", done.record.message)
    assert done.record.cells[1].line in {4, 5}
    done = in_time(run, "1", "x = 1\n" + BUSY.replace("(2, 15)", "(2,)"), execution_timeout=3)
    assert done.record.status == "timed-out"
    assert done.record.cells[1].line in {5, 6}
    assert "line " in done.record.message


def test_the_temporary_folder_of_the_host_is_as_before(run):
    """What runs leave in memory and in folders goes with them."""
    marker = f"left-by-{secrets.token_hex(6)}"
    done = run(f"import os\nopen('/tmp/{marker}', 'w').write('x'); print(os.listdir('/tmp'))")
    assert marker in done.text(0)
    assert not [name for name in os.listdir("/tmp") if marker in name]
