"""Kernels that say anything: the driver never falls over, never takes a cell for done that was not, and always ends."""

from __future__ import annotations

import dataclasses

import pytest
from hostile_kernel import CHANNELS, Word, converse
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reprolake_runner.driver import cells
from reprolake_runner.driver.protocol import CellEnded

TYPES = (
    "execute_reply", "execute_input", "execute_result", "display_data", "update_display_data", "stream", "error", "status",
    "clear_output", "comm_open", "comm_msg", "comm_close", "input_request", "kernel_info_reply", "shutdown_reply",
    "reprolake_shell_line", "debug_event", "unheard_of",
)  # fmt: skip
FIELDS = (
    "status", "execution_state", "execution_count", "ename", "evalue", "traceback", "data", "metadata", "transient", "name",
    "text", "wait", "comm_id", "target_name", "display_id", "command", "payload", "prompt", "state", "buffer_paths",
)  # fmt: skip
WORDS = st.sampled_from(
    ["ok", "error", "aborted", "idle", "busy", "stdout", "stderr", "text/plain", "image/png", "application/json",
     "application/vnd.jupyter.widget-view+json", "jupyter.widget", "update", "\ud800", "\x00", "a\nb", "x" * 2000]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | WORDS, inner, max_size=4)
    ),
    max_leaves=12,
)
CONTENTS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6)
HEADERS = st.fixed_dictionaries(
    {"msg_type": st.sampled_from(TYPES), "msg_id": st.uuids().map(str)},
    optional={
        "date": st.just("2026-01-01T00:00:00Z") | VALUES,
        "version": VALUES,
        "session": VALUES,
        "username": VALUES,
    },
)
DEEP = st.sampled_from(
    [b"[" * 100_000, b'{"a":' * 50_000, b"{}" * 2, b"\xff", b"", b"null", b'{"status": 1e999}']
)
LIKELY = st.builds(
    Word,
    channel=st.sampled_from([*CHANNELS, "iopub", "iopub", "shell"]),
    header=HEADERS,
    metadata=st.just({}),
    content=CONTENTS,
)
ANY = st.builds(
    Word,
    channel=st.sampled_from(list(CHANNELS)),
    header=HEADERS | VALUES | DEEP,
    parent=VALUES | DEEP | st.fixed_dictionaries({"msg_id": VALUES}),
    metadata=VALUES | DEEP,
    content=CONTENTS | VALUES | DEEP,
    answers=st.booleans(),
    signed=st.booleans(),
)
RAW = st.builds(
    Word,
    channel=st.sampled_from(list(CHANNELS)),
    frames=st.lists(st.binary(max_size=40) | st.just(b"<IDS|MSG>"), min_size=1, max_size=8).map(tuple),
)


def said(kind, channel="iopub", **content):
    """A message as it should be."""
    header = {"msg_type": kind, "msg_id": f"{kind}-{sorted(content)}", "date": "2026-01-01T00:00:00Z"}
    return Word(channel, header=header, metadata={}, content=content)


DONE = [said("execute_reply", "shell", status="ok"), said("status", execution_state="idle")]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Wait for less than one would for a real kernel."""
    for name, seconds in {
        "_SILENCE": 0.2,
        "_AFTER_INTERRUPT": 0.1,
        "_UNTIL_SIGNAL": 0.05,
        "_UNTIL_NEWS": 0.1,
        "_TICK": 0.05,
    }.items():
        monkeypatch.setattr(cells, name, seconds)


def is_ok(words):
    """Whether the kernel really said that the cell succeeded."""

    def speaks(word, kind, **content):
        header = word.header if isinstance(word.header, dict) else {}
        told = word.content if isinstance(word.content, dict) else {}
        return (
            word.signed
            and word.answers
            and header.get("msg_type") == kind
            and content.items() <= told.items()
        )

    replied = any(word.channel == "shell" and speaks(word, "execute_reply", status="ok") for word in words)
    return replied and any(
        word.channel == "iopub" and speaks(word, "status", execution_state="idle") for word in words
    )


@given(st.lists(LIKELY | ANY | RAW | st.sampled_from(DONE), max_size=6))
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example([said("execute_reply", "shell", status="\ud800"), DONE[1]])
@example([said("execute_reply", "shell", status="error", ename="\ud800", evalue="\udfff"), DONE[1]])
@example([said("execute_reply", "shell", status="ok", execution_count=2**70), DONE[1]])
@example([said("input_request", "stdin", prompt="?"), *DONE])
@example(DONE)
def test_any_words_of_a_kernel_come_to_a_bounded_and_true_end(tmp_path, words):
    """Whatever is said, the driver tells valid events, keeps a valid notebook, and calls only what was done a success."""
    heard = converse(tmp_path, words)
    if "succeeded" in heard.states:
        assert is_ok(words)


def test_a_proper_answer_is_a_success(tmp_path):
    """The positive control: the same kernel, saying what a kernel says."""
    assert converse(tmp_path, DONE).states == ["succeeded"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        DONE[:1],
        DONE[1:],
        [Word(**{**vars(word), "signed": False}) for word in DONE],
        [Word(**{**vars(word), "answers": False, "parent": {"msg_id": "other"}}) for word in DONE],
        [said("execute_reply", "control", status="ok"), DONE[1]],
        [said("execute_reply", "shell", status="okay"), DONE[1]],
        [said("execute_reply", "shell", status=["ok"]), DONE[1]],
        [DONE[0], said("status", execution_state=["idle"])],
    ],
    ids=[
        "silence",
        "no-idle",
        "no-reply",
        "unsigned",
        "other-parent",
        "other-channel",
        "other-word",
        "list",
        "odd-idle",
    ],
)
def test_what_is_no_proper_answer_is_no_success(tmp_path, words):
    """Reply and end have to come signed, on their channels, for that cell, in their words."""
    assert "succeeded" not in converse(tmp_path, words).states


def test_too_many_messages_end_the_cell(tmp_path):
    """More than the limit is not taken."""
    flood = [
        Word("iopub", header={"msg_type": "stream", "msg_id": str(number)}, metadata={}, content={})
        for number in range(600)
    ]
    assert converse(tmp_path, flood).ended == "TooMuchError"


def test_a_message_that_is_too_large_ends_the_cell(tmp_path):
    """It breaks the connection, and nothing says what was in it."""
    heard = converse(tmp_path, [said("stream", name="stdout", text="x" * (2 << 20))])
    assert (heard.ended, heard.states) == ("TooMuchError", [])


def test_what_cannot_be_read_is_not_left_out_in_silence(tmp_path):
    """An output that no reader takes, as a number of thousands of digits, is gone; the cell's warnings say so."""
    huge = b'{"data": {"application/json": ' + b"9" * 5000 + b'}, "metadata": {}}'
    odd = said("display_data")
    heard = converse(tmp_path, [dataclasses.replace(odd, content=huge), *DONE])
    (ended,) = (event for event in heard.events if isinstance(event, CellEnded))
    assert (ended.state, ended.warnings) == ("succeeded", ("1 message could not be read, and left out",))
