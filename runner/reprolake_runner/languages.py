"""JSON values and names as the source text of a language: a string can never become anything but a string.

| | Python | R | Julia | bash |
|---|---|---|---|---|
| null | None | NULL | nothing | an empty word |
| true | True | TRUE | true | true |
| 5 | 5 | 5 | 5 | 5 |
| "a" | 'a' | "a" | "a" | 'a' |
| [1, 2] | [1, 2] | list(1, 2) | Any[1, 2] | its JSON |
| {"k": 1} | {'k': 1} | list("k" = 1) | Dict{String,Any}("k" => 1) | its JSON |
| NaN | float("nan") | NaN | NaN | nan |
| Infinity | float("inf") | Inf | Inf | inf |

In Python 2 text beyond ASCII is `u"…"`. JSON has no word for the last two: see `json_value` for how they are
spelled in it. Whatever the language, the values also lie in a JSON file, which is all that other languages get.
"""

from __future__ import annotations

import json
import keyword
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reprolake_builder.process import printable
from reprolake_runner.errors import NotebookError
from reprolake_runner.json_value import unspelled

Writer = Callable[[Any], str]
_DEPTH = 90  # Python's own parser gives up at 100 to 200 nested brackets
_DIGITS = 4000  # beyond 4300 Python converts to decimal digits only on request
_EXACT = 1 << 53  # R's numbers are doubles
_R_RESERVED = (
    "if else repeat while function for next break TRUE FALSE NULL Inf NaN NA NA_integer_ NA_real_ NA_complex_ "
    "NA_character_ in T F"
)
_JULIA_RESERVED = (
    "baremodule begin break catch const continue do else elseif end export false finally for function global if import let "
    "local macro module quote return struct true try using while nothing missing Any Dict String"
)
# Bash runs, or is led by, what is in these.
_BASH_RESERVED = (
    "BASH_ENV ENV PROMPT_COMMAND PS0 PS1 PS2 PS3 PS4 PATH IFS SHELLOPTS BASHOPTS BASH_XTRACEFD LD_PRELOAD LD_LIBRARY_PATH "
    "LD_AUDIT HOME PWD SHELL BASH UID EUID PPID BASHPID"
)


@dataclass(frozen=True, slots=True)
class Language:
    """How a language writes values, assigns them, and what its names look like; `reserved` are names that cannot be had."""

    name: str
    literal: Writer
    assign: str
    names: re.Pattern[str]
    reserved: frozenset[str]

    def assignment(self, name: str, value: Any) -> str:
        """Return one line of source that gives the variable its value. Raises NotebookError for a name that is none."""
        self.check_name(name)
        return self.assign.format(name, self.literal(value))

    def check_name(self, name: str) -> None:
        """Raise NotebookError when the language has no variable of that name, or keeps it for itself."""
        if not self.names.fullmatch(name) or name in self.reserved:
            raise NotebookError(
                f"{printable(name)!r} cannot be the name of a parameter",
                hint=f"use a name that {self.name} can assign to",
            )


def language_of(name: str) -> Language | None:
    """Return the language that a notebook or kernel names, None when we do not write it."""
    folded = name.lower()
    return LANGUAGES.get(_ALIASES.get(folded, folded))


def dialect(language: str, kernel: str) -> str:
    """Return the language that a kernel of that name takes, where its name says more than that of its language."""
    is_old = kernel.lower() == _PYTHON_2 and language_of(language) is LANGUAGES["python"]
    return _PYTHON_2 if is_old else language


