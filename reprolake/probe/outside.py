"""A sandbox → whether it keeps what is promised: the probe is started in it, and told what it must not find."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

from reprolake.probe.documents import Probed, ProbeReport, Row
from reprolake.probe.inside import ROWS, hashed
from reprolake_builder.errors import SandboxError
from reprolake_builder.process import printable
from reprolake_builder.sandboxes.choice import every
from reprolake_builder.sandboxes.interface import Bind, HostRoot, ImageRoot, Limits, Sandbox, SandboxSpec
from reprolake_builder.sandboxes.names import AUTO
from reprolake_runner.driver_root import python_root

LIMITS = Limits(processes=100, file_bytes=1 << 30, open_files=1024, tmp_bytes=64 << 20)
DIFFERENCES: Mapping[str, str] = {
    "user": "without user namespaces of its own an engine runs the program under the number that it has outside",
    "paths in mountinfo": "the kernel names a mount by the folder it was made from, where that lies on a disk of the host",
    "hardware": "container engines mount /sys, read-only; it tells of the machine, and nothing in it can be changed",
    "memory of the first process": "it belongs to the same user as the program, and is under the same filter: nothing is gained",
}
"""Rows that are not promised of every sandbox, with the reason."""
_EVERYWHERE = {"PATH", "SHELL"}
"""Variables whose values images and hosts have in common without having them from each other."""
_SECONDS = 120
_MOST = 1 << 20  # bytes of an answer
_ADD_KEY, _KEYCTL, _UNLINK, _SESSION = 248, 250, 9, -3


@dataclass(frozen=True, slots=True)
class Program:
    """What runs the probe: a Python 3 (sandbox path, or a name that the root's PATH finds) in a root that has it."""

    python: str
    root: HostRoot | ImageRoot
    env: Mapping[str, str]


def probe(name: str, sandbox: Sandbox, program: Program | None = None) -> Probed:
    """Return the verdicts on a sandbox; without a program the probe runs in this host's Python. Raises SandboxError."""
    if program is None:
        python, root = python_root()
        program = Program(python, root, {"PATH": "/usr/bin:/bin"})
    with (
        tempfile.TemporaryDirectory(prefix="reprolake-probe-") as folder,
        questions(Path(folder)) as (given, shown),
    ):
        found = _ask(sandbox, program, given, shown)
    return verdicts(name, found)


def report(name: str, environment: Mapping[str, str]) -> ProbeReport:
    """Return the verdicts on the sandbox of that name, or on all that can be used here; `environment` is for engines' clients."""
    found = []
    for one, sandbox in every(environment):
        if name in {one, AUTO}:
            problem = sandbox.problem()
            found.append(
                Probed(sandbox=one, ok=name == AUTO, problem=problem) if problem else probe(one, sandbox)
            )
    return ProbeReport(
        ok=all(one.ok for one in found) and any(not one.problem for one in found), sandboxes=tuple(found)
    )


def verdicts(name: str, found: Mapping[str, str]) -> Probed:
    """Return what was seen, by row, as verdicts; a row without an answer does not hold."""
    rows = tuple(
        Row(
            name=row,
            promise=promise,
            holds=found.get(row, "no answer") == "",
            seen=printable(found.get(row, "no answer")),
            why=DIFFERENCES.get(row, ""),
        )
        for row, (promise, _) in ROWS.items()
    )
    return Probed(sandbox=name, ok=all(row.holds or row.why for row in rows), rows=rows)


def source() -> str:
    """Return the text that runs inside."""
    return (files("reprolake.probe") / "inside.py").read_text()


def _ask(sandbox: Sandbox, program: Program, given: dict[str, Any], shown: Path) -> dict[str, str]:
    """Run the probe, which sees the folder `shown`, and return what it says: some text for each row, whatever it is."""
    spec = SandboxSpec(
        root=program.root,
        argv=(program.python, "-B", "-c", source()),
        env={**program.env, "PROBE_NONCE": given["nonce"]},
        binds=(Bind(shown, "/data"),),
        limits=LIMITS,
    )
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as errors:
        asked.write(json.dumps(given).encode())
        asked.seek(0)
        reason: Exception | None = None
        try:
            answer = _answer(sandbox, spec, asked, errors)
            told = json.loads(answer)
            return {str(row): str(seen) for row, seen in told.items()}
        except (SandboxError, ValueError, AttributeError, RecursionError) as error:
            reason = error
        errors.seek(0)
        said = printable(errors.read(_MOST).decode(errors="replace").strip())
    what = reason.message if isinstance(reason, SandboxError) else "the probe gave no answer"
    raise SandboxError(
        f"{what}: {said[-500:]}", hint="this may be a fault of Reprolake: please report it"
    ) from reason


def _answer(sandbox: Sandbox, spec: SandboxSpec, asked: IO[bytes], errors: IO[bytes]) -> bytes:
    """Run the probe to its end and return what it printed."""
    read, write = os.pipe()
    with open(read, "rb") as stream:
        try:
            running = sandbox.start(spec, stdin=asked, stdout=write, stderr=errors)
        finally:
            os.close(write)
        stop = threading.Timer(_SECONDS, running.kill)
        stop.start()
        try:
            answer = stream.read(_MOST)
            running.wait(_SECONDS)
        finally:
            stop.cancel()
            with contextlib.suppress(SandboxError):  # said already
                running.kill()
    return answer


@contextlib.contextmanager
def questions(folder: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """Give what the probe is told of the host, and a host folder that it may see.

    What it is told of is there outside as long as this lasts, in `folder` (host path) and elsewhere, and nothing of it is secret.
    """
    nonce = secrets.token_hex(16)
    marker = folder.name
    folder.chmod(0o755)
    (folder / "file").write_text(nonce)
    (folder / "file").chmod(0o644)
    (folder / "shown").mkdir()
    address, abstract = f"{folder}/socket", f"reprolake-{secrets.token_hex(8)}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as hidden,
        _key(marker),
    ):
        for one, at in ((unix, address), (hidden, f"\0{abstract}")):
            one.bind(at)
            one.listen()
        Path(address).chmod(0o777)
        given = {
            "nonce": nonce,
            "user": SandboxSpec(root=HostRoot(()), argv=(), env={}).uid,
            "pid_namespace": os.readlink("/proc/self/ns/pid"),
            "files": [str(folder), f"{folder}/file", str(Path.home() / ".ssh")],
            "environment": [
                hashed(f"{name}={value}")
                for name, value in os.environ.items()
                if len(value) > 8 and name not in _EVERYWHERE
            ],
            "words": [marker],
            "port": tcp.getsockname()[1],
            "socket": address,
            "abstract": abstract,
            "key": marker,
            "host_name": hashed(socket.gethostname()),
            "tmp_bytes": LIMITS.tmp_bytes,
            "processes": LIMITS.processes,
            "open_files": LIMITS.open_files,
            "file_bytes": LIMITS.file_bytes,
        }
        yield given, folder / "shown"


@contextlib.contextmanager
def _key(description: str) -> Iterator[None]:
    """Keep a key in this process's session keyring for a while, where there are keyrings."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    name = description.encode()
    key = libc.syscall(ctypes.c_long(_ADD_KEY), b"user", name, b"x", ctypes.c_size_t(1), _SESSION)
    try:
        yield
    finally:
        if key > 0:
            libc.syscall(ctypes.c_long(_KEYCTL), _UNLINK, ctypes.c_int(key), _SESSION)
