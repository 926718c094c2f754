"""`reprolake diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reprolake.cli.common import output_options, show, with_session

if TYPE_CHECKING:
    from reprolake.pipeline import Session


@click.command(name="diff")
@click.argument("before")
@click.argument("after")
@click.option("--files", is_flag=True, help="Compare every file of two images of the store, too.")
@click.option(
    "--exit-code", is_flag=True, help="Exit with 1 when there is a difference, as `diff` and `git diff` do."
)
@output_options
@with_session
def command(
    *, session: Session, before: str, after: str, files: bool, exit_code: bool, as_json: bool
) -> None:
    """Show what changed from BEFORE to AFTER: source, settings, every package.

    Each is a lock, an image's id, an OCI layout, an archive for `docker load`, or the link of a repository.

    \b
    Examples:
      reprolake diff old.lock reprolake.lock
      reprolake diff sha256:8614804805ad sha256:02c5 --files
      reprolake diff crab.tar reprolake.lock --exit-code
    """
    from reprolake.changes import change_lines, differences

    found = differences(before, after, session, files=files)
    show(session, found, as_json=as_json, text="\n".join(change_lines(found)))
    if exit_code and (found.changes or found.files):
        raise click.exceptions.Exit(1)
