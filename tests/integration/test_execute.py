"""Notebooks executed in a real image: what runs, what comes out, and how a run ends."""

from __future__ import annotations

import json
import stat

import nbformat
import pytest
from notebook_runs import Runs, cell, notebook

from reprolake_builder.errors import BuildError, SandboxError
from reprolake_builder.sandboxes.interface import Limits
from reprolake_runner.documents.run import CheckSpec
from reprolake_runner.errors import NotebookError
from reprolake_runner.execute import execute
from reprolake_runner.figures import plain_text

pytestmark = pytest.mark.engine("bubblewrap")


@pytest.fixture
def run(built_image, session, tmp_path):
    """Runs notebooks in the image of a sample repository."""
    return Runs(built_image, session.tools.store, tmp_path / "runs")


def test_a_notebook_runs_with_parameters_inputs_and_outputs(run, tmp_path):
    """Parameters replace defaults, inputs are at /data, outputs and new files come back, the record says it all."""
    inputs = tmp_path / "inputs"
    inputs.mkdir(mode=0o700)
    (inputs / "basket.json").write_text("{}")
    (inputs / "basket.json").chmod(0o600)
    done = run(
        "import os",
        cell("bins = 10\nname = ''", "parameters"),
        "print(bins, name, os.getcwd(), os.getuid(), os.getgid())",
        "print(open('/data/basket.json').read(), os.environ['BASKET'], os.environ['HOME'])",
        "open('created.txt', 'w').write('x'); open('old.txt', 'a').write('y')\n"
        "open(os.environ['REPROLAKE_OUTPUT'] + '/result', 'w').write('z')",
        files={"sub/old.txt": "x", "sub/same.txt": "s"},
        path="sub/analysis.ipynb",
        parameters={"bins": 20, "name": 'é"\n'},
        inputs=inputs,
        env={"BASKET": "/data/basket.json"},
    )
    assert (done.record.status, done.record.exit_code) == ("succeeded", 0)
    assert done.states == ["succeeded"] * 6
    assert done.text(3) == '20 é"\n /repo/sub 1000 100\n'
    assert done.text(4) == "{} /data/basket.json /home/jovyan\n"
    written = {path.name for path in done.execution.upper.rglob("*") if path.is_file()}
    assert written == {"created.txt", "old.txt"}
    assert (done.execution.output / "result").read_text() == "z"
    assert (done.execution.repository / "sub/old.txt").read_text() == "x"
    assert done.record.kernel_info["language"] == "python"


def test_the_executed_notebook_is_valid_and_papermill_aware(run):
    """The notebook passes the schema and carries papermill's metadata for parameters, times and states."""
    done = run(cell("n = 1", "parameters"), "print(n)", parameters={"n": 2})
    nbformat.validate(nbformat.from_dict(done.notebook))
    metadata = done.notebook["metadata"]["papermill"]
    assert metadata["parameters"] == {"n": 2}
    assert (metadata["exception"], metadata["input_path"]) == (False, "analysis.ipynb")
    assert metadata["duration"] > 0
    assert [one["metadata"]["papermill"]["status"] for one in done.notebook["cells"]] == ["completed"] * 3


def test_a_cell_that_raises_ends_the_run(run):
    """The first failing cell is named with its error, later ones never run, the notebook says so."""
    done = run("1", "1/0", "open('never', 'w')")
    assert (done.record.status, done.record.exit_code) == ("failed", 1)
    assert done.record.message == "cell In [2] raised ZeroDivisionError: division by zero"
    assert "Cell In[2]" in plain_text("".join(done.notebook["cells"][1]["outputs"][0]["traceback"]))
    assert [(one.index, one.execution_count) for one in done.record.cells] == [(0, 1), (1, 2), (2, None)]
    assert done.states == ["succeeded", "failed", "pending"]
    assert done.notebook["metadata"]["papermill"]["exception"] is True
    assert done.notebook["cells"][2]["metadata"]["papermill"]["status"] == "pending"
    assert not (done.execution.upper / "never").exists()


