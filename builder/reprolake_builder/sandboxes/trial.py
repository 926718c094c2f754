"""Whether a sandbox really works here: a program that does nothing is started in it."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from reprolake_builder.errors import SandboxError
from reprolake_builder.process import one_line
from reprolake_builder.sandboxes.interface import HostRoot, Sandbox, SandboxSpec

_SECONDS = 60
_SHOWN = 1000  # bytes of what it printed


def trial(sandbox: Sandbox, name: str) -> str:
    """Return what went wrong with a program that does nothing, over this host's own files; "" when nothing did."""
    paths = tuple(path for path in map(Path, ("/usr", "/bin", "/lib", "/lib64")) if path.is_dir())
    spec = SandboxSpec(root=HostRoot(paths), argv=("/bin/true",), env={})
    with tempfile.TemporaryFile() as said:
        try:
            running = sandbox.start(spec, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            try:
                status = running.wait(_SECONDS)
            finally:
                running.kill()
        except SandboxError as error:
            problem = error.message
        except subprocess.TimeoutExpired:
            problem = f"{name} does not come to an end"
        else:
            problem = f"a program that does nothing ended with status {status} in {name}" if status else ""
        said.seek(0)
        words = one_line(said.read(_SHOWN).decode(errors="replace"))
    return f"{problem}: {words}" if problem and words else problem
