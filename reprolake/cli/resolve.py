"""`reprolake resolve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprolake.cli.common import many_links_options, output_options, say, show, with_session

if TYPE_CHECKING:
    from reprolake.pipeline import Request, Session


@click.command(name="resolve")
@many_links_options
@click.option(
    "--from",
    "lists",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Resolve the links in FILE, too: one a line; - is standard input.",
)
@output_options
@with_session
def command(
    *, session: Session, links: tuple[str, ...], lists: tuple[Path, ...], as_json: bool, **rest: Any
) -> None:
    """Show what each LINK stands for: an exact commit, the files of a record, or the tree of a local folder.

    Several links are resolved side by side and told in their order, with --json a line each; one that fails does not stop
    the others, and the exit code is that of the first that failed.

    \b
    Examples:
      reprolake resolve https://example.org/lab/crab.git@v1.2
      reprolake resolve https://gitlab.com/lab/crab/-/blob/main/fit/lightcurve.ipynb
      reprolake resolve 10.5281/zenodo.15600127 --require-proof
      reprolake resolve https://example.org/crab.zip --sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      reprolake resolve ./my-analysis --json
      reprolake resolve --from links.txt --json > pins.jsonl
    """
    from reprolake.describe import as_text, resolved_lines
    from reprolake.options import UsageError
    from reprolake.pipeline import Request, pin
    from reprolake.resolving import read_links

    if not links and not lists:
        raise UsageError("no link is given", hint="give one or more, or a file with links: --from FILE")
    if len(links) == 1 and not lists:
        found = pin(Request(link=links[0], **rest), session)
        text = as_text(resolved_lines(found.source, found.notebook))
        show(session, found.source, as_json=as_json, text=text)
        return
    if rest["ref"] or rest["subdir"] or rest["sha256"]:
        raise UsageError(
            "--ref, --subdir and --sha256 are for one link",
            hint="write LINK@REF, #subdirectory=FOLDER and #sha256=DIGITS",
        )
    every = (*links, *(link for path in lists for link in read_links(path)))
    _resolve_all(every, Request(link="", **rest), session, as_json=as_json)


def _resolve_all(links: tuple[str, ...], request: Request, session: Session, *, as_json: bool) -> None:
    import msgspec

    from reprolake.describe import as_text, resolved_lines
    from reprolake.resolving import pin_all
    from reprolake_builder.process import printable

    failed = []
    for answer in pin_all(links, request, session):
        if as_json:
            say(msgspec.json.encode(answer) + b"\n")
        else:
            lines = [f"failed      {answer.error}", *([f"hint        {answer.hint}"] if answer.hint else [])]
            if answer.source is not None:
                lines = resolved_lines(answer.source, answer.notebook)
            say(printable("\n  ".join([answer.link, *as_text(lines).split("\n")]) + "\n"))
        if answer.exit_code:
            failed.append(answer.exit_code)
    if failed:
        session.tools.progress.warn(f"{len(failed)} of {len(links)} links could not be resolved")
        raise click.exceptions.Exit(failed[0])
