"""Ways out of the kernel's sandbox: each is tried from inside, none may lead anywhere."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import socket
import subprocess
from pathlib import Path

import pytest
from escape_attempts import FAIL_BY_FILTER, SECRET, Listeners, alive, cases, refusal, told, try_all
from notebook_runs import Runs, notebook
from sandbox_programs import SANDBOXES
from waiting import until

from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import Bind, Limits
from reprolake_runner.driver_root import driver_spec
from reprolake_runner.inside import root_of
from reprolake_runner.kernelspec import choose
from reprolake_runner.processes import RunFolder, Start, kernel_spec

pytestmark = pytest.mark.engine("bubblewrap")

PROJECT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def listeners(tmp_path_factory):
    """Sockets of the host."""
    made = Listeners(tmp_path_factory.mktemp("l"))
    yield made
    made.close()


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.engine(name)) for name in SANDBOXES]
)
def sandbox(request):
    """Every way to isolate."""
    return SANDBOXES[request.param]()


@pytest.fixture(scope="module")
def start(sandbox, built_image, session, tmp_path_factory):
    """What a run's processes start from, as `execute` makes it, over a small repository; of its own for each sandbox."""
    folder = tmp_path_factory.mktemp("probe")
    runs = Runs(built_image, session.tools.store, folder)
    files = {"analysis.ipynb": notebook("1"), "kept.txt": "kept"}
    image = runs.with_repository(files)
    plan = runs.plan(image, files, "analysis.ipynb")
    root = root_of(image, session.tools.store)
    inputs = folder / "inputs"
    inputs.mkdir()
    (inputs / "basket.json").write_text("{}")
    given = Start(
        spec=plan.spec,
        run=RunFolder(plan.folder),
        root=root,
        repository=root.trees[-1] / "repo",
        kernel=choose(root.trees, "python3", "python", {}),
        env={**image.env, "NONCE": secrets.token_hex(16)},
        inputs=inputs,
        limits=Limits(processes=200, tmp_bytes=64 << 20),
    )
    given.run.make()
    return given


@pytest.fixture(scope="module")
def tried(sandbox, start, listeners, tmp_path_factory):
    """The probe's report from inside the kernel's sandbox."""
    folder = tmp_path_factory.mktemp("secret")
    more = [start.run.folder / "driver.log", "/etc/shadow"]
    given = told(listeners, start.env["NONCE"], folder, more)
    spec = dataclasses.replace(kernel_spec(start), cwd="/repo")
    return try_all(sandbox, spec, given, folder / "log")


def test_the_probe_refuses_to_run_outside():
    """On the host the probe tries nothing, whatever it is told."""
    done = refusal()
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"nothing was tried" in done.stderr


@pytest.mark.parametrize(("case", "name"), cases())
def test_the_attempt_fails(tried, case, name):
    """Every attempt ends in an error of the system."""
    found = tried.results[name]
    assert isinstance(found, str), case
    assert found[:1] == "E"
    assert found.isupper()


@pytest.mark.parametrize("name", FAIL_BY_FILTER)
def test_the_filter_stops_it_before_the_kernel_looks(tried, name):
    """These calls fail with the filter's own error, whatever their arguments."""
    assert tried.results[name] in {"EPERM", "ENOSYS"}


def test_nothing_of_the_host_shows(tried):
    """H01, H03, H15, H16, H37: neither environment, arguments, processes, keys, name nor descriptors of the host can be seen."""
    results = tried.results
    assert "root:$" not in results["read secret 4"]  # the image has a file of that name
    assert "PYTEST" not in results["environment of 1"]
    assert str(Path.cwd()) not in results["arguments of 1"]
    assert "/pytest" not in results["arguments of 1"]
    assert len(results["processes"]) <= 3
    assert results["roots"] == []
    assert tried.given["key"] not in results["keys"]
    assert results["host name"] == "reprolake"
    assert results["interfaces"] == ["lo"]
    assert results["descriptors"] == [0, 1, 2]
    assert not {"HOST_SECRET", "PYTEST_CURRENT_TEST"} & set(results["environment"])
    assert tried.given["marker"] not in json.dumps([results["other runs"], results["list root's home"]])
    assert SECRET not in json.dumps(results)


