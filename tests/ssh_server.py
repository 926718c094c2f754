"""A real OpenSSH server on the loopback that lets the user of the tests in by a key made for the call."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from waiting import free_ports, until


@dataclass(frozen=True)
class SshServer:
    """`command` is the ssh that knows the server under the name lab.example; `user` may log in, at `port`."""

    command: str
    user: str
    port: int


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def ssh_serving(folder: Path) -> Iterator[SshServer]:
    """Run the server while the context lasts; its files lie in `folder`."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (port,), user = free_ports(1), getpass.getuser()
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
        until(lambda: _listens(port))
        yield SshServer(f"ssh -F {folder}/ssh_config", user, port)
    finally:
        server.terminate()
        server.wait()
