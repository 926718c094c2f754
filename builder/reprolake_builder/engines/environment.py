"""The environment's skeleton: what `python -m venv` would make, and the image's entry point."""

from __future__ import annotations

from pathlib import Path

from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.lock import LAYOUT, InterpreterLock
from reprolake_builder.engines.wheel import Layout
from reprolake_builder.store import Store, Tree

ENTRY_POINT = "/usr/local/bin/reprolake-exec"
_ENTRY = '#!/bin/sh\n# Runs the given command; a later layer may put something before it.\nexec "$@"\n'


def make_environment(interpreter: InterpreterLock, store: Store) -> Tree:
    """Return the tree with an empty virtual environment at image.PREFIX."""
    minor = minor_of(interpreter)
    key = content_hash({"layer": "environment", "layout": LAYOUT, "python": interpreter})

    def fill(root: Path) -> None:
        layout = Layout(minor)
        bin_folder = root / layout.prefix / "bin"
        bin_folder.mkdir(parents=True)
        (bin_folder / "python").symlink_to(interpreter.executable)
        for alias in ("python3", f"python{minor}"):
            (bin_folder / alias).symlink_to("python")
        (root / layout.site).mkdir(parents=True)
        (root / layout.prefix / "pyvenv.cfg").write_text(
            f"home = {Path(interpreter.executable).parent}\n"
            "include-system-site-packages = false\n"
            f"version = {interpreter.version}\n"
            f"executable = {interpreter.executable}\n"
        )
        entry = root / ENTRY_POINT.lstrip("/")
        entry.parent.mkdir(parents=True)
        entry.write_text(_ENTRY)
        entry.chmod(0o755)

    return store.make_tree(key, fill)


def minor_of(interpreter: InterpreterLock) -> str:
    """Return the interpreter's version without the patch level, such as "3.11"."""
    return ".".join(interpreter.version.split(".")[:2])
