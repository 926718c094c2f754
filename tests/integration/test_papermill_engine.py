"""`papermill --engine reprolake`: the real papermill, with kernels of an image in the sandbox."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess

import nbformat
import pytest
from conftest import CACHE, ROOT
from file_server import file_server
from nbclient import NotebookClient
from notebook_runs import cell, notebook

from reprolake_runner.staged import read_result

pytestmark = pytest.mark.engine("bubblewrap")

PROBE = """\
import os, socket
print(n, os.getcwd(), os.getuid(), os.path.exists('{here}'), sorted(os.environ.get(k, '') for k in ('REPROLAKE_IMAGE', 'SECRET')))
try:
    socket.create_connection(('127.0.0.1', {port}), 2)
    print('reached')
except OSError:
    print('no network')
"""


@pytest.fixture
def papermill(tmp_path, built_image):
    """Calls papermill on cells; returns the call and the notebook that it wrote."""
    program = shutil.which("papermill", path=str(ROOT / ".venv/bin"))

    def call(*cells, arguments=(), metadata=None, **env):
        made = json.loads(notebook(*cells))
        made["metadata"] |= metadata or {}
        (tmp_path / "in.ipynb").write_text(json.dumps(made))
        out = tmp_path / "out.ipynb"
        known = {"REPROLAKE_STORE": str(CACHE / "store"), "REPROLAKE_IMAGE": built_image.id, "SECRET": "s"}
        done = subprocess.run(
            [program, tmp_path / "in.ipynb", out, "--engine", "reprolake", *arguments],
            env={**os.environ, **known, "TMPDIR": str(tmp_path), **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done, json.loads(out.read_text()) if out.exists() else None

    return call


def text(cell):
    return "".join("".join(one.get("text", [])) for one in cell["outputs"])


def test_a_notebook_runs_in_the_image_and_not_on_this_host(papermill, tmp_path):
    """Parameters arrive, results come back; the kernel sees the image's repository and nothing of this host."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        probe = PROBE.format(here=tmp_path, port=server.getsockname()[1])
        done, found = papermill(cell("n = 1", "parameters"), probe, arguments=("-p", "n", "5"))
    assert done.returncode == 0, done.stderr
    assert text(found["cells"][2]) == "5 /repo 1000 False ['', '']\nno network\n"
    assert found["metadata"]["papermill"]["exception"] is None
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith("rl-")]
    assert left == []


def test_papermills_own_ways_with_failures_hold(papermill):
    """A cell that raises ends with papermill's code 1, a kernel that dies with its 138, a time limit with 1."""
    done, found = papermill("print('before')", "1/0", "open('never', 'w')")
    assert (done.returncode, "ZeroDivisionError" in done.stderr) == (1, True)
    assert found["cells"][-1]["metadata"]["papermill"]["status"] == "pending"
    assert papermill("import os; os._exit(3)")[0].returncode == 138
    done, _ = papermill("import time; time.sleep(600)", arguments=("--execution-timeout", "2"))
    assert (done.returncode, "TimeoutError" in done.stderr) == (1, True)


def test_what_the_notebook_writes_is_staged_beside_it(papermill, tmp_path):
    """Files that it writes to its output folder and to the repository are in a checked result beside the output notebook."""
    source = "import os\nopen(os.environ['REPROLAKE_OUTPUT'] + '/curve.csv', 'w').write('1,2')\nopen('/repo/made.txt', 'w').write('made')"
    done, _ = papermill(source)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "out.staged").iterdir()
    assert str(folder) in done.stderr
    result = read_result(folder)
    assert result.intact
    assert (folder / "outputs/curve.csv").read_text() == "1,2"
    assert (folder / "outputs/repository/made.txt").read_text() == "made"
    assert (result.staged.record.status, result.staged.record.kernel) == ("succeeded", "python3")
    assert {limit.name for limit in result.staged.record.limits} >= {"processes", "free_bytes"}


def test_folders_beside_the_sockets_are_removed_however_deep(papermill, tmp_path):
    """A notebook that hangs thousands of folders in each other where its sockets are is ended, and leaves none of them."""
    deep = "import os, time\nos.chdir('/run/kernel')\nfor _ in range(2000): os.mkdir('d'); os.chdir('d')"
    done, _ = papermill(f"{deep}\ntime.sleep(600)")
    assert (done.returncode, "deeper than 128" in done.stderr) == (138, True), done.stderr[-2000:]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("rl-")] == []


