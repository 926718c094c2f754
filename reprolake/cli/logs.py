"""`reprolake logs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reprolake.cli.common import output_options, say, with_session

if TYPE_CHECKING:
    from reprolake.pipeline import Session


@click.command(name="logs")
@click.argument("run", required=False, default="")
@click.option("-f", "--follow", is_flag=True, help="Go on as long as the run does.")
@click.option(
    "--stage",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=Path("staging"),
    show_default=True,
    help="Where results are staged.",
)
@output_options
@with_session
def command(*, session: Session, run: str, follow: bool, stage: Path, as_json: bool) -> None:
    """Show what happens, or happened, in a run: cells, what they take, and how it ends.

    RUN is the id that `reprolake run` tells when it begins, or the folder of a staged result; without it, the only run that
    goes on. With --json the events are printed as they are in the log, one per line.

    \b
    Examples:
      reprolake logs -f
      reprolake logs -f 3zv8k2m5t0q7w9x4c6b1n8d5hf
      reprolake logs staging/3zv8k2m5t0q7w9x4c6b1n8d5hf
    """
    from reprolake.follow import Words, find_log, lines

    log = find_log(run, session.tools.store.root, stage)
    words = Words()
    for line in lines(log, follow=follow):
        told = words.of(line)
        if as_json:
            say(line)
        elif told:
            say(f"{told}\n")
    if follow and not words.is_over:
        session.tools.progress.warn("the log ends here: the process that kept it is gone")
