"""What a command prints as lines of text, and what people call a command."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.documents.base import content_hash
from reprolake_runner.documents.run import CommandSpec
from reprolake_runner.record import EventLog
from reprolake_runner.spoken import Spoken

IMAGE = "sha256:" + "ab" * 32


def told_of(pieces, path):
    """What is told of pieces of a stream, and the events of its log."""
    told = []
    log = EventLog(path)
    spoken = Spoken("stdout", log, told.append)
    for piece in pieces:
        spoken.take(piece)
    spoken.end()
    log.close()
    return [one.text for one in told], [json.loads(line) for line in path.read_text().splitlines()]


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=8))
def test_the_pieces_make_the_text(tmp_path_factory, data, cuts):
    """However a stream is cut, what is told is its text, and so is what is logged; nobody sees half a character."""
    places = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    told, events = told_of(pieces, tmp_path_factory.mktemp("log") / "events")
    assert "".join(told) == data.decode(errors="replace")
    assert "".join(one["text"] for one in events) == data.decode(errors="replace")


def test_lines_are_whole(tmp_path):
    """A line waits for its end, unless it is very long."""
    told, _ = told_of([b"one\ntw", b"o\nthree", b"x" * 40_000, b"\nlast"], tmp_path / "events")
    assert told == ["one\n", "two\n", "three" + "x" * 40_000, "\n", "last"]


def test_the_log_has_room_for_the_end(tmp_path):
    """Beyond a limit text is told but not logged, and the log says so, once."""
    told, events = told_of([b"\x00" * (1 << 20) + b"\n"] * 8, tmp_path / "events")
    assert sum(map(len, told)) == 8 * ((1 << 20) + 1)
    assert [one["event"] for one in events][-2:] == ["output", "output-cut"]
    assert sum(len(one.get("text", "")) for one in events) == 4 << 20


def test_a_command_is_called_as_it_is_typed():
    """Words are quoted where a shell would need it, and long commands are cut."""
    assert CommandSpec(image=IMAGE, argv=("python", "a b.py")).name == "python 'a b.py'"
    assert len(CommandSpec(image=IMAGE, argv=("x" * 1000,)).name) < 210


def test_every_word_decides_the_key():
    """Two commands that read alike have keys of their own."""
    keys = {
        content_hash(CommandSpec(image=IMAGE, argv=argv)) for argv in (("a", "b"), ("a b",), ("a", "b", ""))
    }
    assert len(keys) == 3
