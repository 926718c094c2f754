"""A real OpenSSH server on the loopback that lets the user of the tests in by a key made for the call."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SshServer:
    """`command` is the ssh that knows the server under the name lab.example; `user` may log in, at `port`."""

    command: str
    user: str
    port: int


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def ssh_serving(folder: Path) -> Iterator[SshServer]:
    """Run the server while the context lasts; its files lie in `folder`."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    port, user = _free_port(), getpass.getuser()
    settings = (
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nStrictModes no\n"
        f"PidFile none\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nLogLevel ERROR\n"
    )
    (folder / "sshd_config").write_text(settings)
    (folder / "known_hosts").write_text(f"lab.example {(folder / 'host.pub').read_text()}")
    (folder / "ssh_config").write_text(
        f"Host lab.example\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias lab.example\n  IdentityFile {folder}/user\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known_hosts\n  BatchMode yes\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    server = subprocess.Popen([program, "-D", "-e", "-f", folder / "sshd_config"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield SshServer(f"ssh -F {folder}/ssh_config", user, port)
    finally:
        server.terminate()
        server.wait()
