"""Programs started in sandboxes, for the tests of every way to isolate."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

from reprolake_builder.container_engine import Layer
from reprolake_builder.sandboxes.apptainer import Apptainer
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.container_host import DOCKER, PODMAN
from reprolake_builder.sandboxes.containers import Containers
from reprolake_builder.sandboxes.interface import HostRoot, SandboxSpec

SANDBOXES = {
    "bubblewrap": Bubblewrap,
    "podman": lambda: Containers(PODMAN, os.environ),
    "docker": lambda: Containers(DOCKER, os.environ),
    "apptainer": Apptainer,
}
# The two engines are one piece of code, and a container takes a second: each is tried with one kind of root.
ROOTS = {
    "bubblewrap": ("host", "image"),
    "podman": ("host",),
    "docker": ("image",),
    "apptainer": ("host", "image"),
}
# Containers of an engine that root uses run as a number that nothing else has, and cannot show its files as that number's.
_ENGINE = frozenset({"user", "closed files"} if os.geteuid() == 0 else set())
DIFFERENT = {"podman": _ENGINE, "docker": _ENGINE}
HOST = HostRoot(tuple(path for path in map(Path, ("/usr", "/bin", "/lib", "/lib64")) if path.is_dir()))


def layer_of(*folders):
    """A layer with what lies in host folders."""
    data, names = io.BytesIO(), set()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if str(path.relative_to(folder)) in names:
                    continue
                names.add(str(path.relative_to(folder)))
                info = archive.gettarinfo(path, str(path.relative_to(folder)))
                info.uid = info.gid = info.mtime = 0
                archive.addfile(info, io.BytesIO(path.read_bytes()) if info.isreg() else None)
    content = data.getvalue()
    return Layer("sha256:" + hashlib.sha256(content).hexdigest(), len(content), lambda write: write(content))


def spec(root, script, **more):
    """A sandbox that runs a shell script."""
    return SandboxSpec(
        root=root,
        argv=("/bin/sh", "-c", script),
        env={"PATH": "/usr/bin:/bin", **more.pop("env", {})},
        **more,
    )


def output(sandbox, given, timeout=60):
    """Status, standard output and standard error of a program in the sandbox."""
    done = {}
    ends = {name: os.pipe() for name in ("stdout", "stderr")}
    running = sandbox.start(
        given, stdin=subprocess.DEVNULL, stdout=ends["stdout"][1], stderr=ends["stderr"][1]
    )
    for name, (read, write) in ends.items():
        os.close(write)
        with open(read) as stream:
            done[name] = stream.read()
    return running.wait(timeout), done["stdout"], done["stderr"]


def start(sandbox, given):
    """A running program that prints nothing."""
    return sandbox.start(
        given, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