def test_tags_of_cells_are_honoured(run):
    """raises-exception lets a failure pass, skip-execution skips, an empty cell is nothing to run."""
    done = run(cell("1/0", "raises-exception"), cell("boom()", "skip-execution"), "  ", "print('end')")
    assert done.record.status == "succeeded"
    assert done.states == ["allowed-failure", "skipped", "skipped", "succeeded"]
    assert [one.skipped for one in done.record.cells] == [None, "tagged", "empty", None]
    assert done.record.message == "2 of 3 code cells ran, 1 was skipped"


@pytest.mark.parametrize("source", ["import sys; sys.exit()", "import sys; sys.exit(0)", "exit()", "quit"])
def test_a_cell_may_end_the_notebook(run, source):
    """As in papermill a notebook that leaves with 0 has succeeded; nothing of it runs after that, and the message says so."""
    done = run("1", source, "import time; time.sleep(1)", "2", check=CheckSpec())
    assert (done.record.status, done.record.exit_code) == ("succeeded", 0)
    assert "cell In [2] ended the notebook; 2 of 4 code cells ran" in done.record.message
    assert done.states == ["succeeded", "succeeded", "skipped", "skipped"]
    assert [one.skipped for one in done.record.cells] == [None, None, "after-exit", "after-exit"]
    assert done.notebook["cells"][1]["outputs"][0]["ename"] == "SystemExit"


@pytest.mark.parametrize(
    ("source", "words"),
    [("import sys; sys.exit(3)", "SystemExit: 3"), ("exit('no data')", "SystemExit: no data")],
)
def test_a_cell_that_leaves_with_another_status_has_failed(run, source, words):
    """What does not leave with 0 says that something is wrong."""
    done = run("1", source, "2")
    assert (done.record.status, done.record.message) == ("failed", f"cell In [2] raised {words}")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import os; os._exit(0)", "ended by itself with status 0"),
        (
            "import os; os.kill(os.getpid(), 9)",
            "killed by signal 9 in cell 2, perhaps because memory ran out",
        ),
        (
            "import threading, os; threading.Timer(0, os._exit, [3]).start(); import time; time.sleep(600)",
            "status 3",
        ),
        ("import ctypes; ctypes.string_at(0)", "killed by signal 11"),
    ],
    ids=["exit", "kill", "thread", "segfault"],
)
def test_the_kernels_death_is_never_a_success(run, source, words):
    """A kernel that ends, however politely, is reported with the cell in which it did."""
    done = run("1", source, "2")
    assert (done.record.status, done.record.exit_code) == ("kernel-died", 25)
    assert words in done.record.message
    assert "in cell 2" in done.record.message
    assert ("signal 11" in words) == ("line 1" in done.record.message)
    assert done.states == ["succeeded", "running", "pending"]
    assert done.notebook["metadata"]["papermill"]["end_time"] is None


def test_a_kernel_that_cannot_start_is_explained(run):
    """When the kernel ends before it answers, its last words are in the message."""
    files = {"../opt/env/share/jupyter/kernels/python3/kernel.json": json.dumps(
        {"argv": ["python", "-c", "raise SystemExit('no kernel today')", "{connection_file}"], "language": "python"}
    )}  # fmt: skip
    done = run("1", files=files)
    assert done.record.status == "kernel-died"
    assert "before the kernel answered" in done.record.message
    assert "no kernel today" in done.record.message


def test_a_kernel_whose_program_is_missing_is_explained(run):
    """When the kernel's command is not in the image the error says which one."""
    place = "../opt/env/share/jupyter/kernels/python3/kernel.json"
    spec = {"argv": ["no-such-interpreter", "{connection_file}"], "language": "python"}
    with pytest.raises(SandboxError, match="no-such-interpreter"):
        run("1", files={place: json.dumps(spec)})


