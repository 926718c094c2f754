"""The command line: one thin function per command; a command's module is imported when it is called."""

from __future__ import annotations

import difflib
import importlib
import os
import signal
import traceback
from types import FrameType
from typing import NoReturn

import click

from reprolake_builder.errors import TEMPORARY, ReprolakeError, without_logins

COMMANDS = {
    "run": "Run a notebook of a repository on your data, in a sandbox; stage the result.",
    "exec": "Run any program of an image on your data, in a sandbox; stage the result.",
    "shell": "Open a shell in the sandbox of an image.",
    "logs": "Show what happens in a run, or happened; follow it.",
    "plan": "Show what `run` would do, without doing it.",
    "build": "Build the image of a repository or lock.",
    "lock": "Pin everything that a repository's environment needs.",
    "resolve": "Show what a link stands for: an exact commit or tree.",
    "inspect": "Show a lock, an image or a staged result.",
    "diff": "Show what changed between two locks or images.",
    "verify": "Build an image once more and compare it to the last byte.",
    "vendor": "Bring everything that a lock names into a folder, to build from without network.",
    "export": "Write a lock in the format of another tool, or as a bill of materials.",
    "cache": "Show what the store holds; remove what is not wanted any more.",
    "config": "Print each setting and where it was said.",
    "doctor": "Show what works on this host, what is missing, and the remedy.",
}
STOPPED = 143


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"reprolake.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command when there is none of that name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            told = f"Did you mean {near[0]!r}?" if near else f"Commands are {', '.join(COMMANDS)}."
            ctx.fail(f"No such command {args[0]!r}. {told}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="reprolake", message="%(prog)s %(version)s")
def cli() -> None:
    """A link and a notebook go in; a pinned image, a sandboxed run and a staged result come out.

    \b
    Example:
      reprolake run https://example.org/lab/crab.git@v1.2 lightcurve.ipynb --basket basket.json -p bins 20
    """


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    from reprolake.terminal import OutputError, show_failure

    _stop_in_order()
    try:
        # click hands the code of a command that exited back as the value; our commands return nothing else.
        return cli.main(args=arguments, prog_name="reprolake", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return STOPPED
    except OutputError as error:
        show_failure(error)
        _drop_output()
        return TEMPORARY
    except ReprolakeError as error:
        show_failure(error)
        return error.exit_status
    except SystemExit:
        # click's answer to a broken pipe. The reader of our output is gone: nobody is left to be told.
        _drop_output()
        return STOPPED
    except Exception:  # noqa: BLE001 - the last resort, which owns up to it
        from reprolake_builder.process import printable

        # What failed may be text of a stranger, or hold a login.
        click.echo(printable(without_logins(traceback.format_exc())), err=True, nl=False)
        click.echo(
            "error: this is a mistake in Reprolake itself; please report it with the lines above", err=True
        )
        return 70


def _drop_output() -> None:
    """Send what is still to be written nowhere, so that the end of the process does not fail on it once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _stop_in_order() -> None:
    """Let the signals that end a process end it as Ctrl-C does: unfinished work is removed, the terminal left as it was."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is signal.SIG_DFL:  # nohup has the second one ignored
            signal.signal(ending, _stop)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt
