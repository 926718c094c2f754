"""The one place that runs programs: no shell, an environment made for the call, output with a limit."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_SHOWN = 4000
_KEPT = 1 << 20  # bytes
_MOST = 256 << 20  # bytes: what is run here gives lists and short answers
_LARGEST_FILE = 64 << 30  # bytes: more than a whole source may hold
_PIECE = 1 << 16
_GRACE = 5  # seconds
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Completed:
    """What a program left behind."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def tail(self) -> str:
        """The last part of standard error (or output, when there is none) as printable text, without colours."""
        text = (self.stderr or self.stdout).decode("utf-8", "replace").replace("\r\n", "\n").strip()
        return printable(_COLOUR.sub("", text)[-_SHOWN:])


def printable(text: str) -> str:
    """Return `text` without control characters that could drive a terminal; newlines and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def one_line(text: str) -> str:
    """Return `text` in one line, printable."""
    return " ".join(printable(text).split())


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
    pass_fds: Sequence[int] = (),
) -> Completed:
    """Run a program to its end and return what it left; a non-zero exit is for the caller to judge.

    A server that it speaks with may make it talk without end: of standard error the last MiB is kept, and a program that
    prints more than 256 MiB is killed, as is one that writes a file of more than 64 GiB.
    `env` is the whole environment of the program; `timeout` is in seconds; of our open files it inherits
    `pass_fds`.
    Raises FileNotFoundError when the program is absent and subprocess.TimeoutExpired when it takes too long.
    """
    child = subprocess.Popen(
        list(argv),
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=pass_fds,
    )
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended; it is another user's
        soft, hard = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
        most = _LARGEST_FILE if soft == resource.RLIM_INFINITY else min(soft, _LARGEST_FILE)
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (most, hard))
    output, complaints = _Reader(child, child.stdout), _Reader(child, child.stderr, tail=True)
    readers = [threading.Thread(target=reader.read, daemon=True) for reader in (output, complaints)]
    try:
        for reader in readers:
            reader.start()
        writer = threading.Thread(target=_write, args=(child.stdin, stdin or b""), daemon=True)
        writer.start()
        child.wait(timeout)
    finally:
        child.kill()
        child.wait()
    for thread in (*readers, writer):
        thread.join(_GRACE)  # a program may have left another one behind, which holds the pipes open
    if output.too_much:
        return Completed(tuple(argv), child.returncode, b"", b"it printed more than %d MiB" % (_MOST >> 20))
    if child.returncode == -signal.SIGXFSZ:
        said = b"it wrote a file of more than %d MiB" % (_LARGEST_FILE >> 20)
        return Completed(tuple(argv), child.returncode, b"", said)
    return Completed(tuple(argv), child.returncode, bytes(output.kept), bytes(complaints.kept))


class _Reader:
    """Keeps what a program prints: all, and then too much ends it; or the tail, and then the rest is dropped."""

    def __init__(
        self, child: subprocess.Popen[bytes], stream: IO[bytes] | None, *, tail: bool = False
    ) -> None:
        self._child = child
        self._stream = stream
        self._tail = tail
        self.kept = bytearray()
        self.too_much = False

    def read(self) -> None:
        """Read to the end."""
        if self._stream is None:
            raise AssertionError("it was asked for as a pipe")
        with self._stream as stream:
            while piece := os.read(stream.fileno(), _PIECE):
                self.kept += piece
                if self._tail and len(self.kept) > 2 * _KEPT:
                    del self.kept[:-_KEPT]
                elif len(self.kept) > _MOST:
                    self.too_much = True
                    self._child.kill()
                    return


def _write(stream: IO[bytes] | None, data: bytes) -> None:
    if stream is not None:
        with contextlib.suppress(BrokenPipeError), stream:
            stream.write(data)


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
