"""What a person sees on standard error: bars while work lasts, notes, warnings, failures."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from reprolake_builder.errors import ReprolakeError, without_logins
from reprolake_builder.process import printable
from reprolake_builder.progress import Progress, Step

_BAR_AFTER = 8  # units: below that a bar says no more than its label


def style(text: str, *, fg: str, bold: bool = False) -> str:
    """Return the text in a colour, unless NO_COLOR is set (no-color.org); click drops colours where no terminal is."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=fg, bold=bold)


class OutputError(ReprolakeError):
    """The result cannot be written to standard output; what was made or staged is in its place nevertheless."""


class _Quiet:
    def advance(self, amount: int = 1) -> None:
        del amount


class Terminal(Progress):
    """Draws on standard error; `verbosity` below zero shows failures only, above zero also how long each step took."""

    def __init__(self, verbosity: int = 0) -> None:
        self._verbosity = verbosity
        self._tty = sys.stderr.isatty()
        self._said: set[str] = set()

    def draw_no_bars(self) -> None:
        """Show a line for each step from now on, as where no terminal is."""
        self._tty = False

    @contextmanager
    def step(self, label: str, total: int | None = None) -> Iterator[Step]:
        """Show a bar on a terminal, a line elsewhere."""
        started = time.monotonic()
        label = printable(without_logins(label))
        if self._verbosity < 0:
            yield _Quiet()
        elif self._tty and total is not None and total >= _BAR_AFTER:
            with click.progressbar(length=total, label=f"{label:<32}", file=sys.stderr, width=30) as bar:
                yield _Bar(bar.update)
        else:
            if self._tty:
                click.echo(f"{label} …", err=True, nl=False)
            yield _Quiet()
            if self._tty:
                click.echo("\r\x1b[K", err=True, nl=False)
        if self._verbosity > 0 or (self._verbosity == 0 and not self._tty):
            click.echo(f"{label}: {time.monotonic() - started:.1f} s", err=True)

    def note(self, message: str) -> None:
        """Show a fact once."""
        if self._verbosity >= 0 and message not in self._said:
            self._said.add(message)
            click.echo(printable(without_logins(message)), err=True)

    def warn(self, message: str) -> None:
        """Show a warning once."""
        if self._verbosity >= 0 and message not in self._said:
            self._said.add(message)
            click.echo(
                style("warning: ", fg="yellow", bold=True) + printable(without_logins(message)), err=True
            )


class _Bar:
    def __init__(self, update: object) -> None:
        self._update = update
        self._drawing = threading.Lock()

    def advance(self, amount: int = 1) -> None:
        with self._drawing:  # downloads and layers report from threads of their own
            if callable(self._update):
                self._update(amount)


def show_failure(error: ReprolakeError) -> None:
    """Print what failed and the next step."""
    click.echo(style("error: ", fg="red", bold=True) + printable(error.message), err=True)
    if error.hint:
        show_hint(error.hint)


def show_hint(hint: str) -> None:
    """Print the next step."""
    click.echo(style(" hint: ", fg="cyan", bold=True) + printable(hint), err=True)
