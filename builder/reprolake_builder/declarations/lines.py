"""The small files of one thing a line: runtime.txt and .python-version (a Python), apt.txt (Debian packages); scripts' first lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from reprolake_builder.declarations.heard import Given, Heard
from reprolake_builder.documents.environment import Asked, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.process import printable

_NUMBERS = r"([0-9]{1,4}(?:\.[0-9]{1,4}){0,2})"
_RUNTIME = re.compile(rf"python-?{_NUMBERS}")
_VERSION = re.compile(rf"(?:cpython[@-])?{_NUMBERS}")
_LONGEST_LINE = 4096  # bytes
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")


def read_runtime(given: Given, path: str) -> Heard:
    """Return the Python that runtime.txt names: `python-3.11` or `python-3.11.4`. Raises DetectError for other words.

    Source: repo2docker's documentation, "runtime.txt - Specifying runtimes".
    """
    lines = list(_lines(given.read(path) or ""))
    if not lines:
        return Heard()
    number, text = lines[0]
    if text.startswith("r-"):
        return Heard(unheard=(UnheardFile(path=path, reason="R comes in a later version", matters=True),))
    found = _RUNTIME.fullmatch(text)
    if found is None or len(lines) > 1:
        raise DetectError(
            f"{path}:{number}: {printable(text)[:80]!r} names no Python",
            hint="write one line like python-3.11",
        )
    return Heard(files=(path,), python=(Asked(text=series(found[1]), origin=f"{path}:{number}"),))


def read_python_version(given: Given, path: str) -> Heard:
    """Return the Python that .python-version names first; names that are no version of CPython are not understood.

    Source: pyenv's README, "Choosing the Python version"; uv's documentation, "Python version files".
    """
    lines = list(_lines(given.read(path) or ""))
    if not lines:
        return Heard()
    number, text = lines[0]
    found = _VERSION.fullmatch(text)
    if found is None:
        reason = f"it names {printable(text)[:60]!r}, which is no version of CPython like 3.11 or 3.11.4"
        return Heard(unheard=(UnheardFile(path=path, reason=reason, matters=True),))
    others = tuple(
        UnheardFile(path=f"{path}:{n}", reason="only the first version counts", matters=False)
        for n, _ in lines[1:]
    )
    asked = Asked(text=series(found[1]), origin=f"{path}:{number}")
    return Heard(files=(path,), unheard=others, python=(asked,))


def read_apt(given: Given, path: str) -> Heard:
    """Return the Debian packages that apt.txt names, one a line. Raises DetectError for a line that is no package's name.

    Source: Debian policy, 5.6.7 "Package": two characters at least of a-z, 0-9, plus, minus and full stop.
    """
    text = given.read(path)
    if text is None:
        return Heard()
    asked = []
    for number, line in _lines(text):
        if not _PACKAGE.fullmatch(line):
            raise DetectError(
                f"{path}:{number}: {printable(line)[:80]!r} is no name of a Debian package",
                hint="write one name a line; versions and architectures cannot be asked for in this version",
            )
        asked.append(Asked(text=line, origin=f"{path}:{number}"))
    return Heard(files=(path,), apt=tuple(asked))


def read_script(given: Given, path: str) -> str:
    """Return the path of a script that can be started, "" when it is not there or ignored.

    Raises DetectError for one with line ends of Windows: its first line then names a program that is nowhere.
    """
    found = given.tree.on_disk(path) if given.has(path) else None
    if found is None:
        return ""
    with found.open("rb") as stream:
        first = stream.readline(_LONGEST_LINE)
    if first.endswith(b"\r\n"):
        raise DetectError(
            f"{path}:1 ends as lines of Windows do, and so what it names is not found",
            hint=f"save it with the line ends of Unix (sed -i 's/\\r$//' {shlex.quote(path)}), or leave it away: --ignore {path}",
        )
    return path


def series(version: str) -> str:
    """Return a specifier of Pythons: 3.11 means any 3.11.x, 3.11.4 means itself."""
    return f"=={version}" if version.count(".") == 2 else f"=={version}.*"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if content := re.sub(r"(^|\s)#.*$", "", line).strip():
            yield number, content
