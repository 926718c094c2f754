"""Lines that are for some platforms only: `# [linux]` behind them, or `sel(linux):` before.

Source: conda-lock's documentation, "Platform specific dependencies"; conda-build's, "Preprocessing selectors".
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

_TRUE = frozenset({"linux", "linux64", "unix", "x86", "x86_64"})
_FALSE = frozenset(
    {"osx", "win", "win32", "win64", "linux32", "arm64", "aarch64", "ppc64le", "s390x", "armv6l", "armv7l"}
)
_COMMENT = re.compile(r"#\s*\[([^\[\]]{1,100})\]\s*$")
_KEY = re.compile(r"sel\(([^()]{1,40})\)")
_WORD = re.compile(r"\s*(\(|\)|[a-z0-9_]+)")
_Read = tuple[bool, list[str]]  # a value, and the words behind it


def drop_reason(line: str) -> str:
    """Return why a line of the file does not count here, "" where it does; a comment that is no selector says nothing."""
    found = _COMMENT.search(line)
    if found is None or _value(found[1]) is not False:
        return ""
    return f"the line is for other platforms: [{found[1].strip()}]"


def selected_key(key: str) -> bool | None:
    """Return whether what stands below `sel(PLATFORM):` counts here, None for another key."""
    found = _KEY.fullmatch(key.strip())
    return _value(found[1]) if found is not None else None


def _value(text: str) -> bool | None:
    """Return the value of a selector, None for what is none: names with `not`, `and`, `or` and brackets."""
    words: list[str] = []
    position = 0
    stripped = text.strip()
    while position < len(stripped):
        found = _WORD.match(stripped, position)
        if found is None:
            return None
        words.append(found[1])
        position = found.end()
    try:
        value, rest = _either(words)
    except (IndexError, ValueError, RecursionError):
        return None
    return None if rest else value


def _either(words: list[str]) -> _Read:
    return _joined("or", operator.or_, _both, words)


def _both(words: list[str]) -> _Read:
    return _joined("and", operator.and_, _single, words)


def _joined(
    word: str, join: Callable[[bool, bool], bool], part: Callable[[list[str]], _Read], words: list[str]
) -> _Read:
    value, rest = part(words)
    while rest and rest[0] == word:
        other, rest = part(rest[1:])
        value = join(value, other)
    return value, rest


def _single(words: list[str]) -> _Read:
    """Return the first value. Raises IndexError or ValueError where there is none."""
    first, rest = words[0], words[1:]
    if first == "not":
        value, rest = _single(rest)
        return not value, rest
    if first == "(":
        value, rest = _either(rest)
        if rest[0] != ")":
            raise ValueError
        return value, rest[1:]
    if first in _TRUE or first in _FALSE:
        return first in _TRUE, rest
    raise ValueError
