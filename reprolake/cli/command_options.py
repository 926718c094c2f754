"""What `exec` and `shell` take beside the link and the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reprolake.amounts import LIMITS
from reprolake.cli.result_options import add_option, asked_of, basket_option, isolation_options, limit_options
from reprolake.cli.sections import stacked

if TYPE_CHECKING:
    from reprolake.command_runs import CommandRequest

_LIMITS = tuple(limit for limit in LIMITS if not limit.of_cells)

command_options = stacked(
    basket_option,
    add_option,
    click.option(
        "--cwd",
        metavar="DIR",
        default="",
        help="Run it in this folder of the repository. [that of the environment]",
    ),
    limit_options(_LIMITS),
    isolation_options,
    title="Command",
)
"""The options that decide what a command sees and may take."""


def command_request(rest: dict[str, Any]) -> CommandRequest:
    """Take the command and its options out of a command's arguments."""
    from reprolake.command_runs import CommandRequest

    return CommandRequest(argv=rest.pop("argv"), **asked_of(rest, _LIMITS))
