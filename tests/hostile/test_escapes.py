"""Ways out of the kernel's sandbox: each is tried from inside, none may lead anywhere."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import secrets
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from notebook_runs import Runs, notebook

from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import Bind, Limits
from reprolake_runner.driver_root import driver_spec
from reprolake_runner.kernelspec import choose
from reprolake_runner.processes import RunFolder, Start, kernel_spec

pytestmark = pytest.mark.engine("bubblewrap")

PROJECT = Path(__file__).parent.parent.parent
PROBE = (Path(__file__).parent / "escape_probe.py").read_text()


class Listeners:
    """Sockets of the host that nobody inside may reach: TCP, an abstract one, one in a folder."""

    def __init__(self, folder):
        self.accepted = []
        self.abstract = f"reprolake-{secrets.token_hex(8)}"
        self.unix = f"{folder}/s"
        self._sockets = [socket.socket(), *(socket.socket(socket.AF_UNIX) for _ in range(2))]
        for one, address in zip(
            self._sockets, [("127.0.0.1", 0), f"\0{self.abstract}", self.unix], strict=True
        ):
            one.bind(address)
            one.listen()
            threading.Thread(target=self._accept, args=(one,), daemon=True).start()
        os.chmod(self.unix, 0o777)
        self.port = self._sockets[0].getsockname()[1]

    def _accept(self, one):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = one.accept()
                self.accepted.append(one.getsockname())
                connection.close()

    def close(self):
        for one in self._sockets:
            one.close()


@pytest.fixture(scope="module")
def listeners(tmp_path_factory):
    """Sockets of the host."""
    made = Listeners(tmp_path_factory.mktemp("l"))
    yield made
    made.close()


def host_key(description):
    """Add a key to this process's session keyring."""
    libc = ctypes.CDLL(None, use_errno=True)
    return (
        libc.syscall(ctypes.c_long(248), b"user", description.encode(), b"secret", ctypes.c_size_t(6), -3) > 0
    )


@dataclasses.dataclass(frozen=True)
class Tried:
    """What a probe reported, and what it was told."""

    results: dict
    given: dict
    errors: str


@pytest.fixture(scope="module")
def start(built_image, session, tmp_path_factory):
    """What a run's processes start from, as `execute` makes it, over a small repository."""
    folder = tmp_path_factory.mktemp("probe")
    runs = Runs(built_image, session.tools.store, folder)
    files = {"analysis.ipynb": notebook("1"), "kept.txt": "kept"}
    image = runs.with_repository(files)
    plan = runs.plan(image, files, "analysis.ipynb")
    trees = tuple(session.tools.store.tree(key).root for key in image.trees)
    inputs = folder / "inputs"
    inputs.mkdir()
    (inputs / "basket.json").write_text("{}")
    given = Start(
        spec=plan.spec,
        run=RunFolder(plan.folder),
        trees=trees,
        repository=trees[-1] / "repo",
        kernel=choose(trees, "python3", "python"),
        env={**image.env, "NONCE": secrets.token_hex(16)},
        inputs=inputs,
        limits=Limits(processes=200, tmp_bytes=64 << 20),
    )
    given.run.make()
    return given


@pytest.fixture(scope="module")
def tried(start, listeners, tmp_path_factory):
    """The probe's report from inside the kernel's sandbox."""
    secret = tmp_path_factory.mktemp("secret") / "credentials"
    secret.write_text("token-of-the-host")
    secret.chmod(0o644)
    number = f"9{os.getpid()}{secrets.randbelow(10**6)}"
    given = {
        "nonce": start.env["NONCE"],
        "pid_namespace": os.readlink("/proc/self/ns/pid"),
        "secrets": [
            str(secret),
            str(start.run.folder / "driver.log"),
            str(start.trees[0] / "etc/passwd"),
            "/etc/shadow",
        ],
        "marker": secret.parent.name,
        "marker_number": number,
        "port": listeners.port,
        "abstract": listeners.abstract,
        "unix": listeners.unix,
        "key": f"key-{secrets.token_hex(6)}",
    }
    host_key(given["key"])
    os.environ["HOST_SECRET"] = "token-of-the-host"
    spec = dataclasses.replace(
        kernel_spec(start), argv=("python3", "-c", PROBE, json.dumps(given)), cwd="/repo"
    )
    read, write = os.pipe()
    log = start.run.folder / "probe.log"
    with log.open("wb") as errors:
        running = Bubblewrap().start(spec, stdin=subprocess.DEVNULL, stdout=write, stderr=errors)
    os.close(write)
    with open(read, "rb") as stream:
        told = stream.read()  # until the probe and its daemon are gone
    running.wait(120)
    del os.environ["HOST_SECRET"]
    assert told, log.read_text()
    return Tried(json.loads(told), given, log.read_text())


