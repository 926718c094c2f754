"""Image + path → Notebook: the notebook as a value, with the parameters that it declares.

A notebook is JSON from a stranger: it is read with limits and never executed here. Declared parameters come from
Python's own parser, not from regular expressions. Source: nbformat 4 (`nbformat.v4.schema.json`), and papermill's
convention of a cell tagged `parameters`.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from reprolake_builder.process import printable
from reprolake_runner.cell_tags import DECLARED, tags_of
from reprolake_runner.declared import DeclaredParameter, declared_parameters
from reprolake_runner.errors import NotebookError
from reprolake_runner.json_value import is_text
from reprolake_runner.languages import LANGUAGES, dialect, language_of
from reprolake_runner.sidecar import sidecar_path, with_sidecar

MAX_BYTES = 64 << 20
HOW_TO_TAG = (
    f'tag the cell that sets the defaults with "{DECLARED}": in JupyterLab select the cell, open the property inspector '
    f'(the gear at the top right) and add "{DECLARED}" under Cell Tags; in VS Code: "…" of the cell, Add Cell Tag'
)
_MAX_LISTED = 20
_MAX_VISITED = 20_000
_MAX_CELLS = 100_000  # their numbers have to fit into one line of the driver's
_DEPTH = 200  # half of what the driver's libraries, which call themselves for each level, can bear
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_LONG = re.compile(rb"\d{4000}")  # beyond 4300 digits Python takes no number
_LEVELS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_LEVEL = bytes(set(range(256)) - _LEVELS.keys())
_KERNEL_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
_LANGUAGE = re.compile(r"[\w.+# -]{1,100}")


class _Output(msgspec.Struct):
    """The fields of a saved output that programs rely on."""

    output_type: str
    data: dict[str, msgspec.Raw] = {}
    text: str | list[str] | None = None

    def __post_init__(self) -> None:
        if self.output_type == "stream" and self.text is None:
            raise ValueError("an output of a stream has no text")


class _Cell(msgspec.Struct):
    """The fields of a cell that matter here; what else it holds is skipped."""

    cell_type: Literal["code", "markdown", "raw"]
    source: str | list[str]
    metadata: dict[str, Any]
    outputs: list[_Output] = []
    attachments: dict[str, dict[str, msgspec.Raw]] = {}

    @property
    def text(self) -> str:
        return self.source if isinstance(self.source, str) else "".join(self.source)


class _Metadata(msgspec.Struct):
    kernelspec: dict[str, Any] = {}
    language_info: dict[str, Any] = {}


class _File(msgspec.Struct):
    nbformat: int
    nbformat_minor: int
    metadata: _Metadata
    cells: list[_Cell]


class _Version(msgspec.Struct):
    nbformat: int


@dataclass(frozen=True, slots=True)
class CodeCell:
    """One code cell: `index` counts all cells of the notebook from 0."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook of the repository.

    `path` is relative to the repository's root; `sha256` that of the file; `kernel` and `language` as it declares them,
    "python3" and "python" when it does neither, "" for the kernel when it only declares the language.
    `parameters_cell` is the index of the cell tagged `parameters`, None when there is none; what it declares is known of
    Python notebooks only. `has_outputs` says whether any cell was saved with some. `sidecar` is the path of the file beside it
    that describes its parameters, "" when there is none.
    """

    path: str
    sha256: str
    kernel: str
    language: str
    code: tuple[CodeCell, ...]
    parameters_cell: int | None
    parameters: tuple[DeclaredParameter, ...]
    has_outputs: bool = False
    sidecar: str = ""

    @property
    def dialect(self) -> str:
        """The language that its parameters are written in."""
        return dialect(self.language, self.kernel)


def read_notebook(repository: Path, path: str, kernel: str = "", language: str = "") -> Notebook:
    """Return the notebook at `path` below `repository` (host folder that nobody writes to meanwhile).

    `kernel` and `language` stand in for what it says itself.
    Raises NotebookError when it is missing, leads out of the repository, or is no notebook that can be run.
    """
    data = notebook_bytes(repository, path)
    shown = printable(path)
    try:
        version = msgspec.json.decode(data, type=_Version).nbformat
        if version != 4:
            raise NotebookError(
                f"{shown} is a notebook of format {version}; format 4 can be run",
                hint=f"convert it in the repository: jupyter nbconvert --to notebook --nbformat 4 {shown}",
            )
        file = msgspec.json.decode(data, type=_File)
        _refuse_unbearable(data, len(file.cells))
    except (ValueError, RecursionError) as error:  # msgspec's errors are of the first kind
        raise NotebookError(
            printable(f"{shown} is no valid notebook: {error}"),
            hint="open and save it in Jupyter, which repairs or explains it",
        ) from error
    code = [(n, cell) for n, cell in enumerate(file.cells) if cell.cell_type == "code"]
    tagged = next((n for n, cell in code if DECLARED in tags_of(cell.metadata)), None)
    kernel, language = _kernel(file.metadata, shown, kernel, language)
    spoken = dialect(language, kernel)
    declared = _declared(file.cells[tagged].text, shown, tagged, spoken) if tagged is not None else ()
    known = spoken == "python" or bool(declared)
    sidecar = sidecar_path(repository, path)
    return Notebook(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        kernel=kernel,
        language=language,
        code=tuple(CodeCell(n, cell.text) for n, cell in code),
        parameters_cell=tagged,
        parameters=_with_sidecar(repository, declared, sidecar, is_complete=tagged is None or known),
        sidecar=sidecar,
        has_outputs=any(cell.outputs for cell in file.cells),
    )


def _refuse_unbearable(data: bytes, cells: int) -> None:
    """Raise ValueError for a notebook that is valid JSON, and more than what reads it after us can bear."""
    bare = _STRING.sub(b"", data)
    levels = map(_LEVELS.__getitem__, bare.translate(None, _NO_LEVEL))
    if max(itertools.accumulate(levels), default=0) > _DEPTH:
        raise ValueError(f"it is nested deeper than {_DEPTH} levels")
    if _LONG.search(bare):
        raise ValueError("a number has thousands of digits")
    if cells > _MAX_CELLS:
        raise ValueError(f"it has {cells} cells, the limit is {_MAX_CELLS}")


def _with_sidecar(
    repository: Path, declared: tuple[DeclaredParameter, ...], sidecar: str, *, is_complete: bool
) -> tuple[DeclaredParameter, ...]:
    if not sidecar:
        return declared
    return with_sidecar(
        declared, notebook_bytes(repository, sidecar), printable(sidecar), is_complete=is_complete
    )


def _declared(text: str, shown: str, cell: int, language: str) -> tuple[DeclaredParameter, ...]:
    if language == "python":
        return declared_parameters(text, shown, cell)
    if language_of(language) is not LANGUAGES["python2"]:
        return ()
    try:
        return declared_parameters(text, shown, cell)
    except NotebookError:  # only the Python of today is understood
        return ()


def _kernel(metadata: _Metadata, shown: str, kernel: Any, language: Any) -> tuple[str, str]:
    stated = metadata.language_info.get("name") or metadata.kernelspec.get("language")
    language = language or stated or "python"
    kernel = kernel or metadata.kernelspec.get("name", "")
    if kernel == "" and isinstance(language, str) and language_of(language) is LANGUAGES["python"]:
        kernel = "python3"
    is_name = isinstance(kernel, str) and _KERNEL_NAME.fullmatch(kernel) and kernel.strip(".")
    if not is_name and kernel != "":
        raise NotebookError(
            printable(f"{shown} names the kernel {str(kernel)[:80]!r}, which is no name of a kernel"),
            hint="choose a kernel in Jupyter and save the notebook",
        )
    if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
        raise NotebookError(
            printable(f"{shown} is written in {str(language)[:80]!r}, which is no name of a language"),
            hint="choose a kernel in Jupyter and save the notebook",
        )
    return kernel, _folded(language)


def _folded(language: str) -> str:
    """Return one name for what is one language."""
    return "python" if language_of(language) is LANGUAGES["python"] else language


def notebook_bytes(repository: Path, path: str) -> bytes:
    """Return the bytes of the notebook file, which has to lie in the repository itself. Raises NotebookError."""
    shown = printable(path)
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or "\0" in path:
        raise NotebookError(
            f"{shown!r} is no path inside the repository",
            hint="name the notebook relative to the repository's root, like analysis/spectrum.ipynb",
        )
    if not is_text(path):
        raise NotebookError(
            f"{shown} is no name in UTF-8, and so cannot be part of a record", hint="give it another name"
        )
    root = os.path.realpath(repository)
    real = os.path.realpath(os.path.join(root, path))
    if os.path.commonpath([root, real]) != root:
        raise NotebookError(f"{shown} is a link that leads out of the repository")
    try:
        # The type is looked at before anything is opened: opening a pipe would wait, opening a device may act.
        info = os.lstat(real)
        if not stat.S_ISREG(info.st_mode):
            raise NotebookError(f"{shown} is no file", hint=_instead(repository, path))
        if info.st_size > MAX_BYTES:
            raise NotebookError(
                f"{shown} has {info.st_size} bytes, the limit is {MAX_BYTES}",
                hint=f"clear its outputs in the repository: jupyter nbconvert --clear-output --inplace {shown}",
            )
        with open(os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            return stream.read(MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotebookError(
            f"there is no notebook {shown} in the repository", hint=_instead(repository, path)
        ) from error
    except OSError as error:
        raise NotebookError(f"{shown} cannot be read: {error.strerror}") from error


def check_cwd(repository: Path, path: str) -> None:
    """Raise NotebookError unless `path` is a folder of the repository itself, relative to its root."""
    root = os.path.realpath(repository)
    real = os.path.realpath(os.path.join(root, path)) if "\0" not in path and is_text(path) else ""
    if path.startswith("/") or ".." in path.split("/") or not os.path.isdir(real):
        raise NotebookError(
            printable(f"{path!r} is no folder of the repository"),
            hint="the working folder is one of the repository, relative to its root, like analysis/data",
        )
    if os.path.commonpath([root, real]) != root:
        raise NotebookError(printable(f"{path} is a link that leads out of the repository"))


def _instead(repository: Path, path: str) -> str:
    """Return which notebooks there are, the nearest to what was asked for first."""
    found = notebooks(repository)
    if not found:
        return "there is no notebook in the repository"
    by_name = {name.rpartition("/")[2]: name for name in found}
    near = difflib.get_close_matches(path, found, 1) or [
        by_name[name] for name in difflib.get_close_matches(path.rpartition("/")[2], list(by_name), 1)
    ]
    listed = ", ".join(found[:_MAX_LISTED]) + (" …" if len(found) > _MAX_LISTED else "")
    return printable((f"did you mean {near[0]}? " if near else "") + f"notebooks there: {listed}")


def notebooks(repository: Path) -> tuple[str, ...]:
    """Return the paths of the notebooks in the repository, sorted; a huge repository is not searched to its end."""
    found: list[str] = []
    visited = 0
    for folder, folders, files in os.walk(repository):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            os.path.relpath(os.path.join(folder, name), repository)
            for name in files
            if name.endswith(".ipynb")
        ]
        visited += len(files) + len(folders)
        if visited > _MAX_VISITED:
            break
    return tuple(sorted(found))
