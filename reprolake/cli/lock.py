"""`reprolake lock`."""

from __future__ import annotations

import os
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
      reprolake lock 10.5281/zenodo.15600127 --require-proof -o palantir.lock
      reprolake lock ./my-analysis --apt libfftw3-dev --no-byte-code -o small.lock
    """
    from reprolake.describe import BY_ITS_WORD, as_text, lock_lines
    from reprolake.pipeline import check_lock_file, obtain_lock, write_lock
    from reprolake_builder.documents.base import pretty

    if output is not None:
        check_lock_file(output)
    lock = obtain_lock(request_of(link, rest), session, fresh=True).lock
    if output is not None:
        write_lock(lock, output)
        whose = BY_ITS_WORD if os.path.isfile(link) else ""
        session.tools.progress.note(as_text(lock_lines(lock, whose=whose)))
        if not as_json:
            say(f"{output}\n")
    if as_json or output is None:
        say(pretty(lock))
