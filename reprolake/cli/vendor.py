"""`reprolake vendor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprolake.cli.common import link_options, lock_options, output_options, request_of, show, with_session
from reprolake.cli.sections import Sectioned

if TYPE_CHECKING:
    from reprolake.pipeline import Session


@click.command(name="vendor", cls=Sectioned)
@link_options
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@lock_options
@output_options
@with_session
def command(*, session: Session, link: str, folder: Path, as_json: bool, **rest: Any) -> None:
    """Bring everything that the lock LINK names into DIR: every archive, the source, what builds from source need.

    A build from DIR needs no network, on this host or another one; what is in DIR is taken only if it is what the lock says. LINK
    may also be a link that is locked for this.

    \b
    Examples:
      reprolake vendor reprolake.lock ./crab-vendored
      reprolake build ./crab-vendored
    """
    from reprolake.pipeline import obtain_lock
    from reprolake_builder.vendor import vendor

    obtained = obtain_lock(request_of(link, rest), session)
    brought = vendor(obtained.lock, obtained.tree, folder, session.tools)
    session.tools.progress.note(
        f"{brought.archives} archives and {brought.commits} commits, {brought.size / 1e6:.0f} MB"
    )
    show(session, brought, as_json=as_json, text=brought.folder)
