"""`reprolake run`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from reprolake.cli.common import link_options, lock_options, output_options, request_of, show, with_session
from reprolake.cli.papermill_options import outputs_told, papermill_options
from reprolake.cli.run_options import chosen_notebook, run_options, run_request
from reprolake.cli.run_result import show_result
from reprolake.cli.sections import Sectioned

if TYPE_CHECKING:
    from reprolake.pipeline import Session


@click.command(name="run", cls=Sectioned)
@link_options
@run_options
@papermill_options
@lock_options
@output_options
@with_session
def command(*, session: Session, link: str, as_json: bool, **rest: Any) -> None:
    """Run NOTEBOOK of LINK on your data, in a sandbox, and stage the result.

    NOTEBOOK is a path inside the repository; a link that names a notebook itself needs none. The result is staged even when the notebook fails; the exit code tells.

    \b
    Examples:
      reprolake run ./my-analysis spectrum.ipynb -p bins 20
      reprolake run https://example.org/lab/crab.git@v1.2 lightcurve.ipynb --basket basket.json
      reprolake run https://github.com/lab/crab/blob/v1.2/lightcurve.ipynb
      reprolake run crab.lock lightcurve.ipynb --basket basket.json --map irf='*irf*' --stage /data/results
    """
    from reprolake.isolation import refuse_early
    from reprolake.pipeline import obtain_lock, pin
    from reprolake.runs import look, prepare_only, run_notebook

    request = run_request(rest)
    refuse_early(request.isolation, session.options)
    asked = request_of(link, rest)
    pinned = pin(asked, session)
    request = replace(request, notebook=chosen_notebook(request.notebook, link, pinned.notebook))
    obtained = obtain_lock(asked, session, pinned=pinned.source, look=look(request, pinned.source))
    session.tools.progress.note(f"environment: {obtained.origin}")
    request = replace(request, report_mode=rest["report_mode"])
    if rest["prepare_only"]:
        made = prepare_only(request, obtained, session)
        show(session, made, as_json=as_json, text=f"notebook {made.notebook}")
        return
    with outputs_told(rest, session) as taker:
        staged = run_notebook(replace(request, told=taker), obtained, session)
    show_result(staged, session, as_json=as_json)
