"""Values from a lock as parts of a Dockerfile: quoted for who reads them, or refused.

A RUN line goes to the shell as it is; in ENV, LABEL, WORKDIR and COPY docker itself reads quotes and `$`. Source: Docker's
documentation, "Dockerfile reference", and the lexer of BuildKit's `frontend/dockerfile/shell`; POSIX, "Shell Command Language",
2.2 "Quoting".
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from reprolake_builder.credentials import without_login
from reprolake_builder.errors import LockError
from reprolake_builder.process import printable

_MOST_AT_ONCE = 40_000  # characters: docker 20.10 takes lines up to 64 KiB, Linux arguments up to 128 KiB
_URL = re.compile(r"https?://[A-Za-z0-9\[\]._:-]+/[A-Za-z0-9:/.,_~%+@=&?#!()-]*", re.ASCII)
_ESCAPED = re.compile(r'(["\\$])')


def quoted(value: str) -> str:
    """Return a value in double quotes, as docker's own instructions read them; what does not print becomes a space."""
    plain = "".join(character if character.isprintable() else " " for character in value)
    return '"' + _ESCAPED.sub(r"\\\1", plain) + '"'


def fitting(value: str, pattern: str, what: str) -> str:
    """Return the value when all of it matches, for places where nothing can be quoted. Raises LockError."""
    if not re.fullmatch(pattern, value, re.ASCII):
        raise LockError(
            f"{printable(value)!r} cannot stand in a Dockerfile as {what}",
            hint="build the image itself: `reprolake build LOCK -o docker-archive:FILE`",
        )
    return value


def address(url: str, what: str) -> str:
    """Return a web address without its login. Raises LockError for one that pip or the shell might read as more than that."""
    return fitting(without_login(url), _URL.pattern, f"the address of {what}")


def runs(commands: Iterable[str]) -> Iterator[str]:
    """Yield RUN instructions, as few as there can be: each is a layer, of which an image has at most 127.

    A command that fails stops the build; none may change what those after it see of the shell.
    """
    for batch in _batches(commands):
        yield "RUN " + " \\\n && ".join(batch)


def words(start: str, values: Iterable[str]) -> str:
    """Return a command whose words after `start` stand on lines of their own."""
    return " \\\n      ".join((start, *(shlex.quote(value) for value in values)))


def written(path: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield commands that add lines to a file (path in the image)."""
    for batch in _batches(lines):
        printed = words(r"printf '%s\n'", batch)
        yield f"{printed} \\\n      >> {shlex.quote(path)}"


def packed(path: str, data: bytes) -> Iterator[str]:
    """Yield commands that write any bytes to a file (path in the image)."""
    text = base64.b64encode(data).decode()
    place = shlex.quote(path)
    yield f"mkdir -p {shlex.quote(str(PurePosixPath(path).parent))}"
    yield f": > {place}"
    # each piece is whole: base64 turns three bytes into four characters
    for start in range(0, len(text), _MOST_AT_ONCE):
        yield f"echo {text[start : start + _MOST_AT_ONCE]} | base64 -d >> {place}"


def _batches(lines: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for line in lines:
        if batch and size + len(line) > _MOST_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line) + 10
    if batch:
        yield batch