def test_a_cell_that_takes_too_long_is_interrupted(run):
    """The limit per cell interrupts the cell, whose traceback is kept, and ends the run with 24."""
    done = run("import time\ntime.sleep(600)", "1", execution_timeout=3)
    assert (done.record.status, done.record.exit_code) == ("timed-out", 24)
    assert "cell In [1] took longer than 3 s" in done.record.message
    assert done.states == ["failed", "pending"]
    assert done.notebook["cells"][0]["outputs"][0]["ename"] == "KeyboardInterrupt"


def test_a_cell_may_clean_up_when_it_is_interrupted(run):
    """It is interrupted once, and what it does then, for some seconds, is not disturbed."""
    tidy = "import time\ntry:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    time.sleep(1.5)\n    print('tidied up')"
    done = run("1", tidy, execution_timeout=3)
    assert (done.record.status, done.text(1)) == ("timed-out", "tidied up\n")


def test_a_kernel_that_does_not_survive_its_interrupt_has_timed_out(run):
    """What ends it is its time limit, and not a death of its own."""
    fragile = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\ntime.sleep(600)"
    done = run(fragile, execution_timeout=3)
    assert (done.record.status, done.record.exit_code, done.states) == ("timed-out", 24, ["failed"])
    assert done.record.message.startswith("cell In [1] took longer than 3 s")


def test_the_whole_run_has_a_limit(run):
    """When the run's time is up what was printed until then is kept, and the cell counts as running."""
    source = "print('partial', flush=True)\nimport time; time.sleep(600)"
    done = run.until_time_is_up(source, reached=lambda done: done.text(0))
    assert (done.record.status, done.record.exit_code) == ("timed-out", 24)
    assert done.states == ["running"]
    assert done.text(0) == "partial\n"
    assert done.notebook["cells"][0]["metadata"]["papermill"]["status"] == "running"


def test_a_stopped_kernel_does_not_hang_the_run(run):
    """A kernel that stops itself is ended by the limits."""
    done = run("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", execution_timeout=1)
    assert done.record.status == "timed-out"


def test_many_outputs_all_arrive(run):
    """Thousands of displays in one cell are all kept, although the kernel is faster than the driver."""
    done = run("from IPython.display import display\nfor n in range(6000): display(n)", "print('after')")
    assert done.record.status == "succeeded"
    assert len(done.notebook["cells"][0]["outputs"]) == 6000
    assert done.text(1) == "after\n"


def test_a_giant_message_ends_the_run_with_a_limit(run):
    """An output too large to be taken ends the run with 26 instead of vanishing."""
    done = run("print('x' * 150_000_000)")
    assert (done.record.status, done.record.exit_code) == ("limit-exceeded", 26)
    assert "128 MB" in done.record.message


def test_outputs_that_no_notebook_can_hold_do_not_end_the_run(run):
    """Outputs in forms that Jupyter does not know are kept as text, the run goes on, and the record warns of them."""
    done = run(
        "display({'application/x-foo': 5}, raw=True)\ndisplay({'text/plain': {'a': [1]}, 'image/png': b'x'}, raw=True)",
        "kernel = get_ipython().kernel\n"
        "def send(kind, **content):\n"
        "    kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent())\n"
        "send('display_data', data=5, metadata=None)\n"
        "send('display_data', data={'application/json': [[float('nan')]]}, metadata={}, transient=[1])\n"
        "send('stream', name='stdlog', text=['a', 1])\n"
        "send('error', ename=1, evalue=None, traceback='up there')\n"
        "send('execute_input', execution_count=-1)\n"
        "send('comm_open', comm_id=[], data={})\n",
        "print('after')",
    )
    assert done.record.status == "succeeded", done.record.message
    nbformat.validate(nbformat.from_dict(done.notebook))
    shown = done.notebook["cells"][0]["outputs"]
    assert shown[0]["data"] == {"application/x-foo": "5"}
    assert shown[1]["data"]["text/plain"] == ['{"a": [1]}']
    assert [one["output_type"] for one in done.notebook["cells"][1]["outputs"][:4]] == [
        "display_data", "display_data", "stream", "error"
    ]  # fmt: skip
    assert done.text(2) == "after\n"
    assert [text.partition(":")[0] for text in done.record.warnings] == ["cell In [1]", "cell In [2]"]
    assert "application/x-foo was no text" in done.record.warnings[0]


