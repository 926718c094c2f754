"""`reprolake shell`."""

from __future__ import annotations

import contextlib
import os
import sys
import termios
import tty
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprolake.cli.command_options import command_options, command_request
from reprolake.cli.common import link_options, lock_options, output_options, request_of, with_session
from reprolake.cli.result_options import lifetime_option
from reprolake.cli.run_result import ending_lines, show_result
from reprolake.cli.sections import Sectioned

if TYPE_CHECKING:
    from reprolake.pipeline import Session
    from reprolake_runner.relay import Relay


@click.command(name="shell", cls=Sectioned)
@link_options
@click.argument("argv", metavar="[-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@command_options
@click.option(
    "--stage",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Stage record, changes and all that the terminal showed. [nothing is staged]",
)
@lifetime_option
@lock_options
@output_options
@with_session
def command(*, session: Session, link: str, as_json: bool, **rest: Any) -> None:
    """Open a shell in the sandbox of an image, to look around and to find mistakes.

    Everything is as for `exec`, but for the terminal, and nothing is kept unless --stage says so. The terminal is one of the
    sandbox's own; what the program prints reaches yours as it is. COMMAND stands in for the shell.

    \b
    Examples:
      reprolake shell ./my-analysis
      reprolake shell crab.lock --basket basket.json -- python -i
    """
    from reprolake.command_runs import image_of, run_command, shell_request
    from reprolake.isolation import refuse_early
    from reprolake.options import UsageError
    from reprolake_builder.process import printable

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "`shell` needs a terminal", hint="`reprolake exec LINK -- COMMAND` runs a command without one"
        )
    request = shell_request(command_request(rest), os.environ.get("TERM", ""))
    refuse_early(request.isolation, session.options)
    image = image_of(request_of(link, rest), session)
    with _terminal() as relay:
        record, staged = run_command(replace(request, relay=relay), image, session)
    if staged is not None:
        show_result(staged, session, as_json=as_json)
    if record.status in {"succeeded", "failed"} and record.exit_status != _NOT_THERE:
        return  # how a person's last command went is no failure of the session
    click.echo(printable(record.message), err=True)
    ending_lines(record, session)
    raise click.exceptions.Exit(record.exit_code)


_NOT_THERE = 127


@contextlib.contextmanager
def _terminal() -> Iterator[Relay]:
    """Yield a terminal for the sandbox; the user's passes on every key until the end."""
    from reprolake_runner.relay import Relay

    before = termios.tcgetattr(0)
    relay = Relay(0, 1)
    try:
        tty.setraw(0, termios.TCSADRAIN)  # what was typed ahead is the shell's
        yield relay
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        relay.close()
