"""Whole runs in docker and podman: they end as those in bubblewrap do, and nothing of them stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from notebook_runs import Runs
from sandbox_programs import SANDBOXES
from waiting import until

from reprolake_builder.progress import SILENT, Progress
from reprolake_builder.sandboxes.interface import Limits
from reprolake_runner.bounds import Bounds

ENGINES = [pytest.param(name, marks=pytest.mark.engine(name)) for name in ("docker", "podman")]
LACKING = {"docker": 2, "podman": 1}  # docker wants again what lies on a changed layer
SAMPLE = Path(__file__).parent.parent.parent / "sample-repos" / "no-parameters"


def containers(engine, owner):
    """Names of the containers that a process of this host has in an engine."""
    label = "index .Labels" if engine == "podman" else ".Label"
    form = f'{{{{.Names}}}} {{{{{label} "reprolake.owner"}}}}'
    asked = [engine, "ps", "--all", "--filter", "label=reprolake.owner", "--format", form]
    lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split()[0] for line in lines if line.split()[1].startswith(f"{owner}-")]


@pytest.fixture(params=ENGINES)
def engine(request):
    """An engine by the name of its client."""
    return request.param


@pytest.fixture
def run(engine, built_image, session, tmp_path):
    """Runs notebooks in containers of an engine, and sees that none of them stays behind."""
    yield Runs(built_image, session.tools.store, tmp_path / "runs", SANDBOXES[engine]())
    assert containers(engine, os.getpid()) == []


def test_a_notebook_has_what_it_has_elsewhere(run):
    """It finds inputs by name, its user has a name, and what it writes and changes is there afterwards; the record tells of the time of loading."""
    cells = (
        "import getpass, os, pathlib, socket; print(getpass.getuser(), os.getcwd(), socket.gethostname())",
        "pathlib.Path(os.environ['REPROLAKE_OUTPUT'], 'made').write_text('x')",
        "pathlib.Path('sub/old').write_text('new'); print(sorted(p.name for p in pathlib.Path('.').iterdir()))",
        "import subprocess; print(subprocess.run(['sh', '-c', 'exit 7']).returncode)",
    )
    done = run(*cells, files={"sub/old": "old"})
    assert (done.record.status, done.states) == ("succeeded", ["succeeded"] * 4), done.record.message
    assert done.text(0) == "jovyan /repo reprolake\n"
    assert done.text(2) == "['analysis.ipynb', 'sub']\n"
    assert done.text(3) == "7\n"
    assert (done.execution.output / "made").read_text() == "x"
    assert (done.execution.upper / "sub/old").read_text() == "new"
    assert (done.execution.repository / "sub/old").read_text() == "old"
    assert {"loading", "start", "ready", "cells"} <= set(done.record.seconds)
    assert done.record.resources.cpu_seconds > 0


def test_what_the_repository_has_is_not_what_a_run_wrote(run):
    """The limit on the disk counts no file that was merely copied; one that is written afterwards counts in full."""
    files, bounds = {"large": "x" * (6 << 20)}, Bounds(disk_bytes=4 << 20)
    done = run(
        "open('small', 'w').write('x' * (1 << 20))\nimport time; time.sleep(1)", files=files, bounds=bounds
    )
    assert done.record.status == "succeeded", done.record.message
    done = run(
        "for n in range(3): open(f'{n}', 'w').write('x' * (2 << 20))\nimport time; time.sleep(60)",
        files=files,
        bounds=bounds,
    )
    assert (done.record.status, done.record.message) == (
        "limit-exceeded",
        "the run wrote more than 4 MiB to the disk, in cell 1",
    )


FORGE = """
import os
for name in os.listdir('/.reprolake'):
    for how in (os.O_RDONLY | os.O_NONBLOCK, os.O_WRONLY | os.O_NONBLOCK):
        try:
            os.open(f'/.reprolake/{name}', how)
        except OSError as error:
            continue
        print(name, how == os.O_RDONLY | os.O_NONBLOCK)
