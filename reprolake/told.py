"""What cells print while they run, for the user's terminal and files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click

from reprolake.settings import UsageError
from reprolake_builder.process import printable
from reprolake_builder.progress import SILENT, Progress
from reprolake_runner.driver.protocol import Said

_LONGEST = 1 << 15  # characters of a line that are waited for


class Told:
    """Passes on what cells say: to standard error when `logs`, and each stream as it is to its file.

    A file that takes no more is warned of through `progress`, and left alone: the run goes on.
    """

    def __init__(self, files: dict[str, IO[str]], progress: Progress, *, logs: bool) -> None:
        self._files = files
        self._progress = progress
        self._logs = logs
        self._begun = ""

    def __call__(self, said: Said) -> None:
        """Take one piece."""
        if file := self._files.get(said.kind):
            try:
                file.write(said.text)
                file.flush()
            except OSError as error:
                del self._files[said.kind]
                self._progress.warn(
                    f"--{said.kind}-file takes no more ({error.strerror}): the result has what is missing there"
                )
        if self._logs:
            # What a notebook prints must not drive the terminal: only its lines are kept.
            text = self._begun + said.text + ("\n" if said.kind == "shown" else "")
            if len(text) - text.rfind("\n") > _LONGEST:
                text += "\n"
            *lines, self._begun = text.split("\n")
            for line in lines:
                click.echo(printable(line), err=True)

    def end(self) -> None:
        """Show what had no end of line."""
        if self._begun:
            click.echo(printable(self._begun), err=True)


@contextlib.contextmanager
def told(
    *, logs: bool, stdout: Path | None = None, stderr: Path | None = None, progress: Progress = SILENT
) -> Iterator[Told | None]:
    """Yield what takes the outputs, None when nobody wants them; the file "-" is standard output, unless that is a terminal.

    Raises UsageError for a file that cannot be written.
    """
    if not logs and stdout is None and stderr is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        files: dict[str, IO[str]] = {}
        for kind, path in (("stdout", stdout), ("stderr", stderr)):
            if path is not None:
                place = _standard_output(kind) if str(path) == "-" else path
                try:
                    files[kind] = open(place, "w", encoding="utf-8", newline="")  # noqa: SIM115  (closed with the stack)
                    stack.callback(_close, files[kind])
                except OSError as error:
                    raise UsageError(f"--{kind}-file {path} cannot be written: {error.strerror}") from error
        taker = Told(files, progress, logs=logs)
        try:
            yield taker
        finally:
            taker.end()


def _close(file: IO[str]) -> None:
    """Close a file; that it takes no more has been told."""
    with contextlib.suppress(OSError):
        file.close()


def _standard_output(kind: str) -> int:
    """Return a descriptor of standard output that is closed with its file. Raises UsageError."""
    if os.isatty(1):
        raise UsageError(
            f"--{kind}-file - would let the notebook drive your terminal",
            hint="--log-output shows what cells print, and nothing that does",
        )
    return os.dup(1)
