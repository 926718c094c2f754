"""Packages that notebooks need and nothing declares: which modules they import, and which distributions those come from."""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

import msgspec
from packaging.utils import canonicalize_name

from reprolake.distributions import DISTRIBUTIONS, ELSEWHERE, PROGRAMS
from reprolake.modules import provided_modules
from reprolake_builder.documents.environment import Asked, EnvironmentSpec
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.engines.packages import fetch_wheels
from reprolake_builder.errors import DetectError, LockError
from reprolake_builder.git_tree import shown
from reprolake_builder.process import printable
from reprolake_builder.source_tree import SourceTree
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools
from reprolake_runner.documents.run import cell_name
from reprolake_runner.errors import NotebookError
from reprolake_runner.imports import imported_modules, modules_imported_by, repository_modules
from reprolake_runner.notebook import read_notebook

_MOST_NOTEBOOKS = 500
_MOST_MODULES = 2000
_NAME = re.compile(
    r"[a-z0-9]+(?:-[a-z0-9]+)*"
)  # one that begins with a dash would be an option in a file of requirements
_CHECKPOINTS = b".ipynb_checkpoints/"


@dataclass(frozen=True, slots=True)
class Need:
    """A top-level module, and the place that imports it first: a notebook's cell, or a file of the repository."""

    module: str
    place: str


def needs(tree: SourceTree) -> tuple[Need, ...]:
    """Return the modules that the source's notebooks import, and the repository's own modules that they import, in order.

    Notebooks in other languages, and those that cannot be read, need nothing.
    """
    found: dict[str, str] = {}
    start = f"{tree.source.subdir}/".encode() if tree.source.subdir else b""
    paths = [path for path in tree.paths if path.startswith(start) and path.endswith(b".ipynb")]
    for path in [path for path in paths if _CHECKPOINTS not in path][:_MOST_NOTEBOOKS]:
        for need in _of_notebook(tree, path):
            found.setdefault(need.module, need.place)
    return tuple(Need(module, place) for module, place in found.items())


def _of_notebook(tree: SourceTree, path: bytes) -> Iterator[Need]:
    try:
        notebook = read_notebook(tree.folder, path.decode())
    except (NotebookError, UnicodeDecodeError):
        return
    if notebook.dialect != "python":
        return
    own = repository_modules(tree.folder, notebook.path)
    for cell in notebook.code:
        for module in imported_modules(cell):
            if module in own:
                yield from _of_own(tree, notebook.path, module, own)
            else:
                yield Need(module, f"{shown(path)}, {cell_name(cell.index)},")


def _of_own(tree: SourceTree, notebook: str, module: str, own: Collection[str]) -> Iterator[Need]:
    """Yield what a module of the repository imports, and those of the repository that it imports."""
    folders = ("", "src/", "lib/", f"{notebook.rpartition('/')[0]}/".lstrip("/"))
    pending, seen = [module], {module}
    while pending and len(seen) < _MOST_MODULES:
        name = pending.pop()
        for folder in dict.fromkeys(folders):
            for path in (f"{folder}{name}.py", *_in_package(tree, f"{folder}{name}")):
                for imported in _imports(tree, path):
                    if imported not in own:
                        yield Need(imported, shown(path.encode()))
                    elif imported not in seen:
                        seen.add(imported)
                        pending.append(imported)


def _in_package(tree: SourceTree, folder: str) -> Iterator[str]:
    start, paths = folder.encode() + b"/", tree.paths
    first = bisect.bisect_left(paths, start)
    for path in itertools.takewhile(
        lambda path: path.startswith(start), itertools.islice(paths, first, None)
    ):
        if path.endswith(b".py"):
            yield path.decode("utf-8", "replace")


def _imports(tree: SourceTree, path: str) -> Iterator[str]:
    try:
        text = tree.read_text(path)
    except DetectError:  # too large, no text, or a link that leads out
        return
    if text is not None:
        yield from modules_imported_by(text)


def missing(found: Iterable[Need], lock: EnvironmentLock, store: Store) -> tuple[Need, ...]:
    """Return what is needed and neither the lock nor the standard library has."""
    provided = provided_modules(lock, store)
    return tuple(need for need in found if need.module not in provided)


