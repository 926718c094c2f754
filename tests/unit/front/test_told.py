"""What cells and commands print, on the user's terminal and in files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from reprolake.options import UsageError
from reprolake.told import told
from reprolake_builder.progress import Progress
from reprolake_runner.driver.protocol import Said


def test_pieces_become_lines_and_files_have_them_as_they_are(tmp_path, capsys):
    """A line is shown once it is whole, harmless to print; each stream's file has its bytes."""
    out, err = tmp_path / "out", tmp_path / "err"
    with told(logs=True, stdout=out, stderr=err) as taker:
        for kind, text in (("stdout", "a\x1b[2J"), ("stderr", "b\r\n"), ("shown", "c"), ("stdout", "d")):
            taker(Said(kind=kind, text=text))
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert [line[:1] for line in shown.splitlines()] == ["a", "c", "d"]
    assert (out.read_bytes(), err.read_bytes()) == (b"a\x1b[2Jd", b"b\r\n")


def test_a_line_without_end_is_not_waited_for(capsys):
    """A command that prints for ever without an end of line is shown piece by piece, and fills nobody's memory."""
    pieces = [str(number % 10) * 30_000 for number in range(100)]
    shown = ""
    with told(logs=True) as taker:
        for number, piece in enumerate(pieces, 1):
            taker(Said(kind="stdout", text=piece))
            shown += re.sub(r"\s", "", capsys.readouterr().err)
            assert len(shown) > number * 30_000 - 70_000
    assert shown + re.sub(r"\s", "", capsys.readouterr().err) == "".join(pieces)


def test_a_dash_is_standard_output(capfd):
    """As in papermill, and as it is; standard output stays open afterwards."""
    for kind in ("stdout", "stderr"):
        files = dict.fromkeys(("stdout", "stderr"))
        with told(logs=False, **{**files, kind: Path("-")}) as taker:
            taker(Said(kind=kind, text=f"of {kind}\x1b\n"))
    os.write(1, b"after\n")
    assert capfd.readouterr().out == "of stdout\x1b\nof stderr\x1b\nafter\n"


def test_a_notebook_is_not_given_the_terminal(capfd):
    """Where standard output is a terminal, a dash is refused with what shows outputs harmlessly."""
    ours, theirs = os.openpty()
    before = os.dup(1)
    os.dup2(theirs, 1)
    try:
        with (
            pytest.raises(UsageError, match="drive your terminal"),
            told(logs=False, stdout=Path("-"), stderr=None),
        ):
            pass
    finally:
        os.dup2(before, 1)
        for descriptor in (ours, theirs, before):
            os.close(descriptor)


class Warned(Progress):
    """Keeps warnings."""

    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


def test_a_file_that_takes_no_more_ends_no_run():
    """A full disk is told of once; what else is printed goes on, and nothing is raised."""
    progress = Warned()
    with told(logs=False, stdout=Path("/dev/full"), progress=progress) as taker:
        for _ in range(3):
            taker(Said(kind="stdout", text="x"))
    assert len(progress.warnings) == 1
    assert "--stdout-file takes no more (No space left on device)" in progress.warnings[0]
