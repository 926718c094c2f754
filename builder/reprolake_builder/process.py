"""The one place that runs programs: no shell, an environment made for the call, output with a limit."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_SHOWN = 4000


@dataclass(frozen=True, slots=True)
class Completed:
    """What a program left behind."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def tail(self) -> str:
        """The last part of standard error (or output, when there is none) as printable text."""
        text = (self.stderr or self.stdout).decode("utf-8", "replace").replace("\r\n", "\n").strip()
        return printable(text[-_SHOWN:])


def printable(text: str) -> str:
    """Return `text` without control characters that could drive a terminal; newlines and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
) -> Completed:
    """Run a program to its end and return what it left; a non-zero exit is for the caller to judge.

    `env` is the whole environment of the program; `timeout` is in seconds.
    Raises FileNotFoundError when the program is absent and subprocess.TimeoutExpired when it takes too long.
    """
    done = subprocess.run(
        list(argv),
        env=dict(env),
        cwd=cwd,
        input=stdin if stdin is not None else b"",
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return Completed(tuple(argv), done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def converse(argv: Sequence[str], *, env: Mapping[str, str]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Yield standard input and output of a program that runs beside the block and is killed when the block ends.

    For answers too large to hold. Its standard error is dropped: who needs the reason uses `run`.
    Raises FileNotFoundError when the program is absent.
    """
    child = subprocess.Popen(
        list(argv),
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    if child.stdin is None or child.stdout is None:
        raise AssertionError("both were asked for as pipes")
    try:
        yield child.stdin, child.stdout
    finally:
        child.kill()
        child.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        child.wait()