def inferred(found: Iterable[Need]) -> tuple[Asked, ...]:
    """Return the distributions that the modules come from, as demands whose origin says why. Raises LockError for what has none."""
    nowhere = [need for need in found if need.module in ELSEWHERE]
    if nowhere:
        need = nowhere[0]
        raise LockError(
            f"{need.place} imports {need.module}, which cannot be inferred: {ELSEWHERE[need.module]}",
            hint="declare where it is to come from, or leave --infer away",
        )
    asked: dict[str, Asked] = {}
    for need in found:
        name = distribution_of(need.module)
        if not _NAME.fullmatch(name):
            raise LockError(
                f"{need.place} imports {printable(need.module)}, and no package can be called like that",
                hint="declare the package that has it in requirements.txt, or leave --infer away",
            )
        asked.setdefault(name, Asked(text=name, origin=f"inferred: {need.place} imports {need.module}"))
    return tuple(asked.values())


def programs(found: Iterable[Need], lock: EnvironmentLock) -> tuple[Asked, ...]:
    """Return the Debian packages with the programs that the modules speak with, so far as neither Debian's part nor conda's has them."""
    here = {deb.name for deb in (*lock.debian.base, *lock.debian.extra)}
    here |= {package.name for package in lock.conda.packages} if lock.conda is not None else set()
    wanted: dict[str, Asked] = {}
    for need in found:
        name = PROGRAMS.get(need.module, "")
        if name and name not in here:
            origin = f"inferred: {need.place} imports {need.module}, which runs a program of this package"
            wanted.setdefault(name, Asked(text=name, origin=origin))
    return tuple(wanted.values())


def distribution_of(module: str) -> str:
    """Return the normalised name of the distribution that a module comes from: a known one, else that of the same name."""
    return str(canonicalize_name(DISTRIBUTIONS.get(module, module)))


def with_inferred(
    made: EnvironmentLock,
    tree: SourceTree,
    lock: Callable[[EnvironmentSpec], EnvironmentLock],
    tools: Tools,
) -> EnvironmentLock:
    """Return the lock with what notebooks import and nothing declares; `lock` makes one of other demands.

    Which modules a package has is seen in its archive, never guessed of its name. Raises LockError for a module that no package has.
    """
    found = needs(tree)
    added: dict[str, Asked] = {}
    fetch_wheels(made.wheels, tools)
    while left := missing(found, made, tools.store):
        spec = made.environment
        if spec.obeyed is not None:
            raise LockError(
                f"{left[0].place} imports {left[0].module}, and {printable(spec.obeyed.path)} is a lock that does not have it",
                hint="--infer adds nothing to the lock of another tool: add the package to that, or ignore it with "
                f"--ignore {printable(spec.obeyed.path)}",
            )
        new = {asked.text: asked for asked in inferred(left) if asked.text not in added}
        if not new:
            name = distribution_of(left[0].module)
            raise LockError(
                f"{left[0].place} imports {left[0].module}, and the package {name} has no such module",
                hint="declare the package that has it in requirements.txt",
            )
        added |= new
        tools.progress.note(f"Inferred: {', '.join(new)}")
        requirements, apt = (*spec.requirements, *new.values()), (*spec.apt, *programs(left, made))
        added |= {f"Debian's {asked.text}": asked for asked in apt[len(spec.apt) :]}
        made = lock(msgspec.structs.replace(spec, requirements=requirements, apt=apt))
        fetch_wheels(made.wheels, tools)
    told = tuple(f"{name}: {asked.origin}" for name, asked in added.items())
    return msgspec.structs.replace(made, added=(*made.added, *told))


def offer(made: EnvironmentLock, tree: SourceTree, store: Store) -> str:
    """Return the sentence that offers to infer packages to a source that declares none, "" when nothing is needed."""
    spec = made.environment
    if spec.requirements or spec.sources or spec.project is not None or spec.conda or spec.obeyed:
        return ""
    left = missing(needs(tree), made, store)
    if not left:
        return ""
    names = ", ".join(need.module for need in left[:8]) + (" and others" if len(left) > 8 else "")
    return f"notebooks import {names}, and no file here declares packages: --infer adds them as of {made.as_of:%Y-%m-%d}"
