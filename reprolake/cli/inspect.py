"""`reprolake inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reprolake.cli.common import output_options, show, with_session

if TYPE_CHECKING:
    from reprolake.pipeline import Session


@click.command(name="inspect")
@click.argument("what")
@output_options
@with_session
def command(*, session: Session, what: str, as_json: bool) -> None:
    """Show a lock, an image or a staged result, and check that it is whole.

    WHAT is a lock, a vendored folder, an OCI layout, an archive for `docker load`, a staged result, or the id of an image of the
    store. Exits with 11 when something is not what it was when it was written.

    \b
    Examples:
      reprolake inspect reprolake.lock
      reprolake inspect sha256:8614804805ad
      reprolake inspect staging/k3v9...
    """
    from reprolake.describe import as_text
    from reprolake.inspection import inspect
    from reprolake_builder.process import printable

    found = inspect(what, session)
    show(session, found.document, as_json=as_json, text=printable(as_text(found.lines)))
    if not found.sound:
        raise click.exceptions.Exit(11)
