"""The environment's skeleton: what `python -m venv` would make, and the image's entry point."""

from __future__ import annotations

from pathlib import Path

from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.lock import LAYOUT, DebianInterpreter, InterpreterLock
from reprolake_builder.engines.interpreters import layout_of
from reprolake_builder.store import Store, Tree

ENTRY_POINT = "/usr/local/bin/reprolake-exec"
_ENTRY = '#!/bin/sh\n# Runs the given command; a later layer may put something before it.\nexec "$@"\n'


def make_environment(interpreter: InterpreterLock, store: Store) -> Tree:
    """Return the tree with the entry point and, for a Python of Debian's, an empty virtual environment at image.PREFIX."""
    key = content_hash({"layer": "environment", "layout": LAYOUT, "python": interpreter})

    def fill(root: Path) -> None:
        if isinstance(interpreter, DebianInterpreter):
            make_venv(root, interpreter)
        entry = root / ENTRY_POINT.lstrip("/")
        entry.parent.mkdir(parents=True)
        entry.write_text(_ENTRY)
        entry.chmod(0o755)

    return store.make_tree(key, fill)


def make_venv(root: Path, interpreter: DebianInterpreter, prefix: str = "") -> None:
    """Make an empty virtual environment below `root` (host folder), at `prefix` (path in the image) or where it usually is."""
    layout = layout_of(interpreter, prefix)
    bin_folder = root / layout.prefix / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python").symlink_to(interpreter.executable)
    for alias in ("python3", f"python{layout.minor}"):
        (bin_folder / alias).symlink_to("python")
    (root / layout.site).mkdir(parents=True)
    (root / layout.prefix / "pyvenv.cfg").write_text(
        f"home = {Path(interpreter.executable).parent}\n"
        "include-system-site-packages = false\n"
        f"version = {interpreter.version}\n"
        f"executable = {interpreter.executable}\n"
    )
