"""Positive controls: in a sandbox without its walls the very same attempts succeed, so that none fails for want of a file or a tool."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

import pytest
from escape_attempts import FAIL_BY_FILTER, SECRET, Listeners, cases, told, try_all
from sandbox_programs import HOST
from weakened import own, weaken

from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import Bind, Limits, SandboxSpec

pytestmark = pytest.mark.engine("bubblewrap")

FILES = ("/etc/passwd", "/usr/bin/env", "/opt/env/bin/x", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
         "/proc/sys/kernel/modprobe", "/proc/sys/vm/overcommit_memory", "/dev/kmsg")  # fmt: skip
SOCKETS = ("/run/docker.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket", "/run/containerd/containerd.sock",
           "/run/user/0/bus", "/tmp/.X11-unix/X0")  # fmt: skip

BY_THE_KERNEL = {
    "overwrite exe of 1": "Linux lets nobody write to a program that runs",
    "overwrite own exe": "Linux lets nobody write to a program that runs",
    "mknod": "only root of the host can make a device; the same call makes a pipe",
    "setuid": "there is no such user in the namespace; the same call with one's own number works",
    "kexec": "only root of the host may",
    "bpf": "only root of the host may, where the kernel is set up so",
    "metadata service": "there is none here; the same call reaches the host's loopback",
    "internet": "there is none here; the same call reaches the host's loopback",
    "udp": "where the host has no route; a question to its loopback is answered",
    "names": "there is no server here; a question to the host's loopback by UDP is answered",
    "vsock": "where the kernel has none", "bluetooth": "where the kernel has none", "crypto": "where the kernel has none",
    "netlink audit": "where the kernel has none", "write /proc/sysrq-trigger": "where the kernel has none",
    "write /proc/sys/kernel/modprobe": "where the kernel has none",
}  # fmt: skip
"""Attempts that even a sandbox without walls may stop, and why."""


def _bindable():
    """Those of FILES that can be bound over: what Linux does not show below /proc nobody can add there."""
    return [path for path in FILES if not path.startswith("/proc/") or Path(path).exists()]


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """The probe's report from a sandbox without walls, with what it looks for bound in."""
    folder, scratch = tmp_path_factory.mktemp("host"), tmp_path_factory.mktemp("scratch")
    listeners = Listeners(tmp_path_factory.mktemp("l"))
    nonce = secrets.token_hex(16)
    given = told(listeners, nonce, folder, [folder / "more", "/etc/shadow"])
    (folder / "agent").touch()
    own(folder / "more", SECRET.encode())
    own(scratch / "shadow", SECRET.encode())
    (scratch / "data").mkdir()
    own(scratch / "data" / "basket.json")
    (scratch / "dev").mkdir()
    binds = [
        Bind(folder, str(folder)),
        Bind(folder, f"/{folder.name}"),
        Bind(scratch / "shadow", "/etc/shadow"),
        Bind(scratch / "data", "/data", writable=True),
        *(Bind(own(scratch / f"f{n}", b"x"), path, writable=True) for n, path in enumerate(_bindable())),
        *(Bind(Path(listeners.unix), path) for path in (*SOCKETS, listeners.unix, given["agent"])),
    ]
    spec = SandboxSpec(
        root=HOST,
        argv=(),
        env={"NONCE": nonce, "PATH": "/usr/bin:/bin"},
        binds=tuple(binds),
        limits=Limits(processes=400),
    )
    with pytest.MonkeyPatch.context() as patch:
        weaken(patch, secret=SECRET, argument=folder.name)
        found = try_all(Bubblewrap(), spec, given, scratch / "log")
    listeners.close()
    return found


FEASIBLE = [(case, name) for case, name in cases() if name not in BY_THE_KERNEL]


@pytest.mark.parametrize(("case", "name"), FEASIBLE)
def test_the_attempt_succeeds_without_walls(tried, case, name):
    """What the sandbox stops is not stopped when its walls are down."""
    found = tried.results[name]
    if name in FAIL_BY_FILTER:
        assert found not in {"EPERM", "ENOSYS"}  # the kernel has looked, whatever it thinks of the arguments
    else:
        assert not (isinstance(found, str) and found[:1] == "E" and found.isupper()), f"{case}: {found}"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("mknod of a pipe", "made"),
        ("setuid to oneself", "done"),
        ("answer of the host by UDP", "answered here"),
    ],
)
def test_the_call_works_where_the_kernel_itself_stops_the_attempt(tried, name, found):
    """H04, H13: of attempts that only real root could make the same call works for something harmless."""
    assert tried.results[name] == found


def test_what_is_hidden_shows_without_walls(tried):
    """H01, H03, H16, H37: environment, arguments, files, keys, name and descriptors of the host are what the probe would see."""
    results = tried.results
    assert [results[f"read secret {number}"] for number in range(5)] == [f"read {SECRET}"] * 5
    assert SECRET in results["environment of 1"]
    assert tried.given["marker"] in results["arguments of 1"]
    assert results["roots"] != []
    assert results["request_key"] == "allowed"  # the caller's key was found
    assert results["host name"] == socket.gethostname()
    assert 77 in results["descriptors"]
    assert "HOST_SECRET" in results["environment"]
    assert set(results["interfaces"]) == {name for _, name in socket.if_nameindex()}


def test_there_are_privileges_to_gain_without_walls(tried):
    """H04, H19: namespaces of one's own give privileges, and a limit on processes that is larger is used."""
    assert tried.results["parent death signal"] == [0, 0, 10]
    assert tried.results["unshare program"] == 0
    assert tried.results["fork bomb"] > 200
