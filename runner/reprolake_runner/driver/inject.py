"""Parameters as a cell of the notebook, by papermill's convention: tagged `injected-parameters`, after `parameters`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nbformat.notebooknode import NotebookNode, from_dict

from reprolake_runner.cell_tags import DECLARED, INJECTED, tags_of
from reprolake_runner.documents.run import Parameter
from reprolake_runner.languages import Language, language_of

_node: Callable[[dict[str, Any]], NotebookNode] = from_dict


def assignments(parameters: Iterable[Parameter], language: Language) -> str:
    """Return source that assigns the parameters. Raises NotebookError for a name or value that the language does not have."""
    return "\n".join(["# Parameters", *(language.assignment(one.name, one.value) for one in parameters)])


def inject(notebook: NotebookNode, parameters: tuple[Parameter, ...], language: str) -> None:
    """Put the cell that sets the parameters into the notebook, in place of one that is there already.

    Without parameters, and in a language that we do not write, nothing changes: the latter reads them from their file.
    Raises NotebookError for a name or value that the language does not have.
    """
    written = language_of(language)
    if not parameters or written is None:
        return
    cells = notebook.cells
    place = next((n for n, cell in enumerate(cells) if INJECTED in tags_of(cell.metadata)), None)
    if place is not None:
        del cells[place]
    else:
        declared = next((n for n, cell in enumerate(cells) if DECLARED in tags_of(cell.metadata)), None)
        place = 0 if declared is None else declared + 1
    cell = _node(
        {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {"tags": [INJECTED]},
            "outputs": [],
            "source": assignments(parameters, written),
        }
    )
    if (notebook.nbformat, notebook.nbformat_minor) >= (4, 5):
        taken = {other.get("id") for other in cells}
        cell["id"] = next(name for name in _ids() if name not in taken)
    cells.insert(place, cell)


def hide_code(notebook: NotebookNode) -> None:
    """Have Jupyter show what cells put out and not their code, as papermill's report mode does."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            known = cell.metadata.get("jupyter")
            cell.metadata["jupyter"] = {**(known if isinstance(known, dict) else {}), "source_hidden": True}


def _ids() -> Iterable[str]:
    yield INJECTED
    number = 2
    while True:
        yield f"{INJECTED}-{number}"
        number += 1
