"""`reprolake doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reprolake.cli.common import output_options, show, with_session

if TYPE_CHECKING:
    from reprolake.pipeline import Session


@click.command(name="doctor")
@output_options
@with_session
def command(*, session: Session, as_json: bool) -> None:
    """Show what works on this host, what is missing, and the remedy.

    Exits with 23 when something is missing.

    \b
    Example:
      reprolake doctor
    """
    from reprolake.describe import setting_lines
    from reprolake.doctor import examine
    from reprolake.terminal import style
    from reprolake_builder.process import printable

    report = examine(session)
    lines = []
    for check in report.checks:
        mark = style("ok     ", fg="green") if check.ok else style("missing", fg="red")
        lines.append(f"{mark}  {printable(f'{check.name}: {check.found}')}")
        if not check.ok:
            lines.append(printable(f"         needed for {check.needed_for}; remedy: {check.remedy}"))
    lines += ["", "settings", *(printable(f"  {line}") for line in setting_lines(report.settings))]
    show(session, report, as_json=as_json, text="\n".join(lines), styled=True)
    if not report.ok:
        raise click.exceptions.Exit(23)
