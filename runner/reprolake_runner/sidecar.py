"""What a repository says of a notebook's parameters in a file beside it: `spectrum.parameters.json` for `spectrum.ipynb`.

An object of names, each with a part of JSON Schema: `type`, `default`, `minimum`, `maximum`, `enum`, `title`, `description`. Other
words are refused: nothing is promised that is not checked. Source: JSON Schema 2020-12, validation, 6.1 and 6.2.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reprolake_builder.process import printable
from reprolake_runner.declared import DeclaredParameter, Kind
from reprolake_runner.errors import NotebookError
from reprolake_runner.json_value import NotPlain, parse

_SUFFIX = ".parameters.json"
_LONGEST = 1 << 20  # bytes
_TYPES: Mapping[str, Kind] = {
    "string": "str", "number": "float", "integer": "int", "boolean": "bool", "array": "list", "object": "dict",
}  # fmt: skip
_NULL = "null"
_WORDS = ("type", "default", "minimum", "maximum", "enum", "title", "description")


def sidecar_path(repository: Path, path: str) -> str:
    """Return the path of the file beside the notebook at `path`, "" when the repository (host folder) has none."""
    beside = path.removesuffix(".ipynb") + _SUFFIX
    return beside if os.path.lexists(os.path.join(repository, beside)) else ""


def with_sidecar(
    declared: Sequence[DeclaredParameter], data: bytes, path: str, *, is_complete: bool
) -> tuple[DeclaredParameter, ...]:
    """Return the parameters as the file with `data` at `path` says, those that the notebook declares first.

    What it does not declare has line 0. `is_complete` says that all that the notebook assigns is in `declared`. Raises NotebookError.
    """
    said = _read(data, path)
    own = {one.name for one in declared}
    found = [_both(one, said[one.name], path) if one.name in said else one for one in declared]
    for name, schema in said.items():
        if name not in own:
            one = _both(DeclaredParameter(name=name, kind="", line=0), schema, path)
            default = schema.get("default")
            has_default = "default" in schema
            is_required = is_complete and not has_default
            found.append(replace(one, default=default, literal=has_default, required=is_required))
    return tuple(found)


def _read(data: bytes, path: str) -> dict[str, dict[str, Any]]:
    try:
        if len(data) > _LONGEST:
            raise NotPlain("$", f"{len(data)} bytes, the limit is {_LONGEST}")
        said = parse(data.decode("utf-8-sig"))
        if not isinstance(said, dict) or not all(isinstance(one, dict) for one in said.values()):
            raise NotPlain("$", 'expected an object like {"bins": {"type": "integer", "minimum": 1}}')
    except (NotPlain, UnicodeDecodeError) as error:
        raise NotebookError(printable(f"{path}: {error}")) from error
    return said


def _both(declared: DeclaredParameter, schema: Mapping[str, Any], path: str) -> DeclaredParameter:
    """Return a parameter with the type and the bounds of the schema."""
    for word in schema:
        if word not in _WORDS:
            near = difflib.get_close_matches(word, _WORDS, 1)
            raise NotebookError(
                printable(f"{path}: {declared.name}: {word!r} is not understood")
                + (f"; did you mean {near[0]}?" if near else ""),
                hint=f"a parameter may have {', '.join(_WORDS)}",
            )
    kind, nullable = _type(declared, schema.get("type", []), path)
    for word in ("minimum", "maximum"):
        if word in schema and (isinstance(schema[word], bool) or not isinstance(schema[word], int | float)):
            raise NotebookError(printable(f"{path}: {declared.name}: {word} is no number"))
    choices = schema.get("enum", [])
    if not isinstance(choices, list):
        raise NotebookError(printable(f"{path}: {declared.name}: enum is no list"))
    return replace(
        declared,
        kind=kind,
        nullable=nullable,
        minimum=schema.get("minimum"),
        maximum=schema.get("maximum"),
        choices=tuple(choices),
    )


def _type(declared: DeclaredParameter, said: Any, path: str) -> tuple[Kind, bool]:
    names = [said] if isinstance(said, str) else said
    real = [name for name in names if name != _NULL] if isinstance(names, list) else [said]
    if not names:
        return declared.kind, declared.nullable
    if len(real) > 1 or any(not isinstance(name, str) or name not in _TYPES for name in real):
        raise NotebookError(
            printable(f"{path}: {declared.name}: {said!r} is no type"),
            hint=f"""one of {", ".join(_TYPES)}, or ["integer", "null"] for one that may be None""",
        )
    return (_TYPES[real[0]] if real else ""), _NULL in names
