"""The Python face: what `reprolake build` and `reprolake run` do, for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reprolake.options import load_options
from reprolake.pipeline import Request, Session, obtain_image, obtain_lock, open_session, pin
from reprolake.runs import RunRequest, look, run_notebook
from reprolake_builder.image import Image
from reprolake_builder.progress import SILENT, Progress
from reprolake_runner.bind import BindOptions
from reprolake_runner.errors import NotebookError
from reprolake_runner.json_value import NotPlain, plain
from reprolake_runner.staged import StagedResult


def build(
    link: str, *, progress: Progress = SILENT, store: str = "", config: str = "", **options: Any
) -> Image:
    """Return the image of a link, built so far as the store lacks it.

    `options` are fields of pipeline.Request: ref, as_of, python, recipes … `store` and `config` are host paths, "" for those of
    the environment and the configuration files. Raises ReprolakeError.
    """
    with _session(store, config, progress) as session:
        return obtain_image(obtain_lock(Request(link=link, **options), session), session)


def run(
    link: str,
    notebook: str = "",
    parameters: Mapping[str, Any] | None = None,
    *,
    basket: Path | str | None = None,
    stage: Path | str = "staging",
    progress: Progress = SILENT,
    store: str = "",
    config: str = "",
    limits: Mapping[str, str] | None = None,
    **options: Any,
) -> StagedResult:
    """Return the staged result of a run, whether the notebook succeeded or not: `result.record.status` says which.

    `parameters` are values of Python or scalars and arrays of numpy; each arrives with its type. `limits` are amounts by the
    names of settings (`{"max_memory_bytes": "4G"}`); `options`, `store` and `config` are as in `build`. Raises ReprolakeError.
    """
    values = BindOptions(files=(("parameters", _parameters(parameters or {})),))
    with _session(store, config, progress) as session:
        asked = Request(link=link, **options)
        pinned = pin(asked, session)
        request = RunRequest(
            notebook=notebook or pinned.notebook,
            basket=Path(basket) if basket is not None else None,
            values=values,
            stage=Path(stage),
            lifetime=None,
            limits=limits or {},
        )
        obtained = obtain_lock(asked, session, pinned=pinned.source, look=look(request, pinned.source))
        return run_notebook(request, obtained, session)


@contextmanager
def _session(store: str, config: str, progress: Progress) -> Iterator[Session]:
    with open_session(load_options(os.environ, store, config), progress, datetime.now(UTC)) as session:
        yield session


def _parameters(values: Mapping[str, Any]) -> bytes:
    """Return parameters as the file that `-f` reads. Raises NotebookError for a value that no notebook can be given."""
    try:
        return json.dumps(plain(_unboxed(dict(values)), spells=True)).encode()
    except NotPlain as error:
        raise NotebookError(
            f"the parameter {error.path.removeprefix('$').lstrip('.')}: {error.reason}",
            hint="parameters are text, numbers, booleans, None, and lists and dictionaries of these; a path is given as text",
        ) from error


def _unboxed(value: Any) -> Any:
    """Return a value in which scalars and arrays of numpy, and of what is alike, are Python's own."""
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _unboxed(item) for key, item in value.items()}
    return [_unboxed(item) for item in value] if isinstance(value, list | tuple) else value
