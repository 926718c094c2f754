"""The verdict on a run."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_runner.documents.run import OutputCheck, cell_name
from reprolake_runner.driver.protocol import CellEnded, Failed, KernelReady
from reprolake_runner.record import EXIT_CODES, Account, EventLog, Verdict, died, proven

HASH = "0" * 64


def account(*states, expected=None, **facts):
    """An account of a run whose cells reached these states."""
    made = Account(expected=len(states) if expected is None else expected)
    made.begin(KernelReady(info={}, cells=tuple(range(len(states)))))
    for index, state in enumerate(states):
        if state == "pending":
            continue
        if state != "skipped":
            assert made.start(index)
        if state != "running":
            assert made.end(CellEnded(index=index, state=state, error="ValueError: no", outputs=HASH))
    for name, value in ({"alive_at_end": True, "driver_status": 0, "saved": HASH} | facts).items():
        setattr(made, name, value)
    return made


def test_a_success_is_one():
    """Every cell done, kernel alive, notebook saved, driver well: succeeded."""
    verdict = account("succeeded", "skipped", "allowed-failure").verdict()
    assert (verdict.status, verdict.exit_code) == ("succeeded", 0)


def test_the_cell_of_the_parameters_does_not_count():
    """The sentence counts the notebook's own code cells, not the one that was put in to set the parameters."""
    made = Account(expected=2)
    made.begin(KernelReady(info={}, cells=(0, 1, 2), injected=1))
    for index in range(3):
        assert made.start(index)
        assert made.end(CellEnded(index=index, state="succeeded", outputs=HASH))
    made.alive_at_end, made.driver_status, made.saved = True, 0, HASH
    assert made.verdict() == Verdict("succeeded", "all 2 code cells ran")
    assert [cell.injected for cell in made.cells.values()] == [False, True, False]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([None, None], "all 2 code cells ran"),
        ([None, "empty"], "1 code cell ran"),
        (["empty"], "no code cell ran"),
        ([None, "tagged", "empty"], "1 of 2 code cells ran, 1 was skipped"),
        (["tagged", "tagged"], "0 of 2 code cells ran, 2 were skipped"),
        ([None, "tagged", None, "after-exit"], "cell 3 ended the notebook; 2 of 4 code cells ran"),
    ],
)
def test_what_ran_is_counted_truly(cells, message):
    """A cell that was skipped did not run, one without code does not count, and who ended the notebook is named."""
    made = account(*["pending"] * len(cells))
    for index, why in enumerate(cells):
        if why is None:
            assert made.start(index)
        state = "skipped" if why else "succeeded"
        assert made.end(CellEnded(index=index, state=state, outputs=HASH, skipped=why))
    assert made.verdict() == Verdict("succeeded", message)
    assert [cell.counts for cell in made.cells.values()] == [why != "empty" for why in cells]


def test_a_cell_that_is_belied_has_failed():
    """H27: when the kernel takes back that a cell was done the run has failed at that cell."""
    made = account("succeeded", "succeeded", "pending")
    made.give_up(Failed(reason="belied", message="ValueError: no", index=1))
    verdict = made.verdict()
    assert (verdict.status, verdict.exit_code) == ("failed", 1)
    assert verdict.message == "cell 2 raised ValueError: no, after the kernel had said that it was done"


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (account("succeeded", "pending"), "broken"),
        (account("succeeded", "running"), "broken"),
        (account("succeeded", expected=2), "broken"),
        (account("succeeded", saved=""), "broken"),
        (account("succeeded", driver_status=1), "broken"),
        (account("succeeded", driver_status=None), "broken"),
        (account("succeeded", alive_at_end=False), "kernel-died"),
        (Account(expected=0, driver_status=0, saved=HASH, alive_at_end=True), "broken"),
        (account("succeeded", "failed"), "failed"),
        (account("succeeded", ended=Verdict("stopped", "")), "stopped"),
        (account("failed", failed=Failed(reason="timed-out", message="")), "timed-out"),
        (account("succeeded", failed=Failed(reason="kernel-silent", message="")), "kernel-died"),
    ],
    ids=str,
)
def test_what_lacks_a_proof_is_no_success(made, status):
    """Whatever is missing, the run does not count as succeeded."""
    verdict = made.verdict()
    assert verdict.status == status
    assert verdict.exit_code == EXIT_CODES[status] != 0


