"""The probe of tests/hostile/escape_probe.py started in a sandbox, and what each of its attempts stands for."""

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
from pathlib import Path

import pytest

from reprolake_builder.progress import SILENT
from reprolake_builder.sandboxes.interface import Sandbox, SandboxSpec
from reprolake_builder.sandboxes.launched import Launched

PROBE = (Path(__file__).parent / "hostile" / "escape_probe.py").read_text()
SECRET = "token-of-the-host"

MUST_FAIL = {
    "H01": ("read secret 0", "read secret 1", "read secret 2", "read secret 3"),
    "H02": ("write /x", "write /etc/passwd", "write /usr/bin/env", "write /opt/env/bin/x", "write /data/basket.json",
            "write /data/new", "write /dev/x"),
    "H03": ("overwrite exe of 1", "overwrite own exe", "write /proc/sys/kernel/core_pattern", "write /proc/sysrq-trigger",
            "write /proc/sys/kernel/modprobe", "write /proc/sys/vm/overcommit_memory", "kernel messages"),
    "H04": ("mknod", "mount", "bind mount", "unshare user", "unshare mount", "clone user", "clone3", "pivot_root", "chroot",
            "open_by_handle_at", "setns", "fsopen", "setuid"),
    "H13": ("host's loopback", "host's loopback 6", "metadata service", "internet", "udp", "answer of the host by UDP", "names"),
    "H14": ("abstract socket", "vsock", "packet", "raw", "netlink audit", "bluetooth", "crypto"),
    "H15": ("host's socket", "socket /run/docker.sock", "socket /var/run/docker.sock", "socket /run/dbus/system_bus_socket",
            "socket /run/containerd/containerd.sock", "socket /run/user/0/bus", "socket /tmp/.X11-unix/X0", "socket of the agent"),
    "H16": ("lease", "keyring of the session", "add_key", "request_key", "io_uring", "bpf", "perf", "userfaultfd", "ptrace",
            "process_vm_readv", "kexec"),
    "H17": ("terminal", "TIOCSTI"),
}  # fmt: skip
"""Attempts that end in an error of the system in every sandbox, by the case they belong to."""

FAIL_BY_FILTER = (
    "lease", "mount", "unshare user", "clone user", "clone3", "pivot_root", "open_by_handle_at", "setns", "fsopen", "keyring of the session",
    "add_key", "request_key", "io_uring", "bpf", "perf", "userfaultfd", "ptrace", "process_vm_readv", "kexec",
)  # fmt: skip
"""Attempts that the system call filter stops before the kernel looks at their arguments."""


def cases(attempts=None):
    """Pairs of case and attempt, for parameters of tests."""
    return [(case, name) for case, names in (attempts or MUST_FAIL).items() for name in names]


class Listeners:
    """Sockets of the host that nobody inside may reach: TCP, UDP, an abstract one, one in a folder."""

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
        self.port = self._sockets[0].getsockname()[1]
        self._sockets.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        for one in self._sockets:
            threading.Thread(target=self._accept, args=(one,), daemon=True).start()
        self._asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._asked.bind(("127.0.0.1", 0))
        self.udp_port = self._asked.getsockname()[1]
        threading.Thread(target=self._answer, daemon=True).start()
        os.chmod(self.unix, 0o777)

    def _accept(self, one):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = one.accept()
                self.accepted.append(one.getsockname())
                connection.close()

    def _answer(self):
        with contextlib.suppress(OSError):
            while True:
                _, whom = self._asked.recvfrom(100)
                if whom is None:
                    return
                self.accepted.append(("udp", self.udp_port))
                self._asked.sendto(b"here", whom)

    def close(self):
        for one in (*self._sockets, self._asked):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def host_key(description):
    """Add a key to this process's session keyring."""
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (b"user", description.encode(), b"secret", ctypes.c_size_t(6), -3)
    return libc.syscall(ctypes.c_long(248), *arguments) > 0


@dataclasses.dataclass(frozen=True)
class Tried:
    """What a probe reported, what it was told, and what it left running (`marker`: a process's argument)."""

    results: dict
    given: dict
    status: int


def told(listeners, nonce, folder, more_secrets=()):
    """What a probe is told of the host: secrets in a world-readable folder, sockets, a key, a marker for its daemon."""
    for name in ("credentials", ".ssh/id_ed25519", ".aws/credentials"):
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(SECRET)
        place.chmod(0o644)
    folder.chmod(0o755)
    given = {
        "nonce": nonce,
        "pid_namespace": os.readlink("/proc/self/ns/pid"),
        "secrets": [str(folder / "credentials"), str(folder / ".ssh/id_ed25519"), str(folder / ".aws/credentials"),
                    *map(str, more_secrets)],
        "marker": folder.name,
        "marker_number": f"9{os.getpid()}{secrets.randbelow(10**6)}",
        "port": listeners.port,
        "udp_port": listeners.udp_port,
        "abstract": listeners.abstract,
        "unix": listeners.unix,
        "agent": f"{folder}/agent",
        "key": f"key-{secrets.token_hex(6)}",
    }  # fmt: skip
    host_key(given["key"])
    return given


def try_all(sandbox: Sandbox, spec: SandboxSpec, given: dict, log: Path) -> Tried:
    """Run the probe as the program of `spec`, with a terminal of this host as its input, and return what came of it."""
    spec = dataclasses.replace(spec, argv=("python3", "-c", PROBE, json.dumps(given)))
    master, slave = os.openpty()
    read, write = os.pipe()
    os.environ["HOST_SECRET"] = SECRET
    sandbox.prepare(spec, SILENT)
    try:
        with log.open("wb") as errors:
            # an engine makes a terminal of its own where it is given one, and all output goes there
            stdin = slave if isinstance(sandbox, Launched) else subprocess.DEVNULL
            running = sandbox.start(spec, stdin=stdin, stdout=write, stderr=errors)
        os.close(write)
        with open(read, "rb") as stream:
            answer = stream.read()  # until the probe and its daemon are gone
        if not answer:
            running.kill()
            pytest.fail(f"the probe told nothing: {log.read_text()}")
        status = running.wait(120)
    finally:
        del os.environ["HOST_SECRET"]
        os.close(master)
        os.close(slave)
    return Tried(json.loads(answer), given, status)


def refusal(**changes):
    """Run the probe on the host, which it has to refuse."""
    given = {"nonce": "", "pid_namespace": "", "secrets": []} | changes
    return subprocess.run(
        ["/usr/bin/python3", "-c", PROBE, json.dumps(given)], capture_output=True, check=False, env={}
    )


def alive(marker):
    """Numbers of the processes of this host that have the marker among their arguments."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and marker.encode() in (folder / "cmdline").read_bytes():
                found.append(folder.name)
    return found
