"""`reprolake cache`, `reprolake cache prune` and `reprolake cache check`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from reprolake.cli.common import output_options, show, with_session

if TYPE_CHECKING:
    from reprolake.cache import Line
    from reprolake.pipeline import Session

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


class _Age(click.ParamType[timedelta]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        from reprolake_runner.staged import parse_lifetime

        try:
            age = parse_lifetime(value)
        except ValueError:
            age = None
        if age is None:
            self.fail(f"{value!r} is no time: give hours, days or weeks, like 12h, 30d, 4w", param, ctx)
        return age


class _Size(click.ParamType[int]):
    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = _SIZE.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is no size: give bytes, or like 500M, 20G, 1.5T, 20GiB", param, ctx)
        return int(float(match[1]) * (1024 if match[3] else 1000) ** " KMGT".index(match[2].upper() or " "))


@click.group(name="cache", invoke_without_command=True, subcommand_metavar="[prune|check [ARGS]...]")
@output_options
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:
    """Show what the store holds, by kind: how much, and when it was last used.

    `reprolake cache prune` removes what is not wanted any more, `reprolake cache check` looks for damage.

    \b
    Examples:
      reprolake cache
      reprolake cache prune --older-than 30d
    """
    if context.invoked_subcommand is None:
        _show(**options)
    elif any(options.values()):
        raise click.UsageError(f"options stand after `{context.invoked_subcommand}`")


@with_session
def _show(*, session: Session, as_json: bool) -> None:
    from reprolake.cache import examine

    report = examine(session)
    lines = _table(report.holds)
    lines.append(f"in all {_size(report.size)} in {report.store}; {_size(report.free)} of its disk are free")
    show(session, report, as_json=as_json, text="\n".join(lines))


@command.command(name="prune", short_help="Remove what is not wanted any more.")
@click.option(
    "--older-than", metavar="TIME", type=_Age(), help="Remove what was not used for that long: 12h, 30d, 4w."
)
@click.option(
    "--max-size",
    metavar="SIZE",
    type=_Size(),
    help="Remove what was used longest ago until the store is no larger than that: 500M, 20G.",
)
@click.option("--unused", is_flag=True, help="Remove what no image and no lock in the store refers to.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@output_options
@with_session
def _prune(*, session: Session, as_json: bool, dry_run: bool, **unwanted: Any) -> None:
    """Remove from the store what is not wanted any more; what is needed again is fetched or made again.

    Of several conditions all must hold. What a running process uses stays.

    \b
    Examples:
      reprolake cache prune --older-than 30d --dry-run
      reprolake cache prune --unused
      reprolake cache prune --max-size 20G --older-than 1w
    """
    from reprolake.cache import clean
    from reprolake_builder.stock import Unwanted

    asked = Unwanted(**unwanted)
    if asked == Unwanted():
        raise click.UsageError("say what is to be removed: --older-than, --max-size or --unused")
    report = clean(session, asked, dry_run=dry_run)
    lines = _table(report.removed) if report.removed else []
    kept = sum(line.count for line in report.kept)
    freed = sum(line.size for line in report.removed)
    lines.append(f"{'would free' if dry_run else 'freed'} {_size(freed)}; {_size(report.size)} remain")
    if kept:
        lines.append(f"{kept} are used by running processes, or are another user's, and stay")
    show(session, report, as_json=as_json, text="\n".join(lines))


@command.command(name="check", short_help="Look for what is damaged; remove it.")
@click.option("--discard", is_flag=True, help="Remove what is damaged.")
@output_options
@with_session
def _check(*, session: Session, as_json: bool, discard: bool) -> None:
    """Read all of the store and tell what is not as it was written: archives, layers, sources, documents.

    Damage ends with exit code 14 unless it could be removed; what is needed is fetched or made again.

    \b
    Examples:
      reprolake cache check
      reprolake cache check --discard
    """
    from reprolake.cache import check, refuse_damage

    report = check(session, discard=discard)
    lines = [
        f"{'removed' if found.removed else 'damaged'}  {found.path}: {found.why}" for found in report.damaged
    ]
    whole = report.count - len(report.damaged)
    lines.append(f"{whole} of {report.count} in {report.store} are whole; {_size(report.size)} were read")
    show(session, report, as_json=as_json, text="\n".join(lines))
    refuse_damage(report)


def _table(lines: Iterable[Line]) -> list[str]:
    rows = [f"{'':<14}{'count':>8}{'size':>11}   last used"]
    rows += [
        f"{line.kind:<14}{line.count:>8}{_size(line.size):>11}   {line.used:%Y-%m-%d}"
        + (f" (the oldest {line.oldest:%Y-%m-%d})" if line.oldest.date() != line.used.date() else "")
        for line in lines
    ]
    return rows


def _size(size: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"
