"""Kernels that lie, flood and break off: the driver survives, the verdict is right, and nothing beyond the run is reached (H25 to H30)."""

from __future__ import annotations

import json

import pytest
import zmq
from escape_attempts import Listeners
from notebook_runs import Runs
from runs_apart import run_apart
from waiting import until

from reprolake_runner.bounds import Bounds
from reprolake_runner.driver.protocol import DriverLimits

pytestmark = [pytest.mark.engine("bubblewrap"), pytest.mark.usefixtures("untouched_host")]
MIB = 1 << 20


@pytest.fixture
def run(built_image, session, tmp_path):
    """Runs notebooks in the image of a sample repository."""
    return Runs(built_image, session.tools.store, tmp_path / "runs")


@pytest.fixture
def listeners(tmp_path_factory):
    """Sockets of the host."""
    made = Listeners(tmp_path_factory.mktemp("l"))
    yield made
    made.close()


@pytest.mark.parametrize(
    "source",
    [
        "import os; os.kill(os.getpid(), 9)",
        "import os; os.kill(1, 9); os._exit(0)",
        "get_ipython().kernel.do_shutdown(False); import os; os._exit(0)",
        "import os, threading; threading.Timer(0.2, os._exit, [0]).start(); import time; time.sleep(9)",
    ],
    ids=["self", "first", "polite", "timer"],
)
def test_no_way_to_end_early_looks_finished(run, source):
    """H25: however the kernel ends itself, the run is no success and its later cells are pending."""
    done = run("1", source, "2")
    assert (done.record.status, done.record.exit_code) == ("kernel-died", 25)
    assert "cell 2" in done.record.message
    assert done.states[2] == "pending"
    assert done.notebook["cells"][2]["metadata"]["papermill"]["status"] == "pending"


def test_a_kernel_that_ends_after_the_last_cell_is_no_success(run):
    """H25: a kernel that is gone before anybody asked it to end did not finish, though every cell did; one that stays has."""
    source = "import os, threading; threading.Timer({}, os._exit, [0]).start()"
    done = run("1", source.format(0.05), "import time; time.sleep(1)")
    assert done.record.status == "kernel-died"
    assert run("1", source.format(300), "2").record.status == "succeeded"


STEAL = """
import glob, os, socket, time
for path in glob.glob('/run/kernel/k-*'):
    os.unlink(path)
    os.symlink({target!r}, path)
dropped = 0
for fd in range(3, 200):
    try:
        one = socket.socket(fileno=fd)
    except OSError:
        continue
    if one.family == socket.AF_UNIX and str(one.getsockname()).startswith('/run/kernel'):
        try:
            one.getpeername()
            one.shutdown(socket.SHUT_RDWR)
            dropped += 1
        except OSError:
            pass
    one.detach()
open(os.environ['REPROLAKE_OUTPUT'] + '/dropped', 'w').write(str(dropped))
time.sleep(600)
"""


def test_sockets_replaced_by_links_lead_nowhere(run, listeners):
    """H26: a kernel that links its sockets to one of the host and drops the connection does not make the driver call there."""
    done = run("1", STEAL.format(target=listeners.unix), execution_timeout=4)
    assert int((done.execution.output / "dropped").read_text()) >= 3
    assert done.record.status in {"timed-out", "limit-exceeded"}
    assert done.states in (["succeeded", "failed"], ["succeeded", "running"])
    assert listeners.accepted == []
    # the control: a client that is not confined follows the link
    context = zmq.Context()
    naive = context.socket(zmq.DEALER)
    naive.connect(f"ipc://{done.execution.output.parent}/sockets/k-1")
    until(lambda: listeners.accepted)
    context.destroy(linger=0)


FORGE = """
kernel = get_ipython().kernel
parent = kernel.get_parent()
def tell(target, kind, content, ident=None):
    kernel.session.send(target, kind, content, parent=parent, ident=ident)
reply = {"status": "ok", "execution_count": 2, "user_expressions": {}, "payload": []}
tell(kernel.shell_stream.socket, "execute_reply", reply, kernel._parent_ident["shell"])
tell(kernel.iopub_socket, "status", {"execution_state": "idle"})
import time; time.sleep(0.5)
"""


def test_a_forged_reply_hides_no_failure(run):
    """H27: a cell that says itself that it went well, and then fails, has failed, also when it is the last."""
    done = run("1", FORGE + "1/0", "2")
    assert (done.record.status, done.record.exit_code) == ("failed", 1), done.record.message
    assert "cell In [2]" in done.record.message
    assert "ZeroDivisionError" in done.record.message
    last = run("1", FORGE + "1/0")
    assert (last.record.status, last.record.exit_code) == ("failed", 1), last.record.message


def test_a_forged_reply_alone_is_believed(run):
    """H27: the control: a reply that a cell sends for itself does arrive, and where nothing belies it the cell is done early."""
    done = run("1", FORGE.replace("0.5", "8") + "print('late')", "2")
    assert done.record.status == "succeeded", done.record.message
    assert done.record.cells[1].seconds < 7  # it slept for longer
    assert "late" not in done.text(1)


