"""`reprolake lock`."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprolake.cli.common import (
    environment_options,
    link_options,
    output_options,
    request_of,
    say,
    with_session,
)
from reprolake.cli.sections import Sectioned

if TYPE_CHECKING:
    from reprolake.pipeline import Session

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


class _Upgraded(click.ParamType[str]):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text as it is, once it can be the name of a package; "" stands for all."""
        if value and not _NAME.fullmatch(value):
            self.fail(
                f"{value!r} is no name of a package: `--upgrade` without a name stands behind LINK",
                param,
                ctx,
            )
        return str(value)


@click.command(name="lock", cls=Sectioned)
@link_options
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the lock here. [standard output]",
)
@click.option(
    "--upgrade",
    "upgrade",
    metavar="[NAME]",
    type=_Upgraded(),
    is_flag=False,
    flag_value="",
    multiple=True,
    help="Of the lock at -o FILE keep nothing, or all but the package NAME, and take what is newest now.",
)
@environment_options
@output_options
@with_session
def command(
    *, session: Session, link: str, output: Path | None, upgrade: tuple[str, ...], as_json: bool, **rest: Any
) -> None:
    """Pin everything that LINK's environment needs: source, Debian packages, Python, wheels.

    A lock that lies at -o FILE already is kept to: only what has to change does.

    \b
    Examples:
      reprolake lock ./my-analysis -o reprolake.lock
      reprolake lock https://example.org/lab/crab.git@v1.2 --as-of 2023-06-01 -o crab.lock
      reprolake lock 10.5281/zenodo.15600127 --require-proof -o palantir.lock
      reprolake lock ./my-analysis --apt libfftw3-dev --no-byte-code -o small.lock
      reprolake lock ./my-analysis -o reprolake.lock --upgrade numpy
      reprolake lock ./my-analysis --extra plot --group docs -o reprolake.lock
    """
    from reprolake.describe import BY_ITS_WORD, as_text, lock_lines
    from reprolake.keeping import lock_again
    from reprolake.lock_file import check_lock_file, write_lock
    from reprolake_builder.documents.base import pretty

    if output is not None:
        check_lock_file(output)
    lock, changes = lock_again(replace(request_of(link, rest), upgrade=upgrade), output, session)
    if output is not None:
        write_lock(lock, output)
        whose = BY_ITS_WORD if os.path.isfile(link) else ""
        session.tools.progress.note(as_text((*lock_lines(lock, whose=whose), *changes)))
        if not as_json:
            say(f"{output}\n")
    if as_json or output is None:
        say(pretty(lock))