@given(
    st.lists(st.sampled_from(["pending", "running", "succeeded", "failed", "skipped"]), max_size=4),
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from([None, 0, 1]),
    st.sampled_from(["", HASH]),
)
def test_success_needs_everything(states, expected, alive, status, saved):
    """In any mixture of facts, success means that all of them are right."""
    if states.count("running") > 1:
        states = [state if state != "running" else "pending" for state in states]
    while "running" in states[:-1]:
        states = states[1:]
    made = account(*states, expected=expected, alive_at_end=alive, driver_status=status, saved=saved)
    everything = (
        all(state in {"succeeded", "skipped"} for state in states)
        and len(states) >= expected
        and alive
        and status == 0
        and saved == HASH
    )
    assert (made.verdict().status == "succeeded") == everything


def test_nonsense_of_the_driver_is_not_noted():
    """Cells that do not exist, run twice, or end before they start are refused."""
    made = account("pending", "pending")
    assert not made.end(CellEnded(index=0, state="succeeded", outputs=HASH))
    assert made.start(0)
    assert not made.start(0)
    assert not made.start(1)
    assert not made.start(7)
    assert not made.end(CellEnded(index=0, state="skipped", outputs=HASH))
    assert made.end(CellEnded(index=0, state="succeeded", outputs=HASH))
    assert not made.end(CellEnded(index=0, state="succeeded", outputs=HASH))


def test_messages_cannot_drive_a_terminal():
    """What a notebook raised is shown without control characters."""
    made = account("running", "pending")
    made.end(
        CellEnded(index=0, state="failed", error="E: \x1b]52;c;evil\x07", execution_count=7, outputs=HASH)
    )
    assert "\x1b" not in made.verdict().message
    assert "cell In [7] raised E:" in made.verdict().message


def test_warnings_name_the_cell():
    """What was wrong with a cell's outputs is told with the cell's name for people, without control characters."""
    made = account("running")
    made.end(CellEnded(index=0, state="succeeded", warnings=("odd\x1b",), execution_count=3, outputs=HASH))
    assert made.warnings == ["cell In [3]: odd\N{REPLACEMENT CHARACTER}"]


def test_people_count_cells_from_one():
    """A cell without a prompt is named by its place among all cells, counted from 1; with one, by what Jupyter shows."""
    assert (cell_name(0), cell_name(4), cell_name(4, 2)) == ("cell 1", "cell 5", "cell In [2]")


def test_a_death_names_the_cell_and_the_cause():
    """The message says where the kernel was, how it ended and what it said last."""
    made = account("succeeded", "running")
    verdict = died(137, made.place, "Killed")
    assert (verdict.status, verdict.exit_code) == ("kernel-died", 25)
    for part in ("signal 9", "in cell 2", "perhaps because memory ran out", "Killed"):
        assert part in verdict.message


def test_the_event_log_is_lines_of_json_and_never_overwrites(tmp_path):
    """Events are appended one per line with their time; an existing log is not touched."""
    log = EventLog(tmp_path / "events")
    log.write("one", text="a\nb")
    log.write("two", number=1)
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [(line["event"], line.get("text"), line.get("number")) for line in lines] == [
        ("one", "a\nb", None),
        ("two", None, 1),
    ]
    assert all(line["time"].endswith("Z") for line in lines)
    with pytest.raises(FileExistsError):
        EventLog(tmp_path / "events")


def test_the_event_log_has_a_limit_and_an_end(tmp_path, monkeypatch):
    """A run that produces events without end does not fill the disk; the log says so, and still how the run ended."""
    monkeypatch.setattr("reprolake_runner.record._LOG_LIMIT", 1000)
    log = EventLog(tmp_path / "events")
    for _ in range(100):
        log.write("again", text="x" * 100)
    log.write("short")
    log.end(Verdict("failed", "cell 2 raised"))
    log.close()
    assert (tmp_path / "events").stat().st_size <= 1500
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [one["event"] for one in events[-3:]] == ["again", "log-cut", "run-ended"]
    assert (events[-1]["status"], events[-1]["exit_code"]) == ("failed", 1)