def test_the_probe_refuses_to_run_outside():
    """On the host the probe tries nothing, whatever it is told."""
    given = {"nonce": "", "pid_namespace": "", "secrets": []}
    done = subprocess.run(
        ["/usr/bin/python3", "-c", PROBE, json.dumps(given)], capture_output=True, check=False, env={}
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"nothing was tried" in done.stderr


MUST_FAIL = (
    # H01
    "read secret 0", "read secret 1", "read secret 2",
    # H02
    "write /x", "write /etc/passwd", "write /usr/bin/python3.11", "write /opt/env/bin/x", "write /data/basket.json",
    "write /data/new", "write /dev/x", "write /proc/x",
    # H03
    "overwrite exe of 1", "overwrite own exe", "write /proc/sys/kernel/core_pattern", "write /proc/sysrq-trigger",
    "write /proc/sys/kernel/modprobe", "write /proc/sys/vm/overcommit_memory", "kernel messages",
    # H04
    "mknod", "mount", "bind mount", "unshare user", "unshare mount", "clone user", "clone3", "pivot_root", "chroot",
    "open_by_handle_at", "setns", "fsopen", "setuid",
    # H13
    "host's loopback", "host's loopback 6", "metadata service", "internet", "udp", "names",
    # H14, H15
    "abstract socket", "host's socket", "socket /run/docker.sock", "socket /var/run/docker.sock",
    "socket /run/dbus/system_bus_socket", "socket /run/containerd/containerd.sock", "vsock", "packet", "raw", "netlink audit",
    "bluetooth", "crypto",
    # H16
    "keyring of the session", "add_key", "request_key", "io_uring", "bpf", "perf", "userfaultfd", "ptrace", "process_vm_readv",
    "kexec",
    # H17
    "terminal", "TIOCSTI",
)  # fmt: skip


@pytest.mark.parametrize("name", MUST_FAIL)
def test_the_attempt_fails(tried, name):
    """Every attempt ends in an error of the system."""
    found = tried.results[name]
    assert isinstance(found, str)
    assert found[:1] == "E"
    assert found.isupper()


FAIL_BY_FILTER = (
    "mount", "unshare user", "clone user", "pivot_root", "open_by_handle_at", "setns", "fsopen", "keyring of the session",
    "add_key", "request_key", "io_uring", "bpf", "perf", "userfaultfd", "ptrace", "process_vm_readv", "kexec",
)  # fmt: skip


@pytest.mark.parametrize("name", FAIL_BY_FILTER)
def test_the_filter_stops_it_before_the_kernel_looks(tried, name):
    """These calls fail with the filter's own error, whatever their arguments."""
    assert tried.results[name] == "EPERM"


def test_nothing_of_the_host_shows(tried):
    """Neither environment, arguments, processes, keys, name nor descriptors of the host can be seen."""
    results = tried.results
    assert results["environment of 1"] == "read "
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
    assert "token-of-the-host" not in json.dumps(results)
    assert "root:$" not in results["read secret 3"]


def test_there_are_no_privileges_and_none_to_gain(tried):
    """All capability sets are empty and set-uid programs give nothing."""
    assert set(tried.results["capabilities"]) == {"0" * 16}
    assert tried.results["no new privileges"] == ["1"]
    assert tried.results["unshare program"] != 0
    assert tried.results["parent death signal"] == [0, 0, 9]


def test_a_fork_bomb_is_bounded(tried):
    """Forking without end stops at the sandbox's own limit."""
    assert 0 < tried.results["fork bomb"] < 200


def test_the_first_process_survives(tried):
    """The process that holds the sandbox together cannot be killed from inside."""
    assert tried.results["kill everything"] == "alive"


def test_a_daemon_dies_with_the_sandbox(tried):
    """A process that detached itself is gone when the run is."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (
                folder.name.isdigit()
                and tried.given["marker_number"].encode() in (folder / "cmdline").read_bytes()
            ):
                found.append(folder.name)
    assert found == []


def test_the_store_is_as_before(tried, start):
    """What the run could write to in its repository never reaches the store."""
    assert (start.repository / "kept.txt").read_text() == "kept"
    assert not (start.trees[0] / "x").exists()


def test_no_listener_of_the_host_was_reached(tried, listeners):
    """The sockets that the probe knocked at saw nobody; from here they answer."""
    assert listeners.accepted == []
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(listeners.unix)
    time.sleep(0.2)
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
time.sleep(60)
"""


def test_sockets_replaced_by_links_lead_nowhere(built_image, session, tmp_path, listeners):
    """H26: a kernel that links its sockets to one of the host and drops the connection does not make the driver call there."""
    run = Runs(built_image, session.tools.store, tmp_path / "runs")
    begun = time.monotonic()
    done = run("1", STEAL.format(target=listeners.unix), execution_timeout=4)
    assert time.monotonic() - begun < 40
    assert int((done.execution.output / "dropped").read_text()) >= 3
    assert done.record.status in {"timed-out", "limit-exceeded"}
    assert done.states in (["succeeded", "failed"], ["succeeded", "running"])
    assert listeners.accepted == []


@pytest.mark.parametrize(
    "source",
    [
        "import os; os.kill(-1, 9)",
        "import os; os.kill(os.getpid(), 9)",
        "get_ipython().kernel.do_shutdown(False); import os; os._exit(0)",
    ],
    ids=["all", "self", "polite"],
)
def test_no_way_to_end_early_looks_finished(built_image, session, tmp_path, source):
    """H25: however the kernel ends itself, the run is no success and its later cells are pending."""
    run = Runs(built_image, session.tools.store, tmp_path / "runs")
    done = run("1", source, "2")
    assert done.record.exit_code != 0
    assert done.states[2] == "pending"
    assert done.notebook["cells"][2]["metadata"]["papermill"]["status"] == "pending"


def test_links_in_outputs_are_not_followed(built_image, session, tmp_path):
    """H05: links to files of the host, in outputs and beside the notebook, do not bring those files into the result."""
    from datetime import timedelta

    from reprolake_runner.stage_out import Outcome, Staging, stage_out

    secret = tmp_path / "secret"
    secret.write_text("token-of-the-host")
    run = Runs(built_image, session.tools.store, tmp_path / "runs")
    done = run(
        f"import os\nout = os.environ['REPROLAKE_OUTPUT']\n"
        f"os.symlink({str(secret)!r}, out + '/file'); os.symlink({str(tmp_path)!r}, out + '/folder')\n"
        f"os.symlink({str(secret)!r}, 'beside'); os.mkfifo(out + '/pipe'); open(out + '/good', 'w').write('good')"
    )
    assert done.record.status == "succeeded"
    one = done.execution
    outcome = Outcome(
        one.record, one.repository, one.notebook, one.output, one.upper, one.printed, one.events
    )
    staged = stage_out(outcome, Staging(tmp_path / "staging", timedelta(days=1)))
    files = [path for path in staged.folder.rglob("*") if path.is_file()]
    assert (staged.folder / "outputs/good").read_text() == "good"
    assert not [path for path in files if b"token-of-the-host" in path.read_bytes()]
    assert not [path for path in staged.folder.rglob("*") if path.is_symlink()]
