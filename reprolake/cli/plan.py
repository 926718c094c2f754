"""`reprolake plan`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from reprolake.cli.common import link_options, lock_options, output_options, request_of, show, with_session
from reprolake.cli.run_options import chosen_notebook, run_options, run_request
from reprolake.cli.sections import Sectioned

if TYPE_CHECKING:
    from reprolake.pipeline import Session


@click.command(name="plan", cls=Sectioned)
@link_options
@run_options
@lock_options
@output_options
@with_session
def command(*, session: Session, link: str, as_json: bool, **rest: Any) -> None:
    """Show what `run` would do: source, environment, parameters, inputs.

    The environment is locked as `run` does it, and what must be built for that (the repository's own package, packages that
    come as source only) is built in the sandbox. The image is not built, the notebook not executed.

    \b
    Example:
      reprolake plan ./my-analysis spectrum.ipynb --basket basket.json --map irf='*irf*'
    """
    from reprolake.describe import as_text, plan_lines
    from reprolake.pipeline import obtain_lock, pin
    from reprolake.runs import look, plan_run
    from reprolake_builder.process import printable

    request = run_request(rest)
    asked = request_of(link, rest)
    pinned = pin(asked, session)
    request = replace(request, notebook=chosen_notebook(request.notebook, link, pinned.notebook))
    obtained = obtain_lock(asked, session, pinned=pinned.source, look=look(request, pinned.source))
    found = plan_run(request, obtained, session)
    show(session, found, as_json=as_json, text=printable(as_text(plan_lines(found))))
