"""Programs that only tests need: each in an environment of its own, made once from pinned requirements."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin

_DATA = Path(__file__).parent / "data/tools"
_CACHE = Path(__file__).parent.parent / ".cache/tests/tools"


def tool_folder(name: str) -> Path:
    """Return the host folder with the programs of `data/tools/NAME.txt`; its content names the environment that they are in."""
    wanted = _DATA / f"{name}.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    key = hashlib.sha256(wanted.read_bytes() + version.encode()).hexdigest()[:16]
    folder = _CACHE / f"{name}-{key}"
    ready = folder / ".ready"
    if ready.exists():
        return folder / "bin"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{name}.making").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            uv = os.fsdecode(find_uv_bin())
            for arguments in (
                ("venv", "--clear", "--python", sys.executable, folder),
                ("pip", "install", "--python", folder / "bin/python", "--requirement", wanted),
            ):
                subprocess.run([uv, "--quiet", *map(str, arguments)], check=True, timeout=600)
            ready.touch()
    return folder / "bin"
