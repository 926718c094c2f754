"""Options in sections: the help of a command that takes seventy of them is read part by part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_REST = "Options"
_TITLES: dict[click.Parameter, str] = {}


def stacked(*options: Callable[[F], F], title: str = "") -> Callable[[F], F]:
    """Return one decorator for several options, in the order of the help, and below `title` there where they have none yet."""

    def decorate(function: F) -> F:
        known = len(_parameters(function))
        for option in reversed(options):
            function = option(function)
        if title:
            for parameter in _parameters(function)[known:]:
                _TITLES.setdefault(parameter, title)
        return function

    return decorate


def _parameters(function: Callable[..., Any]) -> list[click.Parameter]:
    """Return what click will make the command's parameters of; it keeps them with the function until it makes the command."""
    found: list[click.Parameter] = getattr(function, "__click_params__", [])
    return found


class Sectioned(click.Command):
    """A command whose help has a section for each title, in the order of their first options; those without come last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options below their titles."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if row is not None:
                sections.setdefault(_TITLES.get(parameter, _REST), []).append(row)
        rest = sections.pop(_REST, [])
        for title, rows in (*sections.items(), (_REST, rest)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