def test_outputs_of_an_earlier_run_are_not_shown(run):
    """What the notebook's author left in cells that do not run is not taken for this run's."""
    old = {"output_type": "error", "ename": "Old", "evalue": "", "traceback": []}
    done = run("1/0", cell("2") | {"outputs": [old], "execution_count": 1})
    assert (done.notebook["cells"][1]["outputs"], done.notebook["cells"][1]["execution_count"]) == ([], None)


def test_files_of_the_repository_do_not_break_the_kernel(run):
    """Modules beside the notebook can be imported but do not stand in for Python's own while the kernel starts."""
    bad = dict.fromkeys(
        ("types.py", "random.py", "code.py", "ipykernel.py"), "raise RuntimeError('imported')"
    )
    done = run("import mine; print(mine.VALUE)", files={**bad, "mine.py": "VALUE = 7"})
    assert done.record.status == "succeeded", done.execution.printed["log.txt"].read_text()
    assert done.text(0) == "7\n"


def test_exit_handlers_of_the_notebook_run(run):
    """What user code wants to do at exit is done before the kernel goes."""
    done = run(
        "import atexit, os\natexit.register(lambda: open(os.environ['REPROLAKE_OUTPUT'] + '/bye', 'w').write('bye'))"
    )
    assert done.record.status == "succeeded"
    assert (done.execution.output / "bye").read_text() == "bye"


def test_the_log_of_the_kernel_is_kept_with_a_limit(run):
    """What the process prints beside the notebook goes to the log, and an endless log does not fill the disk."""
    done = run(
        "import os, time\nos.write(1, b'first words\\n'); time.sleep(0.5)\nfor _ in range(200): os.write(2, b'x' * 100_000)"
    )
    assert done.record.status == "succeeded"
    assert done.execution.printed["log.txt"].read_bytes().startswith(b"first words\n")
    assert done.execution.printed["log.txt"].stat().st_size <= 16 << 20


def test_the_event_log_tells_the_run_in_order(run):
    """Events are written outside the sandbox, from the start of the run to its end."""
    events = [event["event"] for event in run("1").events if event["event"] != "resources"]
    assert events[:5] == ["run-started", "processes-started", "kernel-ready", "cell-started", "cell-ended"]
    assert events[5] == "cells-done"
    assert events[-1] == "run-ended"


def test_another_notebook_than_the_planned_one_is_refused(run):
    """A run does not start on a notebook whose bytes are not those of the plan."""
    files = {"analysis.ipynb": notebook("1")}
    image = run.with_repository(files)
    plan = run.plan(image, {"analysis.ipynb": notebook("2")}, "analysis.ipynb")
    with pytest.raises(NotebookError, match="made for another"):
        execute(image, run.store, plan)


def test_an_image_that_is_not_whole_is_refused(run):
    """A tree that is missing from the store is an error before anything starts."""
    files = {"analysis.ipynb": notebook("1")}
    image = run.with_repository(files)
    plan = run.plan(image, files, "analysis.ipynb")
    (run.store.root / "trees" / image.trees[-1][:2] / image.trees[-1] / "index").unlink()
    with pytest.raises(BuildError, match="lacks the tree"):
        execute(image, run.store, plan)