"""


def test_nobody_inside_can_speak_for_the_first_process(run):
    """The pipes by which it tells of the end are closed to the program before that is started; its own file can be read."""
    done = run(FORGE)
    assert done.record.status == "succeeded", done.record.message
    assert done.text(0) == "init True\n"


HOG = "kept = []\nfor _ in range(60): kept.append(bytearray(b'x' * (10 << 20)))"


# What tells these apart is the same for both engines but for what counts memory, so each is tried with one.
ENDS = {
    "killed": ("podman", "import os; os.kill(os.getpid(), 9)", {}, "kernel-died", "killed by signal 9"),
    "memory": ("podman", HOG, {"limits": Limits(memory_bytes=300 << 20)}, "limit-exceeded", "memory"),
    "memory, docker": ("docker", HOG, {"limits": Limits(memory_bytes=300 << 20)}, "limit-exceeded", "memory"),
    "first process": ("docker", "import os\nos.kill(1, 9); os.kill(1, 15); print('on')", {}, "succeeded", ""),
}


@pytest.mark.parametrize(
    ("engine", "source", "given", "status", "word"),
    [pytest.param(*end, id=name, marks=pytest.mark.engine(end[0])) for name, end in ENDS.items()],
    indirect=["engine"],
)
def test_what_ends_a_run_is_told_as_elsewhere(run, source, given, status, word):
    """A kernel that dies and too much memory are told apart; the first process cannot be ended from inside."""
    done = run("1", source, **given)
    assert done.record.status == status, done.record.message
    assert word in done.record.message


@pytest.mark.parametrize("engine", ENGINES[:1], indirect=True)
def test_time_that_is_up_is_told_as_elsewhere(run):
    """The message names the line that ran when the time was up."""
    done = run.until_time_is_up(
        "x = 1\nwhile True: pass", reached=lambda done: "line 2" in done.record.message
    )
    assert (done.record.status, done.record.exit_code) == ("timed-out", 24)
    assert "in cell 1, line 2" in done.record.message


@pytest.mark.parametrize("engine", ENGINES[1:], indirect=True)
def test_the_watchdog_holds_memory_where_the_engine_does_not(run, monkeypatch):
    """Without control groups the run ends all the same, by what its processes are seen to take."""
    engine = run.sandbox._engine
    vars(run.sandbox)["_engine"] = type(engine)(
        engine.program, engine.version, engine.is_rootless, {}, engine.user, engine.more
    )
    monkeypatch.setattr("reprolake_builder.sandboxes.container_running.group_of", lambda *_: {})
    hog = HOG.replace("kept.append", "__import__('time').sleep(0.05); kept.append")
    done = run(hog, limits=Limits(memory_bytes=300 << 20), bounds=Bounds())
    assert (done.record.status, done.record.exit_code) == ("limit-exceeded", 26), done.record.message


class _Notes(Progress):
    def __init__(self):
        self.told = []

    def note(self, message):
        self.told.append(message)


def test_only_layers_that_are_lacking_are_loaded(engine, built_image, session, tmp_path):
    """A second repository of the same environment costs its own layer and that of the mount points, and the second time nothing."""
    from reprolake_runner.inside import root_of
    from reprolake_runner.kernelspec import choose
    from reprolake_runner.processes import RunFolder, Start, kernel_spec

    runs = Runs(built_image, session.tools.store, tmp_path)
    image = runs.with_repository({"n.ipynb": str(time.time())})
    root = root_of(image, session.tools.store)
    plan = runs.plan(image, {"n.ipynb": str(time.time())}, "n.ipynb")
    given = Start(
        spec=plan.spec,
        run=RunFolder(plan.folder),
        root=root,
        repository=root.trees[-1] / "repo",
        kernel=choose(root.trees, "python3", "python", {}),
        env={},
        inputs=None,
        limits=Limits(),
    )
    SANDBOXES[engine]().prepare(kernel_spec(given), SILENT)
    for files, sent in (({"n.ipynb": str(time.time())}, LACKING[engine]), (None, 0)):
        notes = _Notes()
        if files is not None:
            image = runs.with_repository(files)
            root = root_of(image, session.tools.store)
            given = Start(**{**{name: getattr(given, name) for name in given.__slots__}, "root": root})
        SANDBOXES[engine]().prepare(kernel_spec(given), notes)
        expected = [f"{engine} was sent {sent} of {len(root.layers) + 1} layers"] if sent else []
        assert notes.told == expected


def started(engine, tmp_path, store):
    """A command that sleeps in a container of the engine, once it does, and the marker that its process has."""
    marker = f"99{os.getpid()}{time.monotonic_ns() % 1000000}"
    program = [sys.executable, "-m", "reprolake", "exec", SAMPLE, "--sandbox", engine, "--stage", tmp_path]
    child = subprocess.Popen(
        [*map(str, program), "--", "sleep", marker],
        env={**os.environ, "REPROLAKE_STORE": str(store)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until(lambda: child.poll() is not None or runs_there(marker))
    assert runs_there(marker), child.communicate()[0]
    return child, marker


def runs_there(marker):
    """Numbers of the processes that sleep so long."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if (folder / "cmdline").read_bytes() == b"sleep\0" + marker.encode() + b"\0":
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize(("word", "why"), [("nosuch", "No such file"), ("/etc/passwd", "Permission denied")])
def test_a_program_that_cannot_be_run_is_no_fault_of_the_engine(
    engine, reprolake, built_image, tmp_path, word, why
):
    """The command failed then, as in the other sandboxes, and the result says which program it was."""
    done = reprolake("exec", built_image.id, "--sandbox", engine, "--stage", tmp_path, "--", word)
    assert done.returncode == 1, done.stderr
    assert f"the image cannot run {word}: {why}" in done.stdout


