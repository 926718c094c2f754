"""A root file system that holds nothing but the Python that runs the tests, as an unpacked Debian base does."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"


def python_base(root: Path) -> Path:
    """Fill the empty folder `root` with the interpreter, its libraries and its standard library; return it."""
    root.chmod(0o755)  # as in a store: the sandbox runs as another user
    libraries = root / "usr/lib/x86_64-linux-gnu"
    for folder in (root / "usr/bin", root / "usr/lib64", libraries):
        folder.mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    program = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    shutil.copy(program, root / f"usr/bin/python{MINOR}")
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for path in map(Path, re.findall(r"(/\S+) \(0x", told)):
        shutil.copy(path, libraries / path.name)
        if path.name.startswith("ld-linux"):
            (root / "usr/lib64" / path.name).symlink_to(f"../lib/x86_64-linux-gnu/{path.name}")
    shutil.copytree(
        sysconfig.get_path("stdlib"),
        root / f"usr/lib/python{MINOR}",
        ignore=shutil.ignore_patterns(
            "__pycache__", "test", "idlelib", "site-packages", "dist-packages", "sitecustomize.py"
        ),
    )
    return root
