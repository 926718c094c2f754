"""`reprolake verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reprolake.cli.common import output_options, show, source_dir_option, with_session

if TYPE_CHECKING:
    from pathlib import Path

    from reprolake.pipeline import Session


@click.command(name="verify")
@click.argument("what")
@source_dir_option
@output_options
@with_session
def command(*, session: Session, what: str, source_dir: Path | None, as_json: bool) -> None:
    """Build WHAT once more from nothing but archives, and compare it to the last byte.

    WHAT is a lock, an image's id, an OCI layout, an archive for `docker load`, or the link of a repository. What was built from
    source is built again. Exits with 3 when something differs, and names the first layer and file that does.

    \b
    Examples:
      reprolake verify reprolake.lock
      reprolake verify crab.tar --source-dir ./crab
    """
    from reprolake.verifying import verify

    verdict = verify(what, session, source_dir=source_dir)
    if verdict.difference:
        text = (
            f"DIFFERS: {verdict.difference}\nimage         {verdict.image}\nbuilt again   {verdict.rebuilt}"
        )
    else:
        text = f"the same: {verdict.image}, built again from {verdict.archives} archives in {verdict.seconds:.1f} s"
    show(session, verdict, as_json=as_json, text=text)
    if verdict.difference:
        raise click.exceptions.Exit(3)
