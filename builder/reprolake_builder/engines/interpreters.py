"""The Python of an image as the engine works with it: where it lies, where its packages go, what runs it before the image is whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from reprolake_builder.debs.signed_base import interpreter_identity
from reprolake_builder.documents.base import Sha256
from reprolake_builder.documents.conda import CONDA_PREFIX
from reprolake_builder.documents.lock import CondaInterpreter, DebianInterpreter, InterpreterLock
from reprolake_builder.engines.wheel import Layout
from reprolake_builder.store import Store, Tree

# The program that compiles runs in these; older ones get no byte code beyond what their packages bring along.
_OLDEST_COMPILING = (3, 9)


@dataclass(frozen=True, slots=True)
class Program:
    """An interpreter to be started: `executable` is its path in the image, which `roots` (host folders, lowest first) hold."""

    minor: str
    executable: str
    roots: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Home:
    """A locked Python and the trees that it runs in: Debian's `base`, and that of conda's package `python` if it is one of those."""

    lock: InterpreterLock
    base: Tree
    package: Tree | None = None

    @property
    def layout(self) -> Layout:
        """Where its packages go."""
        return layout_of(self.lock)

    @property
    def program(self) -> Program | None:
        """What compiles for it, None where nothing does."""
        minor = minor_of(self.lock)
        if tuple(map(int, minor.split("."))) < _OLDEST_COMPILING:
            return None
        above = () if self.package is None else (self.package.root,)
        return Program(minor, self.lock.executable, (self.base.root, *above))

    def identity(self, store: Store) -> Sha256:
        """Return what names it in keys."""
        return interpreter_identity(self.lock, self.base.key, store)


def layout_of(interpreter: InterpreterLock) -> Layout:
    """Return where the packages of a locked Python go."""
    if isinstance(interpreter, CondaInterpreter):
        return Layout(minor_of(interpreter), CONDA_PREFIX.lstrip("/"))
    if isinstance(interpreter, DebianInterpreter):
        return Layout(minor_of(interpreter))
    assert_never(interpreter)


def minor_of(interpreter: InterpreterLock) -> str:
    """Return the interpreter's version without the patch level, such as "3.11"."""
    return ".".join(interpreter.version.split(".")[:2])


def debian_program(base_root: Path, minor: str) -> Program:
    """Return Debian's Python of that version, which the base (host folder) holds."""
    return Program(minor, f"/usr/bin/python{minor}", (base_root,))
