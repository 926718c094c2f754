"""`reprolake lock`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprolake.cli.common import link_options, lock_options, output_options, request_of, say, with_session

if TYPE_CHECKING:
    from reprolake.pipeline import Session


@click.command(name="lock")
@link_options
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the lock here. [standard output]",
)
@lock_options
@output_options
@with_session
def command(*, session: Session, link: str, output: Path | None, as_json: bool, **rest: Any) -> None:
    """Pin everything that LINK's environment needs: source, Debian packages, Python, wheels.

    \b
    Examples:
      reprolake lock ./my-analysis -o reprolake.lock
      reprolake lock https://example.org/lab/crab.git@v1.2 --as-of 2023-06-01 -o crab.lock
    """
    from reprolake.describe import as_text, lock_lines
    from reprolake.pipeline import obtain_lock, write_lock
    from reprolake_builder.documents.base import pretty

    lock = obtain_lock(request_of(link, rest), session, fresh=True).lock
    if output is not None:
        write_lock(lock, output)
        session.tools.progress.note(as_text(lock_lines(lock)))
        if not as_json:
            say(f"{output}\n")
    if as_json or output is None:
        say(pretty(lock))
