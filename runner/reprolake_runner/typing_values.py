"""Text of the command line and values of YAML become what a parameter takes; nothing is bent to fit.

| the notebook's parameter | `-p` takes |
|---|---|
| int | a whole number in digits ("007" is 7) |
| float | a number, nan, inf or -inf |
| bool | true, false, True, False |
| str | the text as it is ("007" stays "007") |
| list, dict, or a default of None | JSON or a Python literal |
| anything else, or not declared | JSON for numbers, true, false, null, lists and objects; True, False, None; other text is a string |

A parameter that may be None also takes "None" and "null"; `-r` gives the bare text where that is meant. In YAML any parameter
takes .nan and .inf; in JSON they are spelled as `json_value` says.
"""

from __future__ import annotations

import ast
import json
import math
import re
from typing import Any

from reprolake_builder.process import printable
from reprolake_runner.declared import DeclaredParameter, kind_of
from reprolake_runner.errors import NotebookError
from reprolake_runner.json_value import NotPlain, parse, plain, unspelled

MAX_BYTES = 16 << 20
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def from_text(parameter: DeclaredParameter, text: str, origin: str) -> Any:
    """Return the value that `text` of the command line stands for. Raises NotebookError naming text and default."""
    if parameter.nullable and parameter.kind and text in {"None", "null"}:
        return None
    try:
        value = _value(parameter, text)
        if isinstance(value, float) and math.isinf(value) and not _NOT_FINITE.fullmatch(text):
            raise ValueError(text)  # it is beyond what a float can hold
    except ValueError as error:
        raise _clash(parameter, text, origin) from error
    return fitted(parameter, value, origin)


def _value(parameter: DeclaredParameter, text: str) -> Any:
    match parameter.kind:
        case "int":
            return int(_matched(_INTEGER, text))
        case "float":
            return float(_matched(_NUMBER, text)) if not _NOT_FINITE.fullmatch(text) else float(text)
        case "bool":
            return {"true": True, "True": True, "false": False, "False": False}[_matched(_BOOL, text)]
        case "str":
            return text
        case "list" | "dict":
            return _json_or_literal(text)
        case _:
            return _guessed(text, literals=parameter.nullable)


_PYTHON_WORDS: dict[str, bool | None] = {"True": True, "False": False, "None": None}
_BOOL = re.compile("[Tt]rue|[Ff]alse")


def _matched(pattern: re.Pattern[str], text: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(text)
    return text


def _json_or_literal(text: str) -> Any:
    try:
        return parse(text)
    except NotPlain:
        try:
            return plain(ast.literal_eval(text.strip()), spells=True)
        except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise ValueError(text) from error


def _guessed(text: str, *, literals: bool) -> Any:
    """Return the number, bool, None, list or dict that `text` is, else the text itself."""
    if text in _PYTHON_WORDS:
        return _PYTHON_WORDS[text]
    try:
        value = _json_or_literal(text) if literals else parse(text)
    except ValueError:
        return text
    return text if isinstance(value, str) else value


def fitted(parameter: DeclaredParameter, value: Any, origin: str) -> Any:
    """Return a JSON value if the parameter takes it; a whole number also fits a float. Raises NotebookError."""
    value = _of_kind(parameter, value, origin)
    if value is None:
        return value
    if parameter.choices and value not in parameter.choices:
        raise _outside(parameter, value, origin, f"one of {', '.join(map(repr, parameter.choices))}")
    number = unspelled(value) if isinstance(value, dict) else value
    if isinstance(number, int | float) and not isinstance(number, bool):
        low, high = parameter.minimum, parameter.maximum
        if low is not None and not number >= low:  # NaN is neither
            raise _outside(parameter, value, origin, f"{low} or more")
        if high is not None and not number <= high:
            raise _outside(parameter, value, origin, f"{high} or less")
    return value


def _outside(parameter: DeclaredParameter, value: Any, origin: str, allowed: str) -> NotebookError:
    return NotebookError(
        printable(f"{origin}: {value!r} is not what the parameter {parameter.name} may be"),
        hint=printable(f"the repository allows {allowed}"),
    )


def _of_kind(parameter: DeclaredParameter, value: Any, origin: str) -> Any:
    try:
        value = plain(value, spells=True)
    except NotPlain as error:
        raise NotebookError(printable(f"{origin}: {parameter.name} cannot be passed on: {error}")) from error
    kind = kind_of(value) if unspelled(value) is None else "float"
    if value is None and (parameter.nullable or not parameter.kind):
        return None
    if not parameter.kind or kind == parameter.kind:
        return value
    if parameter.kind == "float" and kind == "int":
        number = float(value)
        if math.isfinite(number):
            return number
    raise _clash(parameter, value, origin)


def _clash(parameter: DeclaredParameter, value: Any, origin: str) -> NotebookError:
    shown = repr(value) if len(repr(value)) < 200 else repr(value)[:200] + "…"
    hints = {
        "int": f"a whole number of 64 bits at most is needed; for fractions the notebook has to say so: {parameter.name}: float = …",
        "float": "a number is needed, like 0.5, 1e-3, nan or inf",
        "bool": "true or false is needed",
        "list": """a list is needed, like '["a", "b"]'""",
        "dict": """an object is needed, like '{"a": 1}'""",
        "str": "text is needed; in YAML put it in quotes",
    }
    return NotebookError(
        printable(f"{origin}: {shown} does not fit the parameter {parameter.name} ({parameter.shown})"),
        hint=hints.get(parameter.kind, ""),
    )


def yaml_values(data: bytes, origin: str) -> dict[str, Any]:
    """Return the parameters in a text of YAML 1.2 or JSON: one mapping of names to values. Raises NotebookError.

    Source: YAML 1.2.2, core schema: `no` is text, 010 is ten; dates stay text as well.
    """
    if len(data) > MAX_BYTES:
        raise NotebookError(f"{origin}: {len(data)} bytes of parameters, the limit is {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
        values = parse(text) if text.lstrip().startswith("{") and _is_json(text) else _yaml(text)
        values = plain({} if values is None else values, spells=True)
    except NotPlain as error:
        raise NotebookError(printable(f"{origin}: {error}")) from error
    except UnicodeDecodeError as error:
        raise NotebookError(f"{origin}: no UTF-8 text (byte {error.start})") from error
    if not isinstance(values, dict):
        raise NotebookError(f"{origin}: expected NAME: VALUE lines, found {type(values).__name__}")
    return values


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    class Constructor(SafeConstructor):
        """Python's plain types only; what looks like a date stays the text that it is."""

    Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = Constructor
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        # its own text calls the place "<unicode string>"
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "$"
        raise NotPlain(place, f"no YAML: {error.problem or error.context}") from error
    except YAMLError as error:
        raise NotPlain("$", f"no YAML: {str(error).partition(chr(10))[0]}") from error
    except (ValueError, RecursionError, OverflowError) as error:
        raise NotPlain("$", "no YAML that can be read: a number or the nesting is out of bounds") from error
