"""Programs that read repositories, which may be absent."""

from __future__ import annotations

import pytest

from reprolake_builder.errors import ResolveError
from reprolake_builder.providers.git.command import git_in
from reprolake_builder.providers.programs import search_path


def test_programs_are_looked_for_in_absolute_folders():
    """What the folder that is looked at could bring along is no program of ours."""
    assert search_path({"PATH": "/usr/bin:bin::.:/bin"}) == "/usr/bin:/bin"
    assert search_path({"PATH": "bin"}) == search_path({}) == "/usr/local/bin:/usr/bin:/bin"


def test_an_absent_program_is_told_with_its_package(tmp_path):
    """Whether a command is run to its end or beside something else, the error says how to have the program."""
    git = git_in(tmp_path, {"PATH": "/nonexistent"})
    with pytest.raises(ResolveError, match="git is not installed") as caught:
        git.run("version")
    assert caught.value.hint == "install it: apt install git"
    with pytest.raises(ResolveError, match="git is not installed"), git.converse("version"):
        pass


def test_a_file_that_is_absent_is_no_absent_program(tmp_path):
    """What happens to be missing beside a running command is told as what it is."""
    with (
        pytest.raises(FileNotFoundError),
        git_in(tmp_path, {"PATH": "/usr/bin:/bin"}).converse("version"),
    ):
        (tmp_path / "none").read_bytes()
