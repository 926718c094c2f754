"""Parameters as a cell of the notebook, by papermill's convention: tagged `injected-parameters`, after `parameters`."""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable, Iterable
from typing import Any

from nbformat.notebooknode import NotebookNode, from_dict

from reprolake_runner.documents.run import Parameter
from reprolake_runner.errors import NotebookError

_node: Callable[[dict[str, Any]], NotebookNode] = from_dict
DECLARED = "parameters"
INJECTED = "injected-parameters"
_DEPTH = 90  # Python's own parser gives up at 100 to 200 nested brackets
_DIGITS = 4000  # beyond 4300 Python converts to decimal digits only on request


def literal(value: Any, depth: int = 0) -> str:
    """Return a Python expression for a JSON value; a string can never become anything but a string.

    Raises NotebookError for what is no JSON value or nested too deep.
    """
    if depth > _DEPTH:
        raise NotebookError(f"a parameter is nested deeper than {_DEPTH} levels")
    if value is None or isinstance(value, bool | str):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if abs(value) < 10**_DIGITS else hex(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f'float("{value}")'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(literal(item, depth + 1) for item in value) + "]"
    if isinstance(value, dict):
        pairs = (f"{literal(key, depth + 1)}: {literal(item, depth + 1)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    raise NotebookError(f"a parameter is a {type(value).__name__}, which is no JSON value")


def assignments(parameters: Iterable[Parameter]) -> str:
    """Return Python source that assigns the parameters. Raises NotebookError for a name that is no Python name."""
    lines = ["# Parameters"]
    for parameter in parameters:
        if not parameter.name.isidentifier() or keyword.iskeyword(parameter.name):
            raise NotebookError(
                f"{parameter.name!r} cannot be the name of a parameter",
                hint="use a name that Python can assign to",
            )
        lines.append(f"{parameter.name} = {literal(parameter.value)}")
    return "\n".join(lines)


def inject(notebook: NotebookNode, parameters: tuple[Parameter, ...], language: str) -> None:
    """Put the cell that sets the parameters into the notebook, in place of one that is there already.

    Without parameters nothing changes. Raises NotebookError for a language whose literals we do not write.
    """
    if not parameters:
        return
    if language.lower() not in {"python", "python3", "ipython"}:
        raise NotebookError(
            f"parameters cannot be given to a notebook in {language}",
            hint="read them from the file that REPROLAKE_BASKET names",
        )
    cells = notebook.cells
    place = next((n for n, cell in enumerate(cells) if INJECTED in tags(cell)), None)
    if place is not None:
        del cells[place]
    else:
        declared = next((n for n, cell in enumerate(cells) if DECLARED in tags(cell)), None)
        place = 0 if declared is None else declared + 1
    cell = _node(
        {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {"tags": [INJECTED]},
            "outputs": [],
            "source": assignments(parameters),
        }
    )
    if (notebook.nbformat, notebook.nbformat_minor) >= (4, 5):
        taken = {other.get("id") for other in cells}
        cell["id"] = next(name for name in _ids() if name not in taken)
    cells.insert(place, cell)


def tags(cell: NotebookNode) -> tuple[str, ...]:
    """Tags of a cell; a stranger's metadata may hold anything in their place."""
    found = cell.metadata.get("tags")
    return tuple(tag for tag in found if isinstance(tag, str)) if isinstance(found, list) else ()


def _ids() -> Iterable[str]:
    yield INJECTED
    number = 2
    while True:
        yield f"{INJECTED}-{number}"
        number += 1
