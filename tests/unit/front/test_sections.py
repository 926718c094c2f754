"""The help of commands that take many options."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from reprolake.cli import COMMANDS, cli
from reprolake.cli.sections import Sectioned, stacked


def sections(command, *names):
    """The options of a command by the section of its help that they stand in."""
    found: dict[str, list[str]] = {}
    for line in CliRunner().invoke(command, [*names, "--help"]).output.splitlines():
        if title := re.fullmatch(r"(\w.*):", line):
            found[title[1]] = []
        elif found and (option := re.match(r"  (-[\w-]+)", line)):
            found[list(found)[-1]].append(option[1])
    return found


def test_options_stand_below_their_titles():
    """A section has the options that were given its title, wherever they came from; those without come last."""
    inner = stacked(click.option("--b"), title="Two")

    @click.command(cls=Sectioned)
    @click.option("--z")
    @stacked(click.argument("x"), click.option("--a"), inner, title="One")
    @stacked(click.option("--c"), title="Two")
    def command(**_):
        pass

    assert sections(command) == {"One": ["--a"], "Two": ["--b", "--c"], "Options": ["--z", "--help"]}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_is_left_out(name):
    """Every option of a command stands in its help once."""
    command = cli.get_command(click.Context(cli), name)
    shown = [option for options in sections(cli, name).values() for option in options]
    wanted = [one.opts[0] for one in command.params if isinstance(one, click.Option)]
    assert sorted(shown) == sorted([*wanted, "-h"])


def test_what_runs_something_has_its_limits_in_one_place():
    """`run` and `exec` show limits, isolation and environment apart."""
    for name in ("run", "exec"):
        found = sections(cli, name)
        assert {"--memory", "--disk", "--allow-weaker"} <= set(found["Limits"])
        assert {"--sandbox", "--network"} <= set(found["Isolation"])
        assert {"--as-of", "--locked"} <= set(found["Environment"])
        assert found["Options"][0] in {"--stage", "--json"}
