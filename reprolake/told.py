"""What cells print while they run, for the user's terminal and files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import click

from reprolake.settings import UsageError
from reprolake_builder.process import printable
from reprolake_runner.driver.protocol import Said

_LONGEST = 1 << 15  # characters of a line that are waited for


class Told:
    """Passes on what cells say: to standard error when `logs`, and each stream as it is to its file."""

    def __init__(self, files: Mapping[str, IO[str]], *, logs: bool) -> None:
        self._files = files
        self._logs = logs
        self._begun = ""

    def __call__(self, said: Said) -> None:
        """Take one piece."""
        if file := self._files.get(said.kind):
            file.write(said.text)
            file.flush()
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
def told(*, logs: bool, stdout: Path | None, stderr: Path | None) -> Iterator[Told | None]:
    """Yield what takes the outputs, None when nobody wants them; the file "-" is standard output, unless that is a terminal.

    Raises UsageError for a file that cannot be written.
    """
    if not logs and stdout is None and stderr is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        files = {}
        for kind, path in (("stdout", stdout), ("stderr", stderr)):
            if path is not None:
                place = _standard_output(kind) if str(path) == "-" else path
                try:
                    files[kind] = stack.enter_context(open(place, "w", encoding="utf-8", newline=""))
                except OSError as error:
                    raise UsageError(f"--{kind}-file {path} cannot be written: {error.strerror}") from error
        taker = Told(files, logs=logs)
        try:
            yield taker
        finally:
            taker.end()


def _standard_output(kind: str) -> int:
    """Return a descriptor of standard output that is closed with its file. Raises UsageError."""
    if os.isatty(1):
        raise UsageError(
            f"--{kind}-file - would let the notebook drive your terminal",
            hint="--log-output shows what cells print, and nothing that does",
        )
    return os.dup(1)
