"""papermill's options that are not about parameters: each with its meaning here, or with what stands in its place."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprolake.cli.sections import stacked

if TYPE_CHECKING:
    from reprolake.pipeline import Session
    from reprolake.told import Told

_FILE = click.Path(path_type=Path, dir_okay=False)
_SAVED = "the notebook is saved seldom, and always at its end; the event log (`reprolake logs`) knows every cell at once"
_LEVELS = ("NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def _no_engine(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value not in {None, "nbclient", "reprolake"}:
        raise click.BadParameter(
            f"{value!r} is an engine of papermill; Reprolake brings its own. `papermill --engine reprolake` uses it from papermill.",
            ctx,
            param,
        )


def _no_help(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: FBT001  (click's signature)
    del param
    if value:
        ctx.fail(
            "`reprolake plan LINK NOTEBOOK` shows the parameters of a notebook, with types and defaults."
        )


_preparing = stacked(
    click.option(
        "--prepare-only/--prepare-execute",
        default=False,
        help="Write the notebook with its parameters, and do not run it.",
    ),
    click.option("--report-mode/--no-report-mode", default=False, help="Hide code in the executed notebook."),
    title="Notebook and parameters",
)
_printing = stacked(
    click.option(
        "--log-output/--no-log-output", default=False, help="Show what cells print on standard error."
    ),
    click.option(
        "--stdout-file",
        metavar="FILE",
        type=_FILE,
        help="Write what cells print to standard output here, too.",
    ),
    click.option(
        "--stderr-file",
        metavar="FILE",
        type=_FILE,
        help="Write what cells print to standard error here, too.",
    ),
    click.option("--progress-bar/--no-progress-bar", default=None, help="Draw bars. [unless --log-output]"),
    title="What cells print",
)
_understood = stacked(
    click.option(
        "--engine",
        metavar="NAME",
        callback=_no_engine,
        expose_value=False,
        help="There is one engine here.",
    ),
    click.option(
        "--autosave-cell-every",
        metavar="SECONDS",
        type=int,
        help="It is saved when that costs little, anyway.",
    ),
    click.option(
        "--request-save-on-cell-execute/--no-request-save-on-cell-execute",
        default=None,
        help="The event log has each cell, anyway.",
    ),
    click.option(
        "--log-level", type=click.Choice(_LEVELS), default=None, help="Here -v says more, and -q less."
    ),
    click.option(
        "--help-notebook",
        is_flag=True,
        callback=_no_help,
        expose_value=False,
        help="`reprolake plan` shows the parameters here.",
    ),
    title="For those who come from papermill",
)
papermill_options = stacked(_preparing, _printing, _understood)
"""For `run`."""


def outputs_told(rest: dict[str, Any], session: Session) -> AbstractContextManager[Told | None]:
    """Take the options about showing and saving out of a command's arguments, and say which mean nothing here."""
    from reprolake.terminal import Terminal
    from reprolake.told import told

    progress = session.tools.progress
    if (rest.pop("autosave_cell_every"), rest.pop("request_save_on_cell_execute")) != (None, None):
        progress.note(f"--autosave-cell-every and --request-save-on-cell-execute change nothing: {_SAVED}")
    if rest.pop("log_level") is not None:
        progress.note("--log-level changes nothing: -v says more, -q less")
    logs, bars = rest.pop("log_output"), rest.pop("progress_bar")
    if isinstance(progress, Terminal) and (bars is False or (logs and bars is None)):
        progress.draw_no_bars()
    files = {name: rest.pop(f"{name}_file") for name in ("stdout", "stderr")}
    return told(logs=logs, progress=progress, **files)
