"""A sandbox is waited for in one thread and ended in another: a watchdog's is seldom the one that waits."""

from __future__ import annotations

import select
import threading

import pytest
from sandbox_programs import HOST, SANDBOXES, spec, start

LAUNCHED = [pytest.param(name, marks=pytest.mark.engine(name)) for name in ("bubblewrap", "apptainer")]


@pytest.mark.parametrize("name", LAUNCHED)
def test_two_threads_end_a_sandbox(name, monkeypatch):
    """Both return once nothing of it runs, though the second comes while the first is at it; what was open is closed once."""
    running = start(SANDBOXES[name](), spec(HOST, "sleep 60"))
    asked, both, seen = select.select, threading.Barrier(2), []

    def slow(*given):
        found = asked(*given)
        if not seen:
            seen.append(found)
            both.wait(60)
            other.join(0.2)  # without a lock it would come as far by then
        return found

    failed = []

    def kill():
        both.wait(60)
        try:
            running.kill()
        except Exception as error:
            failed.append(error)

    other = threading.Thread(target=kill)
    other.start()
    monkeypatch.setattr(select, "select", slow)
    running.kill()
    monkeypatch.undo()
    other.join()
    assert failed == []
    assert running.wait(60) == 137
