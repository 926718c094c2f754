"""`reprolake exec`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from reprolake.cli.command_options import command_options, command_request
from reprolake.cli.common import link_options, lock_options, output_options, request_of, with_session
from reprolake.cli.result_options import lifetime_option, stage_option
from reprolake.cli.run_result import show_result
from reprolake.cli.sections import Sectioned

if TYPE_CHECKING:
    from reprolake.pipeline import Session


@click.command(name="exec", cls=Sectioned)
@link_options
@click.argument("argv", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@command_options
@stage_option
@lifetime_option
@click.option(
    "--log-output/--no-log-output", default=True, help="Show what it prints on standard error. [shown]"
)
@lock_options
@output_options
@with_session
def command(*, session: Session, link: str, as_json: bool, log_output: bool, **rest: Any) -> None:
    """Run any program of an image on your data, in a sandbox, and stage the result.

    LINK is a link, a lock, or the id of an image that was built before. The command starts in the repository, a private copy;
    the basket is at /data/basket.json ($REPROLAKE_BASKET), what is written to $REPROLAKE_OUTPUT or changed in the repository
    is staged, and so is what it prints. It has no standard input, and no network but what --network allows. What it leaves running is ended with it.
    The exit code is 0, or 1 when the command's own was another one, which the record holds.

    \b
    Examples:
      reprolake exec ./my-analysis -- python fit.py --bins 20
      reprolake exec crab.lock --basket basket.json --memory 4G -- bash pipeline.sh
      reprolake exec sha256:80b1be482448 -- root -b -q macro.C
    """
    from reprolake.command_runs import image_of, run_command
    from reprolake.isolation import refuse_early
    from reprolake.told import told

    request = command_request(rest)
    refuse_early(request.isolation, session.options)
    image = image_of(request_of(link, rest), session)
    with told(logs=log_output) as taker:
        record, staged = run_command(replace(request, told=taker), image, session)
    assert staged is not None, record.id
    show_result(staged, session, as_json=as_json)
