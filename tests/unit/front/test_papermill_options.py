"""papermill's own command line beside `reprolake run`: every option is there, and is written in the same way."""

from __future__ import annotations

import click
import pytest
from papermill.cli import papermill

from reprolake.cli.run import command

ELSEWHERE = {"--version"}  # of `reprolake` itself
UNSET = {"engine", "autosave_cell_every", "request_save_on_cell_execute", "log_level"}
"""What papermill saves and logs by its defaults is not ours to say: only who asks for it is answered."""


def spelt(one):
    """The spellings of an option."""
    return [*one.opts, *one.secondary_opts]


def default(one):
    """What holds when an option is not given; None for nothing, however click says that."""
    found = one.get_default(click.Context(command))
    return found if isinstance(found, int | str) and found else None


OURS = {name: one for one in command.params if isinstance(one, click.Option) for name in spelt(one)}
THEIRS = [
    (name, one)
    for one in papermill.params
    if isinstance(one, click.Option)
    for name in spelt(one)
    if name not in ELSEWHERE
]


@pytest.mark.parametrize(("name", "theirs"), THEIRS, ids=[name for name, _ in THEIRS])
def test_every_option_of_papermill_is_one_here(name, theirs):
    """It takes as many words, as often, and what papermill takes by default or lets one choose."""
    ours = OURS[name]
    for fact in ("nargs", "multiple", "is_flag"):
        assert getattr(ours, fact) == getattr(theirs, fact), fact
    assert (name in ours.opts) == (name in theirs.opts)
    assert getattr(ours.type, "choices", None) == getattr(theirs.type, "choices", None)
    if theirs.name not in UNSET:
        assert default(ours) == default(theirs)
