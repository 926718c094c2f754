"""TOML and JSON files with anything in one place, for tests that whatever a stranger writes is read or refused."""

from __future__ import annotations

import json
import tomllib

from hypothesis import strategies as st

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=12)
    | st.sampled_from(["../../x", "/etc", "\x1b[2J"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


ODD = (
    "9" * 5000,
    "==" + "9" * 5000,
    "https://[x/a-1.2-py3-none-any.whl",
    "https://u:s3cret@h/x.whl",
    "git+https://[x/y@" + "1" * 40,
    "\x1b[2J",
    1 << 70,
)
"""Values that a parser of versions, addresses, paths or numbers may stumble over."""


def _spots(tree, path=()):
    """Yield the paths of all values in a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _spots(value, (*path, key))


def _tree(text: str):
    return json.loads(text) if text.startswith("{") else tomllib.loads(text)


def places(text: str) -> range:
    """Return the numbers of all places of a file."""
    return range(len(list(_spots(_tree(text)))))


def _toml(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return '"none"' if value is None else json.dumps(value).replace("\x7f", "\\u007f")


def changed(text: str, place: int, value: object) -> str:
    """Return the file with the value in one of its places, which a number chooses; JSON begins with a brace."""
    is_json = text.startswith("{")
    tree = _tree(text)
    spots = list(_spots(tree))
    *way, last = spots[place % len(spots)]
    inner = tree
    for key in way:
        inner = inner[key]
    inner[last] = value
    if is_json:
        return json.dumps(tree)
    return "\n".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in tree.items())
