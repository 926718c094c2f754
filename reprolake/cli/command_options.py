"""What `exec` and `shell` take beside the link and the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reprolake.amounts import LIMITS
from reprolake.cli.common import stacked
from reprolake.cli.result_options import (
    add_option,
    basket_option,
    gpu_option,
    lifetime_of,
    limit_options,
    network_option,
    root_option,
    sandbox_option,
    weaker_option,
)

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
    *limit_options(_LIMITS),
    weaker_option,
    root_option,
    sandbox_option,
    network_option,
    gpu_option,
)
"""The options that decide what a command sees and may take."""


def command_request(rest: dict[str, Any]) -> CommandRequest:
    """Take the command and its options out of a command's arguments."""
    from reprolake.command_runs import CommandRequest
    from reprolake.isolation import Isolation

    asked = {limit.setting: rest.pop(limit.setting) for limit in _LIMITS if limit.flag}
    names = ("argv", "basket", "add", "stage", "allow_weaker", "cwd")
    return CommandRequest(
        isolation=Isolation(
            rest.pop("sandbox") or "", rest.pop("gpus"), rest.pop("network"), rest.pop("root")
        ),
        lifetime=lifetime_of(rest.pop("lifetime")),
        limits={name: amount for name, amount in asked.items() if amount is not None},
        **{name: rest.pop(name) for name in names},
    )
