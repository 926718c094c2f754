"""Memory that processes share is measured where no control group does it: all of it, and none of it twice."""

from __future__ import annotations

import pytest
from sandbox_programs import HOST, SANDBOXES, spec, start
from waiting import until

from reprolake_builder.sandboxes import cgroups, scope

pytestmark = pytest.mark.engine("bubblewrap")

TOUCH = "m.write(b'x' * (100 << 20)); m.flush()\nfor _ in range(3):\n    if not os.fork():\n        sum(m[::4096]); time.sleep(60)\ntime.sleep(60)"
NAMELESS = f"import mmap, os, time\nm = mmap.mmap(-1, 100 << 20); {TOUCH}"
A_FILE = f"import mmap, os, time\nf = open('/dev/shm/x', 'w+b'); f.truncate(100 << 20); m = mmap.mmap(f.fileno(), 100 << 20); {TOUCH}"
UNTOUCHED = "import mmap, os, time\nm = mmap.mmap(-1, 100 << 20); os.fork(); time.sleep(60)"


def until_taken(running, sees):
    """Wait until what the sandbox takes is as wished."""
    until(lambda: sees(running._gauge.processes.taken(exactly=True)))


@pytest.mark.parametrize("code", [NAMELESS, A_FILE], ids=["nameless", "a file"])
def test_shared_memory_is_measured_once(monkeypatch, code):
    """What four processes share takes its size, be it a file in memory or without any name."""
    monkeypatch.setattr(cgroups, "places", dict)
    monkeypatch.setattr(scope, "is_there", bool)
    running = start(SANDBOXES["bubblewrap"](), spec(HOST, 'exec python3 -c "$CODE"', env={"CODE": code}))
    try:
        # one that is looked at while others begin to share may count for more
        until_taken(running, lambda one: one.processes >= 5 and 100 << 20 < one.memory_bytes < 130 << 20)
    finally:
        running.kill()


def test_memory_that_nobody_touched_is_none(monkeypatch):
    """What is only asked for does not count."""
    monkeypatch.setattr(cgroups, "places", dict)
    monkeypatch.setattr(scope, "is_there", bool)
    running = start(SANDBOXES["bubblewrap"](), spec(HOST, 'exec python3 -c "$CODE"', env={"CODE": UNTOUCHED}))
    try:
        until_taken(running, lambda one: one.processes >= 3 and 1 << 20 < one.memory_bytes < 60 << 20)
    finally:
        running.kill()
