"""`reprolake config`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reprolake.cli.common import output_options, show, with_session

if TYPE_CHECKING:
    from reprolake.pipeline import Session


@click.command(name="config")
@output_options
@with_session
def command(*, session: Session, as_json: bool) -> None:
    """Print each setting and where it was said. Logins in addresses are left out; a store that cannot be is told.

    What is said later in this list wins: what this host is configured to, /etc/reprolake/reprolake.toml, the user's
    ~/.config/reprolake/reprolake.toml, the file named with --config or REPROLAKE_CONFIG, REPROLAKE_<SETTING>, flags.

    \b
    Examples:
      reprolake config
      reprolake config --config ./reprolake.toml --json
    """
    from reprolake.describe import setting_lines
    from reprolake.doctor import store_problem
    from reprolake.settings import shown

    settings = shown(session.options.settings)
    show(session, settings, as_json=as_json, text="\n".join(setting_lines(settings)))
    if problem := store_problem(session.tools.store.root):
        session.tools.progress.warn(problem)
