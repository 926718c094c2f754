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
    """Show where the result is and what may be done about its end, and leave with the run's exit code."""
    from reprolake.runs import RunResult
    from reprolake.terminal import show_hint
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
    if hint := _next_step(record):
        show_hint(hint)
    raise click.exceptions.Exit(record.exit_code)


def _next_step(record: RunRecord) -> str:
    """Return what to do about the way in which a run ended, "" where its message says all."""
    from reprolake.amounts import LIMITS
    from reprolake_runner.documents.run import RunSpec

    if record.status == "limit-exceeded":
        of_notebook = isinstance(record.spec, RunSpec)
        reached = [one for one in LIMITS if of_notebook or not one.of_cells]
        flags = [one.flag for one in reached if one.flag and not one.setting.endswith("timeout")]
        return f"{', '.join(flags)} set other limits; `reprolake config` shows those that hold without"
    if record.status == "kernel-died":
        return (
            "log.txt of the result has what the kernel printed; `reprolake shell` looks around in its sandbox"
        )
    if record.status == "not-reproduced":
        return "index.html shows what became of each cell; --tolerance and --image-tolerance let more pass"
    return ""
