"""`reprolake resolve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reprolake.cli.common import link_options, output_options, show, with_session

if TYPE_CHECKING:
    from reprolake.pipeline import Session


@click.command(name="resolve")
@link_options
@output_options
@with_session
def command(*, session: Session, link: str, as_json: bool, **rest: Any) -> None:
    """Show what LINK stands for: an exact commit, or the tree of a local folder.

    \b
    Examples:
      reprolake resolve https://example.org/lab/crab.git@v1.2
      reprolake resolve ./my-analysis --json
    """
    from reprolake.describe import source_lines
    from reprolake.pipeline import Request, pin

    source = pin(Request(link=link, **rest), session).source
    show(session, source, as_json=as_json, text="\n".join(source_lines(source)))
