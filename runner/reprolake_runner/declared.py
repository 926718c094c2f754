"""The parameters that a notebook declares, read by Python's own parser from the cell tagged `parameters`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from reprolake_builder.process import printable
from reprolake_runner.documents.run import cell_name
from reprolake_runner.errors import NotebookError
from reprolake_runner.json_value import NotPlain, plain

Kind = Literal["int", "float", "bool", "str", "list", "dict", ""]
"""What a parameter takes; "" is anything."""

_KINDS: dict[str, Kind] = {
    "int": "int", "float": "float", "bool": "bool", "str": "str", "list": "list", "dict": "dict",
    "List": "list", "Sequence": "list", "tuple": "list", "Tuple": "list", "Iterable": "list",
    "Dict": "dict", "Mapping": "dict", "Path": "str",
}  # fmt: skip
_IPYTHON_LINE = re.compile(r"^(\s*)[%!?].*$")
_IPYTHON_VALUE = re.compile(r"^(\s*[\w., ]+=\s*)[%!].*$")
_IPYTHON_HELP = re.compile(r"^(\s*)[\w.*]+\?{1,2}\s*$")


@dataclass(frozen=True, slots=True)
class DeclaredParameter:
    """One parameter.

    `default` is its value when `literal`, else None. `kind` comes from the annotation, else from a `# type:` comment, else
    from the default; `nullable` when it also takes None. `required` when nothing is assigned. `line` counts the cell's lines from 1,
    0 for one that only the file beside the notebook knows. `minimum`, `maximum` and `choices` are that file's.
    """

    name: str
    kind: Kind
    line: int
    default: Any = None
    literal: bool = False
    nullable: bool = False
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()

    @property
    def shown(self) -> str:
        """Type and default as a person would say them."""
        kind = self.kind or "any value"
        return f"{kind}, default {self.default!r}" if self.literal else kind


@dataclass(frozen=True, slots=True)
class _Declaration:
    name: str
    value: ast.expr | None
    annotation: ast.expr | None
    line: int


def declared_parameters(text: str, path: str, cell: int) -> tuple[DeclaredParameter, ...]:
    """Return the parameters that the top level of a cell assigns, in order of first appearance; the last value counts.

    `path` and `cell` (counted from 0) are for messages. Raises NotebookError when the cell is no Python.
    """
    where = f"{path}, {cell_name(cell)} (tagged parameters)"
    try:
        found = {one.name: _parameter(one) for one in _declarations(parse_cell(text))}
    except SyntaxError as error:
        raise NotebookError(
            printable(f"{where}, line {error.lineno}: no valid Python: {error.msg}")
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotebookError(f"{where} cannot be parsed") from error
    return tuple(found.values())


def parse_cell(text: str) -> ast.Module:
    """Return the syntax tree of a code cell, its IPython lines blanked out. Raises what ast.parse raises."""
    blanked = "\n".join(_without_magic(line) for line in text.split("\n"))
    # First as it stands, since "%" may also begin a line of a long string; without type comments where one is misplaced.
    for candidate, comments in ((text, True), (text, False), (blanked, True)):
        try:
            return ast.parse(candidate, type_comments=comments)
        except SyntaxError:
            continue
    return ast.parse(blanked)


def _without_magic(line: str) -> str:
    if match := _IPYTHON_VALUE.match(line):
        return f"{match[1]}None"
    if match := _IPYTHON_LINE.match(line) or _IPYTHON_HELP.match(line):
        return f"{match[1]}pass"
    return line


def _declarations(module: ast.Module) -> Iterator[_Declaration]:
    for node in module.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield _Declaration(node.target.id, node.value, node.annotation, node.lineno)
        elif isinstance(node, ast.Assign):
            annotation = _commented(node.type_comment)
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield _Declaration(target.id, node.value, annotation, node.lineno)
                else:
                    yield from _unpacked(target, node.value, node.lineno)


def _unpacked(target: ast.expr, value: ast.expr, line: int) -> Iterator[_Declaration]:
    """Yield the declarations of `a, b = 1, 2`."""
    if not isinstance(target, ast.Tuple | ast.List) or not isinstance(value, ast.Tuple | ast.List):
        return
    if len(target.elts) != len(value.elts):
        return
    for name, one in zip(target.elts, value.elts, strict=True):
        if isinstance(name, ast.Name):
            yield _Declaration(name.id, one, None, line)


def _commented(comment: str | None) -> ast.expr | None:
    try:
        return ast.parse(comment, mode="eval").body if comment else None
    except SyntaxError:
        return None


def _parameter(declaration: _Declaration) -> DeclaredParameter:
    default, literal = _literal(declaration.value)
    kind, nullable = _annotated(declaration.annotation)
    return DeclaredParameter(
        name=declaration.name,
        kind=kind or (kind_of(default) if literal else ""),
        line=declaration.line,
        default=default,
        literal=literal,
        nullable=nullable or (literal and default is None),
        required=declaration.value is None,
    )


def _literal(value: ast.expr | None) -> tuple[Any, bool]:
    if value is None:
        return None, False
    try:
        return plain(ast.literal_eval(value)), True
    except (ValueError, TypeError, NotPlain, RecursionError, MemoryError):
        return None, False


def kind_of(value: Any) -> Kind:
    """Return the kind of a JSON value; "" for None, which says nothing about it."""
    if value is None:
        return ""
    kinds: dict[type, Kind] = {
        bool: "bool",
        int: "int",
        float: "float",
        str: "str",
        list: "list",
        dict: "dict",
    }
    return kinds.get(type(value), "")


def _annotated(annotation: ast.expr | None) -> tuple[Kind, bool]:
    """Return the kind that an annotation stands for, and whether it allows None."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return _annotated(_commented(annotation.value))
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return _united([annotation.left, annotation.right])
    if isinstance(annotation, ast.Subscript):
        outer = _last_name(annotation.value)
        inner = annotation.slice
        if outer == "Optional":
            return _annotated(inner)[0], True
        if outer == "Union":
            return _united(inner.elts if isinstance(inner, ast.Tuple) else [inner])
        if outer == "Annotated" and isinstance(inner, ast.Tuple) and inner.elts:
            return _annotated(inner.elts[0])
        return _KINDS.get(outer, ""), False
    return _KINDS.get(_last_name(annotation), ""), False


def _united(members: list[ast.expr]) -> tuple[Kind, bool]:
    """Return the kind of a union: that of its one member besides None, anything when there are several."""
    real = [one for one in members if not (isinstance(one, ast.Constant) and one.value is None)]
    found = [_annotated(one) for one in real]
    kinds = {kind for kind, _ in found}
    nullable = len(real) < len(members) or any(null for _, null in found)
    if kinds == {"int", "float"}:
        return "float", nullable
    return (kinds.pop() if len(kinds) == 1 else ""), nullable


def _last_name(node: ast.expr | None) -> str:
    """Return `list` for the expressions `list`, `typing.list` and the like."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
