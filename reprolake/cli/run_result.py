"""What `run` and `exec` say of a run that is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click

from reprolake.cli.common import show

if TYPE_CHECKING:
    from reprolake.pipeline import Session
    from reprolake_runner.documents.run import RunRecord
    from reprolake_runner.staged import StagedResult


def ending_lines(record: RunRecord, session: Session) -> str:
    """Show the record's warnings, and return a line for how the run ended."""
    from reprolake.terminal import style
    from reprolake_builder.process import printable

    for warning in record.warnings:
        session.tools.progress.warn(warning)
    told = style(record.status, fg="green" if record.status == "succeeded" else "red", bold=True)
    return f"{told}: {printable(record.message)}"


def show_result(staged: StagedResult, session: Session, *, as_json: bool) -> NoReturn:
    """Show where the result is, and leave with the run's exit code."""
    from reprolake.runs import RunResult
    from reprolake_builder.process import printable

    record = staged.record
    result = RunResult(
        run=record.id,
        status=record.status,
        exit_code=record.exit_code,
        message=record.message,
        result=str(staged.folder),
        image=record.spec.image,
    )
    ending = ending_lines(record, session)
    lines = (
        ending,
        printable(f"result   {staged.folder}"),
        f"open     {(staged.folder / 'index.html').as_uri()}",
    )
    show(session, result, as_json=as_json, text="\n".join(lines), styled=True)
    if as_json and record.status != "succeeded":
        click.echo(ending, err=True)
    raise click.exceptions.Exit(record.exit_code)
