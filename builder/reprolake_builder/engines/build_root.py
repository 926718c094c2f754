"""The root file system that wheels are built in: the image's own base, and beside it the toolchain where there is need of one."""

from __future__ import annotations

import msgspec

from reprolake_builder.documents.environment import Asked
from reprolake_builder.documents.lock import DebianLock, InterpreterLock
from reprolake_builder.engines.debian import fetch_debian, make_debian_trees
from reprolake_builder.engines.environment import make_environment
from reprolake_builder.store import Tree
from reprolake_builder.tools import Tools

_TOOLCHAIN = ("gcc", "g++", "gfortran", "make", "pkg-config")


def toolchain_of(python: str) -> tuple[Asked, ...]:
    """Return the Debian packages that compile extensions in C, C++ and Fortran for a Python ("3.11")."""
    names = (*_TOOLCHAIN, f"python{python}-dev")
    return tuple(Asked(text=name, origin="what compiles extensions") for name in names)


def build_stack(
    debian: DebianLock, interpreter: InterpreterLock, tools: Tools, *, toolchain: bool
) -> tuple[Tree, ...]:
    """Return the trees of base, system and environment, lowest first; the system holds the toolchain when that is asked for."""
    packages = sorted((*debian.extra, *debian.toolchain), key=lambda deb: deb.name)
    here = msgspec.structs.replace(debian, extra=tuple(packages) if toolchain else debian.extra, toolchain=())
    fetch_debian(here, tools)
    trees = make_debian_trees(here, tools.store, tools.progress)
    return (*trees, make_environment(interpreter, tools.store))
