"""The event log of a run as a stranger may have written it."""

from __future__ import annotations

import fcntl
import json

import pytest

from reprolake.cli import run
from reprolake.follow import Log, Words, find_log, lines
from reprolake.options import UsageError

EVENTS = [
    {"time": "2026-02-03T04:05:06Z", "event": "run-started", "run": "x", "kernel": "k\x1b[2J"},
    {"time": "2026-02-03T04:05:07Z", "event": "log-cut"},
    {"time": "2026-02-03T04:05:08Z", "event": "run-ended", "status": "failed", "message": "cell 2 raised"},
]


@pytest.fixture
def log(tmp_path):
    """A log with lines that are no events between those that are."""
    odd = [b"\x1b]52;c;evil\x07", b"[1]", b'{"event": 5}', b"[" * 5000, b""]
    pairs = [line for event in EVENTS for line in (json.dumps(event).encode(), *odd)]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join(pairs))
    return path


def test_only_events_are_told(log):
    """What is no event is passed over, whether or not the log grows; the last event ends it."""
    for follow in (False, True):
        assert [json.loads(line) for line in lines(Log(log, None), follow=follow)] == EVENTS


def test_the_words_drive_no_terminal(log):
    """What a stranger wrote is shown without control characters, and that a log was cut is said."""
    words = Words()
    told = [words.of(line) for line in lines(Log(log, None), follow=False)]
    assert told[0] == "04:05:06  run x with the kernel k\N{REPLACEMENT CHARACTER}[2J"
    assert "more happens than the log can hold" in told[1]
    assert told[2] == "04:05:08  failed: cell 2 raised"
    assert words.is_over


def test_events_as_json_are_nothing_else(log, tmp_path, monkeypatch, capfd):
    """`logs --json` prints valid JSON only, whatever the file holds."""
    monkeypatch.setenv("REPROLAKE_STORE", str(tmp_path / "store"))
    assert run(["logs", "--json", str(log.parent)]) == 0
    printed = capfd.readouterr().out
    assert "\x1b" not in printed
    assert [json.loads(line) for line in printed.splitlines()] == EVENTS


def test_the_only_run_that_goes_on_needs_no_name(tmp_path):
    """Without a name the run is followed whose process is there; of several, all are named, and none is taken."""

    def begun(session, run):
        folder = tmp_path / "tmp" / session / "work" / run
        folder.mkdir(parents=True)
        (folder / "events.jsonl").write_text("")
        lock = (tmp_path / "tmp" / f"{session}.lock").open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock

    one, other = "3zv8k2m5t0q7w9x4c6b1n8d5hf", "4zv8k2m5t0q7w9x4c6b1n8d5hf"
    with pytest.raises(UsageError, match="no run goes on here"):
        find_log("", tmp_path, tmp_path)
    with begun("a", one):
        assert find_log("", tmp_path, tmp_path).path.parent.name == one
        with begun("b", other), pytest.raises(UsageError, match=f"2 runs go on here\nhint: .*{one}, {other}"):
            find_log("", tmp_path, tmp_path)
        assert find_log("", tmp_path, tmp_path).path.parent.name == one
        assert find_log(other, tmp_path, tmp_path).path.parent.name == other
