"""`reprolake doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reprolake.cli.common import output_options, show, with_session
from reprolake_builder.sandboxes.names import AUTO, NAMES

if TYPE_CHECKING:
    from reprolake.pipeline import Session


@click.command(name="doctor")
@click.option(
    "--sandbox",
    type=click.Choice(NAMES),
    is_flag=False,
    flag_value=AUTO,
    help="Try from inside whether this sandbox, or each that works here, keeps what it promises.",
)
@output_options
@with_session
def command(*, session: Session, sandbox: str | None, as_json: bool) -> None:
    """Show what works on this host, what is missing, and the remedy.

    Exits with 23 when something is missing, or a sandbox does not keep a promise.

    \b
    Examples:
      reprolake doctor
      reprolake doctor --sandbox
      reprolake doctor --sandbox apptainer --json
    """
    if sandbox is None:
        _host(session, as_json=as_json)
    else:
        _probe(session, sandbox, as_json=as_json)


def _probe(session: Session, name: str, *, as_json: bool) -> None:
    """Show row by row what each sandbox keeps."""
    from reprolake.probe.outside import report
    from reprolake.terminal import style
    from reprolake_builder.process import printable

    found = report(name, session.options.engine_environment)
    lines = []
    for one in found.sandboxes:
        verdict = "keeps all that is promised" if one.ok else "DOES NOT KEEP what is promised"
        lines.append(f"{one.sandbox}: {printable(one.problem) or verdict}")
        for row in one.rows:
            mark = "holds" if row.holds else "differs" if row.why else "OPEN"
            color = {"holds": "green", "differs": "yellow", "OPEN": "red"}[mark]
            lines.append(f"  {style(f'{mark:8}', fg=color)}{row.name}: {row.promise}")
            if not row.holds:
                lines.append(f"          seen: {row.seen}")
                lines += [f"          not promised: {row.why}"] if row.why else []
        lines.append("")
    show(session, found, as_json=as_json, text="\n".join(lines).rstrip(), styled=True)
    if not found.ok:
        raise click.exceptions.Exit(23)


def _host(session: Session, *, as_json: bool) -> None:
    """Show all findings and settings."""
    from reprolake.describe import setting_lines
    from reprolake.doctor import examine
    from reprolake.terminal import style
    from reprolake_builder.process import printable

    report = examine(session)
    lines = []
    for check in report.checks:
        word, color = ("missing", "red") if not check.is_optional else ("absent", "yellow")
        mark = style("ok     ", fg="green") if check.ok else style(f"{word:7}", fg=color)
        lines.append(f"{mark}  {printable(f'{check.name}: {check.found}')}")
        if not check.ok:
            remedy = f"; remedy: {check.remedy}" if check.remedy else ""
            lines.append(printable(f"         needed for {check.needed_for}{remedy}"))
    lines += ["", "settings", *(printable(f"  {line}") for line in setting_lines(report.settings))]
    show(session, report, as_json=as_json, text="\n".join(lines), styled=True)
    if not report.ok:
        raise click.exceptions.Exit(23)