@pytest.mark.parametrize(
    ("source", "setting", "status", "words"),
    [
        ("import time; time.sleep(600)", {"REPROLAKE_MAX_TIMEOUT": "3"}, "timed-out", "the run took longer than 3 s"),
        (
            "for n in range(60): open(f'/out/{n}', 'wb').write(b'x' * (1 << 20))\nimport time; time.sleep(600)",
            {"REPROLAKE_MAX_DISK_BYTES": "20M"}, "limit-exceeded", "the run wrote more than 20 MiB to the disk",
        ),
        (
            "for n in range(40): open(f'/run/kernel/{n}', 'wb').write(b'x' * (1 << 20))\nimport time; time.sleep(600)",
            {}, "limit-exceeded", "the run wrote more than 16 MiB to the disk",
        ),
        ("import os; os._exit(3)", {}, "kernel-died", "the kernel ended before the notebook did"),
        ("open('/out/kept', 'w').close(); 1/0", {}, "failed", "ZeroDivisionError"),
    ],
    ids=["time", "disk", "sockets", "dead", "raised"],
)  # fmt: skip
def test_limits_of_a_whole_run_hold(papermill, tmp_path, source, setting, status, words):
    """The limits on the run's time and on what it writes end papermill's kernel, and the record of what is left is true."""
    done, _ = papermill("1", source, **setting)
    assert done.returncode == (1 if status == "failed" else 138), done.stderr
    assert words in done.stderr
    (folder,) = (tmp_path / "out.staged").iterdir()
    assert read_result(folder).staged.record.status == status


def test_another_folder_can_be_named(tmp_path, built_image, monkeypatch):
    """From Python the engine takes the folder of the result as an option."""
    import papermill

    monkeypatch.setenv("REPROLAKE_STORE", str(CACHE / "store"))
    (tmp_path / "in.ipynb").write_text(notebook("open('/out/x', 'w').close()"))
    options = {"image": built_image.id, "reprolake_stage": str(tmp_path / "results"), "progress_bar": False}
    papermill.execute_notebook(
        tmp_path / "in.ipynb", tmp_path / "out.ipynb", engine_name="reprolake", **options
    )
    (folder,) = (tmp_path / "results").iterdir()
    assert (folder / "outputs/x").exists()
    assert not (tmp_path / "out.staged").exists()


def test_the_image_is_named_by_environment_or_notebook(papermill, built_image, small_lock, small_store):
    """A lock's path works as an id does; a notebook may name an id and no file; nothing named is said so."""
    assert (
        papermill("1", REPROLAKE_IMAGE=str(small_lock), REPROLAKE_STORE=str(small_store))[0].returncode == 0
    )
    named = {"reprolake": {"image": built_image.id}}
    assert papermill("1", metadata=named, REPROLAKE_IMAGE="")[0].returncode == 0
    done, _ = papermill("1", metadata={"reprolake": {"image": str(small_lock)}}, REPROLAKE_IMAGE="")
    assert (done.returncode, "no image is named" in done.stderr) == (1, True)
    assert "\nhint: " in done.stderr, "the next step"
    done, _ = papermill("1", REPROLAKE_IMAGE="sha256:" + "0" * 64)
    assert (done.returncode, "is not here" in done.stderr) == (1, True)


def test_the_repositorys_kernels_decide_not_this_hosts(papermill):
    """A kernel name that the image does not have is told with those that it has, for another language."""
    spec = {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}
    done, _ = papermill("1", metadata=spec)
    assert (done.returncode, "which the image does not have" in done.stderr) == (1, True)


def test_any_client_of_jupyter_can_have_such_a_kernel(tmp_path, built_image, monkeypatch):
    """A kernel specification of this host that names the provisioner and an image is all that it takes."""
    provisioner = {"provisioner_name": "reprolake", "config": {"image": built_image.id}}
    spec = {
        "argv": ["-"],
        "display_name": "crab",
        "language": "python",
        "interrupt_mode": "message",
        "metadata": {"kernel_provisioner": provisioner},
    }
    place = tmp_path / "jupyter" / "kernels" / "crab"
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("REPROLAKE_STORE", str(CACHE / "store"))
    made = nbformat.reads(notebook("import os; os.getcwd()"), as_version=4)
    NotebookClient(made, kernel_name="crab", timeout=60).execute()
    assert made.cells[0].outputs[0].data["text/plain"] == "'/repo'"


ASK = """
import os, urllib.request
os.environ.pop('no_proxy', None), os.environ.pop('NO_PROXY', None)
print(urllib.request.urlopen({url!r}, timeout=20).read())
"""


def test_the_setting_opens_the_network_of_kernels(papermill):
    """The setting, and nothing else, gives a kernel the network that it says."""
    with file_server(files={"/a": b"content"}) as web:
        host = web.address.removeprefix("http://")
        opened = {"REPROLAKE_NETWORK": f"allow={host}", "REPROLAKE_NETWORK_INWARD": host}
        done, found = papermill(ASK.format(url=f"{web.address}/a"), **opened)
        closed, _ = papermill(ASK.format(url=f"{web.address}/a"))
    assert done.returncode == 0, done.stderr
    assert text(found["cells"][0]) == "b'content'\n"
    assert closed.returncode == 1
