"""Whether a sandbox really works here: a program that does nothing is started in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from reprolake_builder.errors import SandboxError
from reprolake_builder.sandboxes.interface import HostRoot, Sandbox, SandboxSpec

_SECONDS = 60


def trial(sandbox: Sandbox, name: str) -> str:
    """Return what went wrong with a program that does nothing, over this host's own files; "" when nothing did."""
    paths = tuple(path for path in map(Path, ("/usr", "/bin", "/lib", "/lib64")) if path.is_dir())
    null = subprocess.DEVNULL
    spec = SandboxSpec(root=HostRoot(paths), argv=("/bin/true",), env={})
    try:
        running = sandbox.start(spec, stdin=null, stdout=null, stderr=null)
        try:
            status = running.wait(_SECONDS)
        finally:
            running.kill()
    except SandboxError as error:
        return error.message
    except subprocess.TimeoutExpired:
        return f"{name} does not come to an end"
    return "" if status == 0 else f"a program that does nothing ended with status {status} in {name}"
