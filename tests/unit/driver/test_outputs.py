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
from reprolake_runner.driver.repair import language_info

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
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
        apply.outputs = outputs = Outputs(found, Nobody())
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
    written = nbformat.v4.writes(found)
    json.loads(written, parse_constant=pytest.fail)
    nbformat.validate(nbformat.v4.reads(written))


@pytest.mark.parametrize("kind", ["status", "comm_open", "stream", "display_data"])
def test_no_message_gives_a_cell_an_odd_count(kind):
    """A count that is none, on whatever message, does not reach the notebook."""
    found = notebook()
    outputs = Outputs(found, Nobody())
    outputs.start(found.cells[0])
    outputs.apply(message(kind, execution_count=[]), found.cells[0], 0)
    outputs.settle()
    assert found.cells[0].execution_count is None
    nbformat.validate(nbformat.v4.reads(nbformat.v4.writes(found)))


def nested(depth):
    """A list in a list in a list."""
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def display(data, **content):
    return message("display_data", **({"data": data, "metadata": {}, "transient": {}} | content))


@pytest.mark.parametrize(
    ("sent", "kept", "why"),
    [
        (display({"application/x-foo": 5}), {"data": {"application/x-foo": "5"}}, "application/x-foo was no text"),
        (display({"text/plain": {"a": [1, None]}}), {"data": {"text/plain": '{"a": [1, null]}'}}, "text/plain"),
        (display({"text/plain": [1]}), {"data": {"text/plain": "[1]"}}, "text/plain was no text"),
        (display({"x\x1b": True}), {"data": {"x\x1b": "true"}}, "x\N{REPLACEMENT CHARACTER} was no text"),
        (display({"text/html": ["<b>", "</b>"]}), {"data": {"text/html": "<b></b>"}}, ""),
        (display({"application/x+json": {"a": 1}}), {"data": {"application/x+json": {"a": 1}}}, ""),
        (display({"application/json": [float("nan"), float("-inf"), 1.5]}), {"data": {"application/json": [None, None, 1.5]}},
         "the number nan is not JSON"),
        (display({"application/json": 1 << 2000}), {"data": {"application/json": str(1 << 2000)}}, "1000 bits"),
        (display({"application/json": {"\ud800": 1}}), {"data": {"application/json": {"\N{REPLACEMENT CHARACTER}": 1}}},
         "surrogate"),
        (display(5), {"data": {"text/plain": "5"}}, "text/plain was no text"),
        (display({}, metadata=[1]), {"metadata": {}}, "metadata were no object"),
        (display({}, metadata={"a": float("nan")}), {"metadata": {"a": None}}, "the number nan is not JSON"),
        (display({}, transient=[1]), {"data": {}}, ""),
        (display({}, transient={"display_id": [1]}), {"data": {}}, ""),
        (message("execute_result", data={}, metadata={}, execution_count="1"), {"execution_count": None}, ""),
        (message("stream", name="log", text=["a", "b"]), {"name": "stdout", "text": "ab"}, "neither stdout nor stderr"),
        (message("stream", name="stdout", text=7), {"text": "7"}, "text was no text"),
        (message("stream", name="stdout", text="a\ud800b"), {"text": "a\N{REPLACEMENT CHARACTER}b"}, "surrogate"),
        (message("error", ename=1, evalue={}, traceback="up"), {"ename": "1", "evalue": "{}", "traceback": ["up"]},
         "ename was no text"),
        (message("error", ename="E", evalue="v", traceback=["a", 1]), {"traceback": ["a", "1"]}, "traceback"),
    ],
)  # fmt: skip
def test_what_a_notebook_cannot_hold_is_kept_as_what_it_can(collected, sent, kept, why):
    """An output in a form that the schema forbids becomes a valid one, with a warning that says what was wrong."""
    found = collected(sent)
    nbformat.validate(found)
    (output,) = found.cells[0].outputs
    assert {name: output[name] for name in kept} == kept
    json.loads(nbformat.v4.writes(found), parse_constant=pytest.fail)
    assert why in collected.outputs.warning
    assert bool(why) == bool(collected.outputs.warning)


@pytest.mark.parametrize("depth", [99, 101, 500, 900])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-foo"])
def test_bottomless_values_are_cut(collected, depth, kind):
    """However deep a value is nested, the notebook with it can be copied and written."""
    found = collected(display({kind: nested(depth)}, metadata={"a": nested(depth)}))
    nbformat.validate(found)
    nbformat.v4.writes(found)
    assert ("nested" in collected.outputs.warning or "no text" in collected.outputs.warning) == (
        depth > 99 or kind != "application/json"
    )


def comm(name, **state):
    data = {"state": {"_model_name": "M", "_model_module": "m", **state}, "buffer_paths": []}
    return message("comm_open", comm_id=name, target_name="jupyter.widget", data=data)


def test_widgets_that_cannot_be_saved_are_left_out(collected):
    """Widgets with odd names or states do not keep the others, or the notebook, from being saved."""
    odd = message("comm_open", comm_id="c", target_name="jupyter.widget", data={"state": [[1, 2]]})
    found = collected(comm("a", value=float("inf")), comm(5), comm(None), odd)
    nbformat.v4.writes(found)
    state = found.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    assert list(state) == ["a"]
    assert state["a"]["state"]["value"] is None
    assert collected.outputs.warning.startswith("4 messages were not what a notebook can hold")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, {}),
        ({"version": "3"}, {}),
        ({"name": 3}, {}),
        (
            {"name": "python", "version": 3, "file_extension": ".py"},
            {"name": "python", "file_extension": ".py"},
        ),
        ({"name": "python", "codemirror_mode": {"name": "ipython", "version": 3}}, None),
    ],
)
def test_a_kernels_language_is_kept_as_far_as_it_is_valid(said, kept):
    """What a kernel says of its language goes into the notebook's metadata without what the schema forbids."""
    found = language_info(said)
    assert found == (said if kept is None else kept)
    if found:
        nbformat.validate(notebook() | {"metadata": {"language_info": found}})


def test_digests_depend_on_content_only():
    """Equal outputs have equal digests whatever the order of keys."""
    assert digest([{"a": 1, "b": 2}]) == digest([{"b": 2, "a": 1}]) != digest([])
