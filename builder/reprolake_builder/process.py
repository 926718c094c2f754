"""The one place that runs programs: no shell, an environment made for the call, output with a limit."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_SHOWN = 4000
_KEPT = 1 << 20  # bytes


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


def feed(
    argv: Sequence[str], write: Callable[[Callable[[bytes], object]], None], *, env: Mapping[str, str]
) -> Completed:
    """Run a program on what `write` writes to its standard input, and return what it left.

    A program that stops reading has its reasons, which are in what it left. When `write` fails the program is killed.
    Raises FileNotFoundError when the program is absent.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        child = subprocess.Popen(
            list(argv), env=dict(env), stdin=subprocess.PIPE, stdout=stdout, stderr=stderr
        )
        if child.stdin is None:
            raise AssertionError("it was asked for as a pipe")
        try:
            with contextlib.suppress(BrokenPipeError):
                write(child.stdin.write)
                child.stdin.close()
            child.wait()
        finally:
            child.kill()  # before its input is closed: half of what was to be written must not look whole
            child.wait()
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
        stdout.seek(0)
        stderr.seek(0)
        return Completed(tuple(argv), child.returncode, stdout.read(_KEPT), stderr.read(_KEPT))


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
