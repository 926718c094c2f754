"""`reprolake export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reprolake.cli.common import output_options, say, with_session

if TYPE_CHECKING:
    from reprolake.pipeline import Session

_FORMATS = (
    "requirements",
    "pylock",
    "conda-lock",
    "explicit",
    "pixi",
    "dockerfile",
    "sbom",
    "cyclonedx",
    "spdx",
)


@click.command(name="export")
@click.argument("what")
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    required=True,
    help="requirements and pylock for pip and uv; conda-lock, explicit and pixi for conda's tools; dockerfile for `docker build`; "
    "cyclonedx (or sbom) and spdx are bills of materials.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write it here. [standard output]",
)
@output_options
@with_session
def command(*, session: Session, what: str, form: str, output: Path | None, as_json: bool) -> None:
    """Write what WHAT pins in the format of another tool.

    WHAT is a lock, an image's id, an OCI layout, an archive for `docker load`, or the link of a repository. Addresses in the
    output are those of this site's configuration.

    \b
    Examples:
      reprolake export reprolake.lock --format pylock -o pylock.toml
      reprolake export reprolake.lock --format conda-lock -o conda-lock.yml
      reprolake export sha256:8614804805ad --format sbom -o crab.cdx.json
    """
    from reprolake.lock_file import write_text
    from reprolake.options import UsageError
    from reprolake.sides import side
    from reprolake_builder.export.formats import FORMATS

    if as_json:
        raise UsageError("--json is for results, and the output of export has a form of its own")
    text = FORMATS["cyclonedx" if form == "sbom" else form](side(what, session).lock, session.tools)
    if output is None:
        say(text)
    else:
        write_text(text.encode(), output)
        say(f"{output}\n")