def test_the_warnings_of_a_run_have_a_limit():
    """Many cells with many warnings leave a record that can be read, and that says where the rest is."""
    made = account(*["pending"] * 100)
    for index in range(100):
        assert made.start(index)
        assert made.end(CellEnded(index=index, state="succeeded", warnings=("odd",) * 20, outputs=HASH))
    assert len(made.warnings) == 1001
    assert "only the event log" in made.warnings[-1]


class Unlisted(dict):
    """Cells that can be asked for one by one only."""

    def values(self):
        raise AssertionError("all cells were looked at for one")


def test_one_cell_is_noted_without_a_look_at_all():
    """The time for a cell does not grow with their number: 100 000 of them are no reason for a supervisor to hang."""
    made = account("pending", "pending")
    made.cells = Unlisted(made.cells)
    for index in range(2):
        assert made.start(index)
        assert made.running == index
        assert made.end(CellEnded(index=index, state="succeeded", outputs=HASH))
        assert made.running is None


def checked(*verdicts, states=None):
    """A run that went well, with these verdicts on the outputs of its cells."""
    made = account(*(states or ["succeeded"] * len(verdicts)), is_checked=True)
    for index, verdict in enumerate(verdicts):
        if verdict is not None:
            assert made.check(OutputCheck(index=index, verdict=verdict, reason="1 became\n2"))
    return made.verdict()


def test_outputs_decide_when_they_are_checked():
    """One that differs makes the run not reproduced; those that are close or were not saved do not."""
    assert checked("same", "close", "not-saved").status == "succeeded"
    verdict = checked("same", "differs", "differs")
    assert (verdict.status, verdict.exit_code) == ("not-reproduced", 3)
    assert "cell 2 differ: 1 became" in verdict.message
    assert "\n" not in verdict.message


def test_a_comparison_that_is_not_whole_proves_nothing():
    """A cell that ran and was not compared is a driver that did not do its work; a skipped one needs no comparison."""
    assert checked("same", None).status == "broken"
    assert checked("same", None, states=["succeeded", "skipped"]).status == "succeeded"


def test_comparisons_that_cannot_be_are_refused():
    """The driver is not believed about cells that did not run, the same cell twice, or when nobody asked."""
    made = account("succeeded", "skipped", is_checked=True)
    check = OutputCheck(index=0, verdict="same")
    assert made.check(check)
    assert not made.check(check)
    assert not made.check(OutputCheck(index=1, verdict="same"))
    assert not made.check(OutputCheck(index=9, verdict="same"))
    assert not account("succeeded").check(check)


@pytest.mark.parametrize("verdict", ["same", "differs"])
@pytest.mark.parametrize("left", ["the reported", "another", "none", "a link", "a folder"])
def test_what_the_driver_left_is_what_it_reported(tmp_path, left, verdict):
    """Whether or not outputs are the same, all is well only with the notebook of that hash, as a plain file."""
    executed, real = tmp_path / "executed.ipynb", tmp_path / "real"
    real.write_bytes(b"{}")
    if left == "a link":
        executed.symlink_to(real)
    elif left == "a folder":
        executed.mkdir()
    elif left != "none":
        executed.write_bytes(b"{}" if left == "the reported" else b"{ }")
    made = account("succeeded", is_checked=True, saved=hashlib.sha256(b"{}").hexdigest())
    assert made.check(OutputCheck(index=0, verdict=verdict, reason="1 became 2"))
    status = proven(made, executed).status
    assert status == (made.verdict().status if left == "the reported" else "broken")


def test_a_run_that_failed_fails_whatever_its_outputs():
    """A kernel that is gone after the last cell is no question of outputs."""
    assert account("succeeded", is_checked=True, alive_at_end=False).verdict().status == "kernel-died"
