"""Containers of callers who are not root: what they make is theirs, and they can measure, signal and end it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import reprolake_builder

_USER = "daemon"
PROGRAM = """
import json, os, subprocess, sys, time
from pathlib import Path
from reprolake_builder.sandboxes.choice import choose
from reprolake_builder.sandboxes.interface import *
folder = Path(sys.argv[1])
sandbox = choose(sys.argv[2], os.environ).sandbox
root = HostRoot(tuple(path for path in map(Path, ("/usr", "/bin", "/lib", "/lib64")) if path.is_dir()))
view = CopyOnWrite(folder / "lower", folder / "scratch", "/work")
forge = "(chmod 666 /.reprolake/report; echo =0 > /.reprolake/report) 2>/dev/null && echo forged; "
script = forge + "echo new > /work/new; echo x > /out/x; id -u; cat /work/old; grep CapEff /proc/self/status; kill -STOP $$; sleep 600"
spec = SandboxSpec(root=root, argv=("/bin/sh", "-c", script), env={"PATH": "/usr/bin:/bin"}, copy_on_write=view,
    binds=(Bind(folder / "out", "/out", writable=True),), limits=Limits(memory_bytes=1 << 30))
with (folder / "told").open("wb") as told:
    running = sandbox.start(spec, stdin=subprocess.DEVNULL, stdout=told, stderr=told)
deadline = time.monotonic() + 60
while not running.is_stopped() and time.monotonic() < deadline:
    time.sleep(0.05)
seen = running.usage()
signalled = running.signal(15)
ended = running.wait(60)
print(json.dumps([(folder / "told").read_text(), (view.written / "new").read_text(), (folder / "out/x").read_text(), seen.processes, signalled, ended]))
"""


def python() -> str:
    """A Python that every user can start; skips where there is none that is new enough."""
    check = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    found = shutil.which("python3", path="/usr/bin")
    if found is None or subprocess.run([found, "-c", check], check=False).returncode:
        pytest.skip("the system's Python is another version than this one")
    return found


@pytest.fixture
def place():
    """A folder of the user's with what is needed of our packages, where the user can read it."""
    if os.geteuid() != 0:
        pytest.skip("the other tests show it already")
    folder = Path("/var/tmp") / f"reprolake-ordinary-{os.getpid()}"
    folder.mkdir(mode=0o755)
    shutil.copytree(Path(reprolake_builder.__file__).parent, folder / "packages/reprolake_builder")
    shutil.copytree(Path(msgspec.__file__).parent, folder / "packages/msgspec")
    mine = folder / "mine"
    for name in ("lower", "scratch", "out", "home", "run", "temporary"):
        (mine / name).mkdir(parents=True)
    (mine / "lower/old").write_text("old\n")
    (mine / "run").chmod(0o700)
    for path in [mine, *mine.rglob("*")]:
        shutil.chown(path, _USER, _USER)
    yield folder
    shutil.rmtree(folder)


def tried(place, name, groups):
    """What the program saw with a sandbox, started by the user with these further groups."""
    mine = place / "mine"
    own = {"HOME": mine / "home", "XDG_RUNTIME_DIR": mine / "run", "TMPDIR": mine / "temporary"}
    done = subprocess.run(
        [python(), "-B", "-c", PROGRAM, str(mine), name],
        env={
            "PATH": "/usr/bin:/bin:/usr/sbin",
            "PYTHONPATH": str(place / "packages"),
            **{k: str(v) for k, v in own.items()},
        },
        user=_USER,
        group=_USER,
        extra_groups=groups,
        cwd="/",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert not list((mine / "temporary").glob("reprolake-*"))
    return json.loads(done.stdout)


@pytest.mark.engine("docker")
def test_members_of_dockers_group_run_as_themselves(place):
    """The program has the caller's number and no capability, and the caller measures, signals and reads what it wrote."""
    socket = Path("/var/run/docker.sock")
    if not socket.exists() or not stat.S_ISSOCK(socket.stat().st_mode):
        pytest.skip("docker listens elsewhere")
    told, new, out, processes, signalled, ended = tried(place, "docker", [socket.stat().st_gid])
    number = str((place / "mine").stat().st_uid)
    assert told.split() == [number, "old", "CapEff:", "0" * 16]
    assert (new, out, signalled, ended) == ("new\n", "x\n", True, 143)
    assert processes >= 2