def test_there_are_no_privileges_and_none_to_gain(tried):
    """H04: all capability sets are empty, set-uid programs give nothing, and nobody forgets with whom to die."""
    assert set(tried.results["capabilities"]) == {"0" * 16}
    assert tried.results["no new privileges"] == ["1"]
    assert tried.results["unshare program"] != 0
    assert tried.results["parent death signal"] in ([0, 0, 9], [0, 0, 0])  # what was asked for is 10


def test_a_fork_bomb_is_bounded(tried):
    """H19: forking without end stops at the sandbox's own limit."""
    assert 0 < tried.results["fork bomb"] < 200


def test_the_first_process_survives(tried):
    """H25: the process that holds the sandbox together cannot be killed from inside."""
    assert tried.results["kill everything"] == "alive"


def test_a_daemon_dies_with_the_sandbox(tried):
    """H23: a process that detached itself is gone when the run is."""
    assert alive(tried.given["marker_number"]) == []


def test_the_store_is_as_before(tried, start):
    """H02: what the run could write to in its repository never reaches the store."""
    assert (start.repository / "kept.txt").read_text() == "kept"
    assert not (start.root.trees[0] / "x").exists()


def test_no_listener_of_the_host_was_reached(tried, listeners):
    """H13, H15: the sockets that the probe knocked at saw nobody; from here they answer."""
    assert listeners.accepted == []
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(listeners.unix)
    until(lambda: listeners.accepted)
    assert len(listeners.accepted) == 1
    listeners.accepted.clear()


def test_the_driver_is_confined_too(start, listeners):
    """The driver's sandbox shows Python and its own folders: no home, no network, sockets read-only."""
    source = (
        "import json, os, socket\n"
        "found = {'root': sorted(os.listdir('/')), 'etc': os.listdir('/etc'), 'tmp': os.listdir('/tmp'),\n"
        "         'interfaces': [name for _, name in socket.if_nameindex()], 'environment': sorted(os.environ)}\n"
        f"found['project'] = os.listdir({str(PROJECT)!r}) if os.path.isdir({str(PROJECT)!r}) else []\n"
        f"for name, path in (('sockets', '/run/kernel/x'), ('own', '/run/driver/x'), ('root', {str(start.run.folder)!r})):\n"
        "    try:\n"
        "        open(path, 'w').close(); found['write ' + name] = 'written'\n"
        "    except OSError as error:\n"
        "        found['write ' + name] = type(error).__name__\n"
        "print(json.dumps(found))\n"
    )
    spec = driver_spec(start.run.driver, Bind(start.run.sockets, "/run/kernel"))
    spec = dataclasses.replace(spec, argv=(*spec.argv[:4], "-c", source))
    read, write = os.pipe()
    running = Bubblewrap().start(spec, stdin=subprocess.DEVNULL, stdout=write, stderr=subprocess.STDOUT)
    os.close(write)
    with open(read, "rb") as stream:
        found = json.loads(stream.read())
    assert running.wait(60) == 0
    leading = {path.parts[1] for path in spec.root.paths}  # the project itself may lie in a home folder
    assert not {"home", "data", "out", "repo", "boot", "srv", "mnt"} & set(found["root"]) - leading
    assert set(found["project"]) <= {".venv", "builder", "runner"}
    assert set(found["etc"]) <= {"ld.so.cache"}
    assert set(found["tmp"]) <= {path.parts[2] for path in spec.root.paths if path.parts[1] == "tmp"}
    assert found["interfaces"] == ["lo"]
    assert set(found["environment"]) <= {"HOME", "LANG", "PATH", "PWD", "LC_CTYPE"}
    assert (found["write sockets"], found["write own"]) == ("OSError", "written")
    assert found["write root"] in {"FileNotFoundError", "OSError", "IsADirectoryError"}
