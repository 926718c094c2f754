"""Programs started in sandboxes, for the tests of every way to isolate."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from reprolake_builder.sandboxes.apptainer import Apptainer
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import HostRoot, SandboxSpec

SANDBOXES = {"bubblewrap": Bubblewrap, "apptainer": Apptainer}
HOST = HostRoot(tuple(path for path in map(Path, ("/usr", "/bin", "/lib", "/lib64")) if path.is_dir()))


def spec(root, script, **more):
    """A sandbox that runs a shell script."""
    return SandboxSpec(
        root=root,
        argv=("/bin/sh", "-c", script),
        env={"PATH": "/usr/bin:/bin", **more.pop("env", {})},
        **more,
    )


def output(sandbox, given, timeout=30):
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
