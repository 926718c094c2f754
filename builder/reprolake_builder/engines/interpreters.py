"""The Python of an image as the engine works with it: where it lies, where its packages go, what runs it before the image is whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from reprolake_builder.documents.conda import CONDA_PREFIX
from reprolake_builder.documents.lock import (
    CondaInterpreter,
    DebianInterpreter,
    InterpreterLock,
    StandaloneInterpreter,
)
from reprolake_builder.engines.wheel import Layout
from reprolake_builder.store import Tree


@dataclass(frozen=True, slots=True)
class Program:
    """An interpreter to be started: `executable` is its path in the image, which `roots` (host folders, lowest first) hold."""

    minor: str
    executable: str
    roots: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Home:
    """A locked Python and the trees that it runs in: Debian's `base`, and above it that of conda's package `python`
    or of a standalone one if it is one of those.

    `prefix` is the folder (path in the image) of an environment other than the interpreter's usual one.
    """

    lock: InterpreterLock
    base: Tree
    package: Tree | None = None
    prefix: str = ""

    @property
    def layout(self) -> Layout:
        """Where its packages go."""
        return layout_of(self.lock, self.prefix)

    @property
    def program(self) -> Program:
        """What compiles for it."""
        above = () if self.package is None else (self.package.root,)
        return Program(minor_of(self.lock), self.lock.executable, (self.base.root, *above))


def layout_of(interpreter: InterpreterLock, prefix: str = "") -> Layout:
    """Return where the packages of a locked Python go, in the environment at `prefix` (path in the image) if one is given."""
    if prefix:
        return Layout(minor_of(interpreter), prefix.lstrip("/"))
    if isinstance(interpreter, CondaInterpreter):
        return Layout(minor_of(interpreter), CONDA_PREFIX.lstrip("/"))
    if isinstance(interpreter, DebianInterpreter | StandaloneInterpreter):
        return Layout(minor_of(interpreter))
    assert_never(interpreter)


def minor_of(interpreter: InterpreterLock) -> str:
    """Return the interpreter's version without the patch level, such as "3.11"."""
    return ".".join(interpreter.version.split(".")[:2])


def debian_program(base_root: Path, minor: str) -> Program:
    """Return Debian's Python of that version, which the base (host folder) holds."""
    return Program(minor, f"/usr/bin/python{minor}", (base_root,))