def python(value: Any, depth: int = 0, text: Callable[[str], str] = repr) -> str:
    """Return a Python expression for a JSON value. Raises NotebookError for what is none or is nested too deep."""
    _shallow(depth)
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if abs(value) < 10**_DIGITS else hex(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f'float("{value}")'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(python(item, depth + 1, text) for item in value) + "]"
    if (number := unspelled(value)) is not None:
        return python(number)
    if isinstance(value, dict):
        pairs = (f"{text(key)}: {python(item, depth + 1, text)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    raise _no_json(value)


def python2(value: Any) -> str:
    """Return a Python 2 expression for a JSON value: native strings, where they can only mean one thing.

    Source: the Python 2.7 language reference, 2.4.1.
    """
    return python(value, text=lambda text: repr(text) if text.isascii() else f"u{text!a}")


def r(value: Any, depth: int = 0) -> str:
    """Return an R expression for a JSON value. Source: the R language definition, 3.1.1 (constants) and 10.3.1."""
    _shallow(depth)
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "TRUE", False: "FALSE"}[value]
    if isinstance(value, str):
        return _r_text(value)
    if isinstance(value, int):
        if abs(value) > _EXACT:
            raise NotebookError(f"R has no whole number {value}", hint="give it as text")
        return str(value)
    if isinstance(value, float):
        return _number(value, "NaN", "Inf")
    if isinstance(value, list | tuple):
        return "list(" + ", ".join(r(item, depth + 1) for item in value) + ")"
    if (number := unspelled(value)) is not None:
        return r(number)
    if isinstance(value, dict):
        if "" in value:
            raise NotebookError("R has no name for the empty key of an object")
        return "list(" + ", ".join(f"{_r_text(k)} = {r(v, depth + 1)}" for k, v in value.items()) + ")"
    raise _no_json(value)


def _r_text(text: str) -> str:
    if "\0" in text:
        raise NotebookError("a text with the character U+0000 cannot be given to R")
    return '"' + _escaped(text, {'"': '\\"', "\\": "\\\\"}) + '"'


def julia(value: Any, depth: int = 0) -> str:
    """Return a Julia expression for a JSON value. Source: the Julia manual, "Strings": `$` begins code unless escaped."""
    _shallow(depth)
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return '"' + _escaped(value, {'"': '\\"', "\\": "\\\\", "$": "\\$"}) + '"'
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value, "NaN", "Inf")
    if isinstance(value, list | tuple):
        return "Any[" + ", ".join(julia(item, depth + 1) for item in value) + "]"
    if (number := unspelled(value)) is not None:
        return julia(number)
    if isinstance(value, dict):
        pairs = (f"{julia(key, depth + 1)} => {julia(item, depth + 1)}" for key, item in value.items())
        return "Dict{String,Any}(" + ", ".join(pairs) + ")"
    raise _no_json(value)


def bash(value: Any) -> str:
    """Return a word of bash for a JSON value; lists and objects are their JSON. Source: Bash manual 3.1.2.

    Control characters are written as digits, because kernels type what they run into a terminal.
    """
    if value is None or isinstance(value, bool):
        return {None: "''", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return python(value) if math.isfinite(value) else str(value)
    if (number := unspelled(value)) is not None:
        return bash(number)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if "\0" in text:
        raise NotebookError("a text with the character U+0000 cannot be given to bash")
    if all(character >= " " and character != "\x7f" for character in text):
        return "'" + text.replace("'", "'\\''") + "'"
    found = {"'": "\\'", "\\": "\\\\"}
    return (
        "$'"
        + "".join(found.get(c) or (f"\\{ord(c):03o}" if c < " " or c == "\x7f" else c) for c in text)
        + "'"
    )


def _escaped(text: str, escapes: Mapping[str, str]) -> str:
    """Return text with escapes that R and Julia share; letters of any script stay as they are."""
    return "".join(escapes.get(c) or (c if c.isprintable() else _code_point(c)) for c in text)


def _code_point(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _number(value: float, nan: str, infinity: str) -> str:
    if math.isfinite(value):
        return repr(value)
    return nan if math.isnan(value) else infinity if value > 0 else f"-{infinity}"


def _shallow(depth: int) -> None:
    if depth > _DEPTH:
        raise NotebookError(f"a parameter is nested deeper than {_DEPTH} levels")


def _no_json(value: Any) -> NotebookError:
    return NotebookError(f"a parameter is a {type(value).__name__}, which is no JSON value")


_PYTHON_2 = "python2"
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
LANGUAGES: Mapping[str, Language] = {
    "python": Language("Python", python, "{} = {}", _IDENTIFIER, frozenset(keyword.kwlist)),
    "r": Language(
        "R",
        r,
        "{} = {}",
        re.compile(r"(?:[A-Za-z]|\.(?!\d))[\w.]*", re.ASCII),
        frozenset(_R_RESERVED.split()),
    ),
    "julia": Language("Julia", julia, "{} = {}", _IDENTIFIER, frozenset(_JULIA_RESERVED.split())),
    "bash": Language(
        "bash", bash, "{}={}", re.compile(r"[A-Za-z_]\w*", re.ASCII), frozenset(_BASH_RESERVED.split())
    ),
    _PYTHON_2: Language(
        "Python 2",
        python2,
        "{} = {}",
        re.compile(_IDENTIFIER.pattern, re.ASCII),
        frozenset((*keyword.kwlist, "exec", "print")),
    ),
}
_ALIASES = {"python3": "python", "ipython": "python", "ipython3": "python", "sh": "bash", "shell": "bash"}