def test_nothing_that_was_left_can_be_run_by_others(run):
    """The run's folders keep other users of the host out, whatever modes the notebook set."""
    done = run(
        "import os; p = os.environ['REPROLAKE_OUTPUT'] + '/tool'; open(p, 'w').write('x'); os.chmod(p, 0o4777)"
    )
    assert done.record.status == "succeeded"
    assert stat.S_IMODE(done.execution.output.parent.stat().st_mode) == 0o700


def test_limits_on_files_hold(run):
    """A file cannot grow beyond the limit of the plan."""
    done = run(
        "import os, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "f = open(os.environ['REPROLAKE_OUTPUT'] + '/big', 'wb'); f.truncate(2 << 20)",
        limits=Limits(file_bytes=1 << 20),
    )
    assert done.record.message.startswith("cell In [1] raised OSError: [Errno 27]")


SHELL = "!false\nfound = !ls /nonexistent\n!true\nprint('after')"


def test_a_shell_line_that_fails_is_a_warning(run):
    """Shell lines that fail, also those whose output is taken, are told with the cell and the status; the run goes on."""
    done = run("1", SHELL, "!exit 3")
    assert done.record.status == "succeeded"
    assert done.text(1) == "after\n"
    assert done.record.warnings == (
        "cell In [2]: the shell line `false` failed with exit status 1",
        "cell In [2]: the shell line `ls /nonexistent` failed with exit status 2",
        "cell In [3]: the shell line `exit 3` failed with exit status 3",
    )
    assert run("!true", "x = !echo fine").record.warnings == ()


def test_strict_shell_makes_it_a_failure(run):
    """With strict_shell the cell whose shell line fails is the one that failed, and a tag can still allow that."""
    done = run(SHELL, "1", strict_shell=True)
    assert (done.record.status, done.record.exit_code) == ("failed", 1)
    assert done.record.message == "cell In [1] failed: the shell line `false` failed with exit status 1"
    assert done.states == ["failed", "pending"]
    assert run(cell("!false", "raises-exception"), "!true", strict_shell=True).record.status == "succeeded"


def test_a_bash_cell_that_fails_fails(run):
    """A cell in bash whose script fails raises, as it does in Jupyter."""
    assert run("%%bash\nexit 3").record.status == "failed"
    assert run("%%bash\nexit 0").record.status == "succeeded"


def test_a_bash_cell_that_is_to_fail_in_silence_is_a_warning(run):
    """What --no-raise-error keeps from raising is told as a shell line that failed is; the output is the same."""
    done = run("%%bash --no-raise-error\necho here\nexit 3", "%%script --no-raise-error bash\nexit 0")
    assert (done.record.status, done.text(0)) == ("succeeded", "here\n")
    said = "the shell line `%%bash --no-raise-error` failed with exit status 3"
    assert done.record.warnings == (f"cell In [1]: {said}",)
    done = run("%%script --no-raise bash\nexit 4", "1", strict_shell=True)
    assert (done.record.status, done.states) == ("failed", ["failed", "pending"])


def test_what_a_cell_takes_is_told(run):
    """Record and event log tell for each cell when it began and what it took, and for the run how that went over time."""
    done = run(
        "x = bytearray(b'x' * (150 << 20)); import time; time.sleep(1); del x",
        "sum(range(20_000_000))",
        "import time; time.sleep(0.6)",
    )
    first, second, third = done.record.cells
    assert first.peak_bytes > 250 << 20 > second.peak_bytes
    assert second.cpu_seconds > third.cpu_seconds
    assert first.begun < second.begun < third.begun
    taken = done.record.resources
    assert taken.peak_bytes == max(one.peak_bytes for one in done.record.cells)
    assert [one.at for one in taken.samples] == sorted(one.at for one in taken.samples)
    assert taken.samples[-1].cpu_seconds <= taken.cpu_seconds < 60
    events = [event for event in done.events if event["event"] == "cell-ended"]
    assert [event["peak_bytes"] for event in events] == [one.peak_bytes for one in done.record.cells]
