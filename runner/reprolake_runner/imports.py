"""Modules that a notebook imports and that nothing declares: the commonest reason for a failed first run."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from reprolake_runner.declared import declared_parameters, parse_cell
from reprolake_runner.errors import NotebookError
from reprolake_runner.notebook import CodeCell, Notebook

_PYTHON_CELLS = {"%%time", "%%timeit", "%%capture", "%%prun", "%%python", "%%python3"}
_MATPLOTLIB = re.compile(r"^([ \t]*)%(?:matplotlib|pylab)\b.*$", re.MULTILINE)
_MISSING = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}


@dataclass(frozen=True, slots=True)
class UndeclaredImport:
    """A top-level module and the first cell (counted from 0) that imports it."""

    module: str
    cell: int


def undeclared_imports(notebook: Notebook, provided: Collection[str]) -> tuple[UndeclaredImport, ...]:
    """Return the imported modules that are not among `provided` (names of top-level modules), in order of appearance.

    An import that the notebook itself prepares to see fail (in a `try` with an `except ImportError`) does not count.
    """
    found: dict[str, int] = {}
    for cell in notebook.code:
        for module in imported_modules(cell):
            found.setdefault(module, cell.index)
    return tuple(UndeclaredImport(module, cell) for module, cell in found.items() if module not in provided)


def imported_modules(cell: CodeCell) -> Iterator[str]:
    """Yield the top-level modules that a code cell, or `%matplotlib` in it, imports; nothing for a cell that is no Python."""
    text = cell.text.lstrip()
    if text.startswith("%%"):
        magic, _, text = text.partition("\n")
        if magic.split()[0] not in _PYTHON_CELLS:
            return
    # Only what is code is looked at: where such a line is part of a long string, the change does no harm.
    yield from modules_imported_by(_MATPLOTLIB.sub(r"\1import matplotlib", text))


def modules_imported_by(text: str) -> Iterator[str]:
    """Yield the top-level modules that Python code, as of a cell or a file, imports; nothing for what is none."""
    try:
        yield from _imports(parse_cell(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return


def _imports(root: ast.AST) -> Iterator[str]:
    pending: list[ast.AST] = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Try) and any(_catches_missing(handler) for handler in node.handlers):
            children = [child for child in children if child not in node.body]
            children = [child for child in children if not isinstance(child, ast.ExceptHandler)]
        pending.extend(reversed(children))


def _catches_missing(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(one is None or (isinstance(one, ast.Name) and one.id in _MISSING) for one in caught)


def repository_modules(repository: Path, notebook: str) -> frozenset[str]:
    """Return the names of the modules that lie in the repository (host folder) where a notebook finds or adds them.

    These are its root, `src`, `lib` and the notebook's own folder (`notebook` is relative to the root). Links that lead out of
    the repository lead nowhere.
    """
    root = os.path.realpath(repository)
    folders = {
        os.path.realpath(os.path.join(root, name)) for name in ("", "src", "lib", os.path.dirname(notebook))
    }
    inside = [folder for folder in folders if os.path.commonpath([root, folder]) == root]
    return frozenset(name for folder in inside for name in _modules(folder))


def _modules(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as listing:
            entries = list(listing)
    except OSError:
        return
    for entry in entries:
        name, _, suffix = entry.name.partition(".")
        if name.isidentifier() and (
            (not suffix and os.path.isdir(entry.path)) or suffix == "py" or suffix.endswith("so")
        ):
            yield name


def assigned_in(notebook: Notebook, names: Collection[str]) -> dict[str, int]:
    """Return which of `names` the notebook assigns at the top level of a cell, with the first such cell (from 0)."""
    found: dict[str, int] = {}
    for cell in notebook.code:
        try:
            declared = declared_parameters(cell.text, notebook.path, cell.index)
        except NotebookError:
            continue
        for parameter in declared:
            if parameter.name in names and not parameter.required:
                found.setdefault(parameter.name, cell.index)
    return found
