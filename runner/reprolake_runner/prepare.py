"""Notebook + parameters → the notebook that a run would execute, without running anything."""

from __future__ import annotations

from pathlib import Path

from reprolake_builder.process import printable
from reprolake_runner.documents.run import ParameterSet
from reprolake_runner.driver.inject import hide_code, inject
from reprolake_runner.driver.notebook_file import parse, render
from reprolake_runner.errors import NotebookError
from reprolake_runner.languages import LANGUAGES, language_of
from reprolake_runner.notebook import Notebook, notebook_bytes


def prepared_notebook(
    repository: Path, notebook: Notebook, parameters: ParameterSet, *, report_mode: bool = False
) -> bytes:
    """Return the notebook of the repository (host folder) with the parameters in it; its outputs stay as they are.

    Raises NotebookError when its language is one that parameters are not written in, or it cannot be understood.
    """
    if parameters.parameters and language_of(notebook.language) is None:
        known = ", ".join(language.name for language in LANGUAGES.values())
        raise NotebookError(
            printable(f"parameters cannot be written into a notebook in {notebook.language}"),
            hint=f"they can in {known}; when it is run it finds them in the file that REPROLAKE_PARAMETERS names",
        )
    try:
        made = parse(notebook_bytes(repository, notebook.path).decode("utf-8", "replace"))
        inject(made, parameters.parameters, notebook.dialect)
        if report_mode:
            hide_code(made)
        known_metadata = made.metadata.get("papermill")
        made.metadata["papermill"] = {
            **(known_metadata if isinstance(known_metadata, dict) else {}),
            "parameters": parameters.values,
            "input_path": notebook.path,
        }
        return render(made).encode("utf-8", "backslashreplace") + b"\n"
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise NotebookError(printable(f"{notebook.path} is no valid notebook: {error}")[:500]) from error
