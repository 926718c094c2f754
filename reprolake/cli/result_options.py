"""What all commands take that run something: data, limits, and where the result goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from reprolake.amounts import LimitSetting
from reprolake.cli.common import check_network
from reprolake.cli.sections import F, stacked
from reprolake_builder.denied import denied
from reprolake_builder.process import printable
from reprolake_builder.sandboxes.names import NAMES

_FILE = click.Path(path_type=Path)
_METAVARS = {"bytes": "SIZE", "seconds": "SECONDS", "number": "N", "processors": "N"}


class _Amount(click.ParamType[str]):
    def __init__(self, limit: LimitSetting) -> None:
        self.name = limit.unit
        self._limit = limit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text as it is, once it is known to be an amount."""
        try:
            self._limit.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


def _check_gpus(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if value and value != "all" and not (value.isascii() and value.isdigit() and int(value)):
        raise click.BadParameter(f"{value!r} is neither all nor a number of them", ctx, param)
    return value


def _check_files(ctx: click.Context, param: click.Parameter, value: tuple[Path, ...]) -> tuple[Path, ...]:
    """Refuse at once what could only be missed when the image is there."""
    for file in value:
        if not os.path.isfile(file):  # a name may be too long to ask
            what = denied(file) or ("it is no file" if os.path.exists(file) else "there is no such file")
            raise click.BadParameter(f"{printable(str(file))}: {what}", ctx, param)
    return value


basket_option = click.option(
    "--basket", metavar="FILE", type=_FILE, help="JSON list of the data to use, with file: URLs."
)
add_option = click.option(
    "--add",
    metavar="FILE",
    multiple=True,
    type=_FILE,
    callback=_check_files,
    help="Bring a file of yours along, into the working folder.",
)
stage_option = click.option(
    "--stage",
    metavar="DIR",
    type=_FILE,
    default=Path("staging"),
    show_default=True,
    help="Where the result is staged.",
)
lifetime_option = click.option(
    "--lifetime",
    metavar="TIME",
    default="30d",
    show_default=True,
    help="How long it is to be kept: 12h, 30d, 4w or never.",
)
_sandbox_option = click.option(
    "--sandbox",
    type=click.Choice(NAMES),
    help="What isolates it. [that of the settings: auto, the first that works here]",
)
_root_option = click.option(
    "--root",
    metavar="PATH",
    type=click.Path(exists=True, path_type=Path),
    help="Run in these files in place of the image's own: a folder, also on CVMFS, a SIF or a squashfs.",
)
_gpu_option = click.option(
    "--gpu",
    "gpus",
    metavar="all|N",
    callback=_check_gpus,
    default="",
    help="Give it the host's graphics processors. [none]",
)
_network_option = click.option(
    "--network",
    metavar="NET",
    callback=check_network,
    default="",
    help="What it may reach: none, all, or allow=HOST[:PORT],... (and *.example.org). [that of the settings: none]",
)
_weaker_option = click.option(
    "--allow-weaker",
    is_flag=True,
    help="Go on when this host cannot hold a limit as promised; the record says so.",
)


isolation_options = stacked(_root_option, _sandbox_option, _network_option, _gpu_option, title="Isolation")
"""What isolates a run, and what it may reach."""


def limit_options(limits: Sequence[LimitSetting]) -> Callable[[F], F]:
    """Return an option for each limit that has a flag, and what is to be done when one cannot be held."""
    return stacked(
        *(
            click.option(
                limit.flag, limit.setting, metavar=_METAVARS[limit.unit], type=_Amount(limit), help=limit.help
            )
            for limit in limits
            if limit.flag
        ),
        _weaker_option,
        title="Limits",
    )


def asked_of(rest: dict[str, Any], limits: Sequence[LimitSetting]) -> dict[str, Any]:
    """Take what all runs are asked out of a command's arguments: fields of running.Asked, and `stage`. Raises UsageError."""
    from reprolake.isolation import Isolation

    amounts = {limit.setting: rest.pop(limit.setting) for limit in limits if limit.flag}
    return {
        "lifetime": _lifetime_of(rest.pop("lifetime")),
        "limits": {name: amount for name, amount in amounts.items() if amount is not None},
        "isolation": Isolation(
            rest.pop("sandbox") or "", rest.pop("gpus"), rest.pop("network"), rest.pop("root")
        ),
        **{name: rest.pop(name) for name in ("basket", "stage", "allow_weaker", "cwd", "add")},
    }


def _lifetime_of(text: str) -> timedelta | None:
    """Return how long a result is kept. Raises UsageError."""
    from reprolake.options import UsageError
    from reprolake_runner.staged import parse_lifetime

    try:
        return parse_lifetime(text)
    except ValueError as error:
        raise UsageError(f"--lifetime: {error}") from error
