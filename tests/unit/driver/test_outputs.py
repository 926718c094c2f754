"""Outputs collected from messages that may be anything."""

from __future__ import annotations

import json

import nbformat
import nbformat.v4
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import Session

from reprolake_runner.driver.outputs import Outputs, digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
KINDS = ["stream", "display_data", "update_display_data", "execute_result", "error", "status", "clear_output", "comm_open",
         "comm_msg", "execute_input", "nonsense"]  # fmt: skip


class Nobody:
    """Channels that lead nowhere."""

    session = Session(key=b"k")

    def send_shell(self, message):
        """Send nothing."""


def notebook():
    """A notebook of one empty code cell."""
    cell = {
        "cell_type": "code",
        "id": "c",
        "source": "",
        "outputs": [],
        "metadata": {},
        "execution_count": None,
    }
    return nbformat.v4.reads(
        json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]})
    )


def message(kind, **content):
    """An iopub message."""
    return {
        "msg_type": kind,
        "header": {"msg_type": kind},
        "parent_header": {"msg_id": "1"},
        "content": content,
        "metadata": {},
    }


@pytest.fixture
def collected():
    """A function that applies messages and returns the cell's outputs."""

    def apply(*messages):
        found = notebook()
        outputs = Outputs(found, Nobody())
        outputs.start(found.cells[0])
        for one in messages:
            outputs.apply(one, found.cells[0], 0)
        outputs.settle()
        outputs.finish()
        return found

    return apply


def stream(text, name="stdout"):
    return message("stream", name=name, text=text)


def test_pieces_of_a_stream_become_one_output(collected):
    """Consecutive text of one stream is one output, in order; the other stream and displays stand between."""
    shown = message("display_data", data={"text/plain": "1"}, metadata={}, transient={})
    found = collected(
        stream("a"), stream("b"), stream("e", "stderr"), stream("c"), shown, stream("d"), stream("f")
    )
    assert [(one.get("text") or one.data["text/plain"]) for one in found.cells[0].outputs] == [
        "ab",
        "e",
        "c",
        "1",
        "df",
    ]


def test_a_display_is_updated_in_its_place(collected):
    """An update finds its display although streams before it were joined."""
    display = message("display_data", data={"text/plain": "old"}, metadata={}, transient={"display_id": "x"})
    update = message(
        "update_display_data", data={"text/plain": "new"}, metadata={}, transient={"display_id": "x"}
    )
    found = collected(stream("a"), stream("b"), display, stream("c"), stream("d"), update)
    assert [one.output_type for one in found.cells[0].outputs] == ["stream", "display_data", "stream"]
    assert found.cells[0].outputs[1].data["text/plain"] == "new"


def test_clearing_waits_for_the_next_output(collected):
    """clear_output(wait=True) keeps the old output until a new one comes."""
    found = collected(stream("a"), message("clear_output", wait=True), stream("b"), stream("c"))
    assert [one.text for one in found.cells[0].outputs] == ["bc"]


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(
    ["name", "text", "data", "metadata", "transient", "execution_state", "ename", "evalue", "traceback", "comm_id", "wait",
     "target_name", "execution_count"]), JSON, max_size=6)), max_size=6))  # fmt: skip
def test_any_content_leaves_a_notebook_that_can_be_saved(messages):
    """Whatever a kernel sends, nothing raises and the notebook can be written and read again."""
    found = notebook()
    outputs = Outputs(found, Nobody())
    outputs.start(found.cells[0])
    for kind, content in messages:
        outputs.apply(message(kind, **content), found.cells[0], 0)
    outputs.settle()
    outputs.finish()
    digest(found.cells[0].outputs)
    nbformat.v4.reads(nbformat.v4.writes(found))


def test_digests_depend_on_content_only():
    """Equal outputs have equal digests whatever the order of keys."""
    assert digest([{"a": 1, "b": 2}]) == digest([{"b": 2, "a": 1}]) != digest([])
