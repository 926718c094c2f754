"""Values that JSON can carry without loss: what baskets and parameters are made of.

Text from outside is read strictly, because two readers that understand one file differently are a way in: no repeated
keys, no NaN, no infinity, no lone surrogates, no number that a 64-bit reader would round, no bottomless nesting.

Where NaN and infinities are meant, they are spelled {"$numberDouble": "NaN"}, "Infinity" or "-Infinity". Source: MongoDB
Extended JSON 2.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 64
MAX_VALUES = 1_000_000


_DOUBLE = "$numberDouble"
_SPELLINGS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


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


def unspelled(value: Any) -> float | None:
    """Return the number that JSON does not have and an object spells, None for any other value."""
    said = value.get(_DOUBLE) if isinstance(value, dict) and len(value) == 1 else None
    return _SPELLINGS.get(said) if isinstance(said, str) else None


def plain(value: Any, path: str = "$", *, spells: bool = False) -> Any:
    """Return `value` made of dict, list, str, int, float, bool and None only; tuples become lists. Raises NotPlain.

    With `spells`, NaN and infinities are spelled as objects.
    """
    return _plain(value, path, 0, _Reading(MAX_VALUES, spells))


@dataclass(slots=True)
class _Reading:
    """What one call knows: how many values it still takes, and whether it spells NaN and infinities."""

    left: int
    spells: bool


def _plain(value: Any, path: str, depth: int, reading: _Reading) -> Any:
    reading.left -= 1
    if reading.left < 0:
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
        if math.isfinite(value):
            return float(value)
        if not reading.spells:
            raise NotPlain(path, "NaN and infinity are no JSON")
        return {_DOUBLE: "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]", depth + 1, reading) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return _members(value, path, depth, reading)
    raise NotPlain(path, f"a value of type {type(value).__name__} is no JSON")


def _members(value: dict[Any, Any], path: str, depth: int, reading: _Reading) -> dict[str, Any]:
    if isinstance(value, _Repeated):
        raise NotPlain(path, f"the key {value.key!r} stands there more than once")
    found: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise NotPlain(path, f"the key {key!r} is no text")
        _text(key, path)
        found[key] = _plain(item, child(path, key), depth + 1, reading)
    return found


def child(path: str, key: str) -> str:
    """Return the path of member `key` below `path`."""
    shown = key if len(key) <= 40 else key[:40] + "…"
    return f"{path}.{shown}" if key.isidentifier() else f"{path}[{json.dumps(shown)}]"


def is_text(value: str) -> bool:
    """Whether a text can be written: one with half of a surrogate pair, as Python reads names that are no UTF-8, cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: str, path: str) -> str:
    if not is_text(value):
        raise NotPlain(path, "half of a surrogate pair, which is no character")
    return str(value)
