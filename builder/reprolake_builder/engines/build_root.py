"""The root file system that wheels are built in: the image's own base, and beside it the toolchain where there is need of one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from reprolake_builder.conda.channels import is_for_python
from reprolake_builder.documents.conda import CondaLock
from reprolake_builder.documents.environment import Asked
from reprolake_builder.documents.lock import DebianLock, InterpreterLock
from reprolake_builder.engines.conda import make_conda
from reprolake_builder.engines.debian import fetch_debian, make_debian_trees
from reprolake_builder.engines.environment import make_environment
from reprolake_builder.engines.interpreters import Home
from reprolake_builder.engines.standalone import make_standalone
from reprolake_builder.store import Tree
from reprolake_builder.tools import Tools

_TOOLCHAIN = ("gcc", "g++", "gfortran", "make", "pkg-config")


def toolchain_of(python: str) -> tuple[Asked, ...]:
    """Return the Debian packages that compile extensions in C, C++ and Fortran for Debian's Python ("3.11"; "" for another's)."""
    names = (*_TOOLCHAIN, f"python{python}-dev") if python else _TOOLCHAIN
    return tuple(Asked(text=name, origin="what compiles extensions") for name in names)


@dataclass(frozen=True, slots=True)
class Ground:
    """What an environment stands on: Debian packages, its Python, and conda's packages where that is one of conda's."""

    debian: DebianLock
    interpreter: InterpreterLock
    conda: CondaLock | None = None


def for_builds(ground: Ground) -> Ground:
    """Return what builds run on: as pip isolates them, they see Python and conda's libraries, and no other package of Python."""
    if ground.conda is None:
        return ground
    kept = tuple(package for package in ground.conda.packages if not is_for_python(package))
    return replace(ground, conda=msgspec.structs.replace(ground.conda, packages=kept))


def build_stack(ground: Ground, tools: Tools, *, toolchain: bool) -> tuple[tuple[Tree, ...], Home]:
    """Return the trees of base, system, environment and conda packages, lowest first, and where the Python lives in them.

    The system holds the toolchain when that is asked for.
    """
    debian = ground.debian
    packages = sorted((*debian.extra, *debian.toolchain), key=lambda deb: deb.name)
    here = msgspec.structs.replace(debian, extra=tuple(packages) if toolchain else debian.extra, toolchain=())
    fetch_debian(here, tools)
    trees = make_debian_trees(here, tools.store, tools.progress)
    home = Home(ground.interpreter, trees[0])
    standalone, home = make_standalone(home, tools)
    environment = make_environment(ground.interpreter, tools.store)
    stack = (*trees, environment, *(part.tree for part in standalone))
    if ground.conda is None:
        return stack, home
    parts, home = make_conda(ground.conda, home, tools)
    return (*stack, *(part.tree for part in parts)), home
