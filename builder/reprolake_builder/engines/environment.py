"""The environment's skeleton: what `python -m venv` would make, and the image's entry point."""

from __future__ import annotations

import shlex
from pathlib import Path

from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.lock import LAYOUT, CondaInterpreter, InterpreterLock
from reprolake_builder.engines.interpreters import layout_of
from reprolake_builder.errors import BuildError
from reprolake_builder.image import ENTRY_POINT, REPOSITORY
from reprolake_builder.process import printable
from reprolake_builder.source_tree import SourceTree
from reprolake_builder.store import Store, Tree

_ENTRY = '#!/bin/sh\n# Runs the given command.\nexec "$@"\n'
_LONGEST_LINE = 256  # bytes
_PROFILE = "etc/profile.d/reprolake.sh"
_KEPT_PATH = """\
# Debian's login shells have a PATH of their own: they keep the one that they were started with, the image's.
_path=$(sed -zn 's/^PATH=//p' "/proc/$$/environ" 2>/dev/null | tr -d '\\0')
[ -z "$_path" ] || export PATH="$_path"
unset _path
"""
_START = '#!/bin/sh\n# Runs the given command as the repository wants it started.\nexec {start} "$@"\n'


def make_environment(interpreter: InterpreterLock, store: Store, start: tuple[str, ...] = ()) -> Tree:
    """Return the tree with the entry point, what login shells read and, unless Python is conda's, an empty environment at image.PREFIX.

    The entry point hands every command to the words of `start` if there are any, see `starter`.
    """
    key = content_hash(
        {
            "layer": "environment",
            "layout": LAYOUT,
            "python": interpreter,
            "start": start,
            "profile": _KEPT_PATH,
        }
    )

    def fill(root: Path) -> None:
        if not isinstance(interpreter, CondaInterpreter):
            make_venv(root, interpreter)
        entry = root / ENTRY_POINT.lstrip("/")
        entry.parent.mkdir(parents=True)
        entry.write_bytes((_START.format(start=shlex.join(start)) if start else _ENTRY).encode())
        entry.chmod(0o755)
        profile = root / _PROFILE
        profile.parent.mkdir(parents=True)
        profile.write_text(_KEPT_PATH)

    return store.make_tree(key, fill)


def starter(path: str, repository: SourceTree) -> tuple[str, ...]:
    """Return the command that runs the repository's `start` (path in the source), whether it may be executed or not; () for none.

    Source: execve(2), "Interpreter scripts": the first line names a program and at most one argument.
    """
    if not path:
        return ()
    place = f"{REPOSITORY}/{path}"
    with script_at(path, repository).open("rb") as stream:
        first = stream.readline(_LONGEST_LINE).decode("utf-8", "replace")
    named = first[2:].strip().split(None, 1) if first.startswith("#!") else []
    return (*(named if named and first.strip().isprintable() else ["/bin/bash"]), place)


def script_at(path: str, repository: SourceTree) -> Path:
    """Return the host path of a script of the repository. Raises BuildError, and DetectError for a link that leads out of it."""
    found = repository.on_disk(path)
    if found is None:
        raise BuildError(
            f"the source has no script {printable(path)}", hint="the lock was changed by hand; make a new one"
        )
    return found


def make_venv(root: Path, interpreter: InterpreterLock, prefix: str = "") -> None:
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