def test_a_signal_ends_a_run_and_its_container(engine, tmp_path, session):
    """SIGTERM stops the command, the result says so, and the container is gone."""
    child, marker = started(engine, tmp_path, session.tools.store.root)
    child.send_signal(signal.SIGTERM)
    told = child.communicate(timeout=100)[0]
    assert not runs_there(marker)
    assert "ended from outside by SIGTERM" in told
    record = json.loads(next(tmp_path.glob("*/run.json")).read_text())
    assert (record["status"], record["sandbox"]["chosen"]) == ("stopped", "named by --sandbox")
    assert containers(engine, child.pid) == []


def test_without_its_keeper_nothing_stays_either(engine, tmp_path, session):
    """When only the keeper is killed, the run ends with 23, and its container and the folder of that are gone."""
    child, marker = started(engine, tmp_path, session.tools.store.root)
    folders = [Path(tempfile.gettempdir(), name) for name in containers(engine, child.pid)]
    assert all(folder.is_dir() for folder in folders)
    for number in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split():
        os.kill(int(number), signal.SIGKILL)
    told = child.communicate(timeout=100)[0]
    assert child.returncode == 23, told
    assert not runs_there(marker)
    assert containers(engine, child.pid) == []
    assert not [folder for folder in folders if folder.exists()]


@pytest.mark.alone  # whatever starts a container meanwhile would remove what the second part looks for
def test_a_container_goes_with_whom_it_was_made_for(engine, tmp_path, session):
    """When a run is killed its container is removed; when its keeper is killed with it, the next run removes it."""
    child, marker = started(engine, tmp_path, session.tools.store.root)
    child.kill()
    child.communicate()
    until(lambda: not runs_there(marker) and not containers(engine, child.pid))
    child, marker = started(engine, tmp_path, session.tools.store.root)
    keepers = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    for number in (child.pid, *map(int, keepers)):
        os.kill(number, signal.SIGKILL)
    child.communicate()
    assert runs_there(marker)
    assert containers(engine, child.pid)
    folders = [Path(tempfile.gettempdir(), name) for name in containers(engine, child.pid)]
    assert all(folder.is_dir() for folder in folders)
    SANDBOXES[engine]()._sweep()
    assert not runs_there(marker)
    assert containers(engine, child.pid) == []
    assert not [folder for folder in folders if folder.exists()]