def test_a_forged_reply_hides_no_end(run):
    """H27: a kernel that says that all is well and ends is dead all the same."""
    done = run("1", FORGE + "import os; os._exit(0)", "2")
    assert (done.record.status, done.record.exit_code) == ("kernel-died", 25), done.record.message
    assert done.states[2] in {"pending", "running"}


FRAMES = """
import json, os
kernel = get_ipython().kernel
def raw(key=None, frames=None, text="unsigned words"):
    session = kernel.session
    message = session.msg("stream", {"name": "stdout", "text": text}, parent=kernel.get_parent())
    parts = session.serialize(message)
    if key is not None:
        parts[1] = key
    kernel.iopub_socket.send_multipart(frames or [b"stream", *parts])
"""


def test_messages_that_are_not_signed_are_not_believed(run):
    """H28: what has another signature, or is no message at all, neither shows nor ends the run; what is signed shows."""
    done = run(
        FRAMES + "raw(key=b'0' * 64)\nraw(key=b'')\nprint('after')",
        FRAMES
        + "for frames in ([b''], [b'<IDS|MSG>'], [b'<IDS|MSG>', b'x', b'{', b'}', b'[', b'null'], [b'\\xff' * 9] * 9,\n"
        "    [b'<IDS|MSG>', b'', b'[' * 100_000, b'{}', b'{}', b'{}']):\n    raw(frames=frames)\nprint('after')",
        FRAMES + "raw(text='signed words')",
    )
    assert done.record.status == "succeeded", done.record.message
    assert [done.text(number) for number in range(3)] == ["after\n", "after\n", "signed words"]


def test_a_giant_message_ends_the_run(run):
    """H28: a message that is far too large is not taken; one below the limit is."""
    source = "print('x' * (100 << 20))"
    done = run("1", source, bounds=Bounds(messages=DriverLimits(message_bytes=16 * MIB)))
    assert (done.record.status, done.record.exit_code) == ("limit-exceeded", 26), done.record.message
    assert run("print('x' * (3 << 20))").record.status == "succeeded"


COMMS = """
kernel = get_ipython().kernel
def comm(kind, **content):
    kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent())
for n in range({count}):
    comm("comm_open", comm_id=f"c{{n}}", target_name="jupyter.widget", data={{"state": {{"v": "x" * {size}}}}})
"""
UPDATES = """
from IPython.display import display
handle = display("0", display_id="one")
for n in range({count}):
    handle.update({{"text/plain": "x" * {size}}}, raw=True)
"""


@pytest.mark.parametrize("source", [COMMS, UPDATES], ids=["widgets", "updates"])
def test_widgets_and_updates_without_end_are_bounded(run, source):
    """H29: a bomb of widgets' states or of updated outputs ends by a limit; a few of them are fine."""
    bounds = Bounds(messages=DriverLimits(messages=2000, total_bytes=20 * MIB))
    many = run("1", source.format(count=2500, size=10), bounds=bounds)
    assert (many.record.status, many.record.exit_code) == ("limit-exceeded", 26), many.record.message
    large = run("1", source.format(count=60, size=MIB), bounds=bounds)
    assert large.record.status == "limit-exceeded"
    few = run("1", source.format(count=20, size=10), bounds=bounds)
    assert few.record.status == "succeeded", few.record.message


SPY = """
import glob, os, socket
found = {{}}
for path in {paths!r}:
    try:
        found[path] = len(open(path).read())
    except OSError as error:
        found[path] = type(error).__name__
mine = os.listdir("/run/kernel")
import json
print(json.dumps([found, sorted(mine), [p for p in glob.glob("/proc/*/root/run/kernel/connection.json")]]))
"""


def test_another_run_is_out_of_reach(run):
    """H30: of a run at the same time neither connection file nor sockets can be found, and it ends as it should."""
    waits = "import os, time\nwhile not os.path.exists('/out/go'): time.sleep(0.05)\nprint('undisturbed')"
    other = run_apart(run, waits)
    connection = other.folder / "sockets/connection.json"
    other.until(connection.with_name("k-1").exists)
    assert json.loads(connection.read_text())["key"]  # the control: from here it can be read
    done = run(SPY.format(paths=[str(connection), str(other.folder / "driver/notebook.ipynb")]))
    other.until(lambda: "cell-started" in (other.folder / "events.jsonl").read_text())
    (other.folder / "output/go").touch()
    assert other.child.wait(60) == 0
    found, mine, roots = json.loads(done.text(0))
    assert set(found.values()) == {"FileNotFoundError"}
    assert mine == ["connection.json", "k-1", "k-2", "k-3", "k-4", "k-5"]
    assert len(roots) >= 1
    assert other.record["status"] == "succeeded"
    assert "undisturbed\\n" in (other.folder / "driver/executed.ipynb").read_text()
