"""Values that JSON can carry without loss: what baskets and parameters are made of.

Text from outside is read strictly, because two readers that understand one file differently are a way in: no repeated
keys, no NaN, no infinity, no lone surrogates, no number that a 64-bit reader would round, no bottomless nesting.
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 64
MAX_VALUES = 1_000_000


class NotPlain(ValueError):  # noqa: N818 - it names what the value is
    """A value that JSON cannot carry without loss; `path` (JSONPath) says where it stands, `reason` what is wrong."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class _Repeated(dict[str, Any]):
    """An object of the text in which `key` stands more than once."""

    key: str


def parse(text: str) -> Any:
    """Return the value of a JSON text. Raises NotPlain.

    Source: RFC 8259; what it leaves to the reader (repeated keys, numbers out of range) is refused here.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except RecursionError as error:
        raise NotPlain("$", f"nested deeper than {MAX_DEPTH} levels") from error
    except json.JSONDecodeError as error:
        raise NotPlain("$", f"not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from error
    except ValueError as error:
        raise NotPlain("$", "a number has too many digits") from error
    return plain(value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    repeated = _Repeated(found)
    for key, _ in pairs:
        if key in seen:
            repeated.key = key
            break
        seen.add(key)
    return repeated


def plain(value: Any, path: str = "$") -> Any:
    """Return `value` made of dict, list, str, int, float, bool and None only; tuples become lists. Raises NotPlain."""
    return _plain(value, path, 0, [MAX_VALUES])


def _plain(value: Any, path: str, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise NotPlain(path, f"more than {MAX_VALUES} values")
    if depth > MAX_DEPTH:
        raise NotPlain(path, f"nested deeper than {MAX_DEPTH} levels")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise NotPlain(path, "an integer of more than 64 bits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotPlain(path, "NaN and infinity are no JSON")
        return float(value)
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]", depth + 1, left) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return _members(value, path, depth, left)
    raise NotPlain(path, f"a value of type {type(value).__name__} is no JSON")


def _members(value: dict[Any, Any], path: str, depth: int, left: list[int]) -> dict[str, Any]:
    if isinstance(value, _Repeated):
        raise NotPlain(path, f"the key {value.key!r} stands there more than once")
    found: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise NotPlain(path, f"the key {key!r} is no text")
        _text(key, path)
        found[key] = _plain(item, child(path, key), depth + 1, left)
    return found


def child(path: str, key: str) -> str:
    """Return the path of member `key` below `path`."""
    shown = key if len(key) <= 40 else key[:40] + "…"
    return f"{path}.{shown}" if key.isidentifier() else f"{path}[{json.dumps(shown)}]"


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise NotPlain(path, "half of a surrogate pair, which is no character") from error
    return str(value)
