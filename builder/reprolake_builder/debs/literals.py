"""Shell commands with their variables filled in, as far as these are literal: constants, and the words of a `for` loop."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

_FOR = re.compile(r"for\s+(\w+)\s+in\s+(.*)")
_LOOP = re.compile(r"(?:for|while|until)\s")
_ASSIGNMENT = re.compile(r"""(?:export\s+|local\s+)?(\w+)=("[^"`]*"|'[^']*'|[^\s"'`;|&()]*)""")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_UNKNOWN = re.compile(r"[$`*?\[]")
_MOST = 500  # readings of one command


def readings(commands: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each command with the forms in which it runs, one for each turn of the loops around it.

    Variables that are not literal stay as they are. A loop over something else has no turns that could be told.
    """
    constants = _constants(commands)
    loops: list[tuple[str, tuple[str, ...]]] = []
    for command in commands:
        if _LOOP.match(command):
            loops.append(_turns(command, constants))
        turns = _product(loops)
        filled = (_filled(command, {**constants, **turn}) for turn in turns)
        yield command, tuple(dict.fromkeys(filled))
        if command.split()[0] == "done" and loops:
            loops.pop()


def _constants(commands: Sequence[str]) -> dict[str, str]:
    """Return the variables that are given one value only, and a literal one."""
    found: dict[str, set[str]] = {}
    known: dict[str, str] = {}
    for command in commands:
        if match := _ASSIGNMENT.match(command):
            value = match[2] if match.end() == len(command) else "$"
            value = value[1:-1] if value[:1] in {'"', "'"} else _filled(value, known)
            found.setdefault(match[1], set()).add(value)
            known[match[1]] = value
        elif loop := _FOR.match(command):
            found.setdefault(loop[1], set()).add("$")
    single = {name: next(iter(values)) for name, values in found.items() if len(values) == 1}
    return {name: value for name, value in single.items() if not _UNKNOWN.search(value)}


def _turns(command: str, constants: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return a loop's variable and the words that it takes; none where they cannot be told."""
    match = _FOR.fullmatch(command)
    if match is None:
        return "", ()
    try:
        words = shlex.split(_filled(match[2], constants))
    except ValueError:
        return "", ()
    return match[1], () if any(_UNKNOWN.search(word) for word in words) else tuple(words)


def _product(loops: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[dict[str, str], ...]:
    total = 1
    for _, words in loops:
        total *= len(words)
    if total > _MOST:
        return ()
    names = [name for name, _ in loops]
    return tuple(dict(zip(names, turn, strict=True)) for turn in itertools.product(*(w for _, w in loops)))


def _filled(command: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: values.get(found[1] or found[2], found[0]), command)
