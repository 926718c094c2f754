"""What every way to isolate measures of a program, and which limits hold it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import replace

import pytest
from sandbox_programs import spec, start
from waiting import until

from reprolake_builder.sandboxes import cgroups, container_running, scope
from reprolake_builder.sandboxes.containers import Containers
from reprolake_builder.sandboxes.interface import Limits
from reprolake_builder.sandboxes.launched import Launched


@pytest.fixture(params=["groups", "no groups"])
def groups(request, monkeypatch, sandbox):
    """Control groups, this host's or the engine's, and none."""
    if request.param == "no groups":
        if isinstance(sandbox, Containers):
            vars(sandbox)["_engine"] = replace(sandbox._engine, controllers={})
            monkeypatch.setattr(container_running, "group_of", lambda *_: {})
        monkeypatch.setattr(cgroups, "places", dict)
        monkeypatch.setattr(scope, "is_there", bool)
    elif "memory" not in cgroups.places():
        pytest.skip("this host has no control groups for us")


def measured(running, sees):
    """The first usage that is as wished."""

    def look():
        running.poll()  # of one that ended in between the last counts are taken then
        found = running.usage()
        return found if found is not None and sees(found) else None

    return until(look)


TAKE = "dd if=/dev/zero of=/tmp/x bs=1M count=50 2>/dev/null; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 60"


def test_usage_is_measured(sandbox, root, groups):
    """Processor time, memory with that of folders in memory, and processes are seen from outside, by either way."""
    running = start(sandbox, spec(root, TAKE))
    found = measured(
        running,
        lambda one: one.cpu_seconds > 0.15 and one.processes > 1 and one.memory_bytes >= 50 << 20,
    )
    assert found.memory_bytes < 80 << 20
    assert found.memory_bytes <= found.peak_bytes < 100 << 20
    assert found.cpu_seconds < 30
    running.kill()
    assert running.usage().cpu_seconds >= found.cpu_seconds
    assert not [
        path
        for place in cgroups.places().values()
        for path in place.folder.glob(f"reprolake-{os.getpid()}-*")
    ]


def test_a_stopped_sandbox_is_seen_and_signals_reach_it(sandbox, root):
    """That a program stopped itself is seen, and a signal to it takes effect all the same."""
    running = start(sandbox, spec(root, "kill -STOP $$; sleep 60"))
    measured(running, lambda _: running.is_stopped())
    assert running.signal(signal.SIGTERM)
    assert running.wait(60) == 143
    assert not running.signal(signal.SIGTERM)


def test_a_program_that_ends_of_a_signal_at_once_was_reached(sandbox, root, monkeypatch):
    """That it was gone before it could be told to go on is no reason to say that the signal did not reach it."""
    sends = signal.pidfd_send_signal

    def send(program, number):
        sends(program, number)
        with contextlib.suppress(ProcessLookupError):
            until(lambda: sends(program, 0))  # None as long as it is there

    told, tell = os.pipe()
    given = spec(root, "echo on; exec sleep 600")
    running = sandbox.start(given, stdin=subprocess.DEVNULL, stdout=tell, stderr=subprocess.DEVNULL)
    os.close(tell)
    with open(told) as stream:
        assert stream.readline() == "on\n"
    measured(running, lambda one: one.processes > 0)
    monkeypatch.setattr(signal, "pidfd_send_signal", send)
    assert running.signal(signal.SIGTERM)
    assert running.wait(60) == 143


def test_every_limit_says_what_holds_it(sandbox, groups):
    """Each limit that is set is held by something, or said to be weaker."""
    held = sandbox.holds(Limits(memory_bytes=1 << 30, cpus=1))
    assert set(held) == {"processes", "file_bytes", "open_files", "tmp_bytes", "memory_bytes", "cpus"}
    has_groups = bool(cgroups.places())
    assert held["memory_bytes"].watched != has_groups
    assert bool(held["cpus"].weaker) != has_groups
    assert "cpus" not in sandbox.holds(Limits())


def test_memory_in_a_group_ends_at_its_limit(sandbox, root):
    """A program that wants more memory than its group may have is killed, and that is counted."""
    if "memory" not in cgroups.places():
        pytest.skip("this host has no control groups for us")
    script = "read go; head -c 100000000 /dev/zero | tail -c 100000000 >/dev/null; echo $?"
    for limit, told, kills in ((50 << 20, "137\n", 1), (400 << 20, "0\n", 0)):
        (read, write), (waits, go) = os.pipe(), os.pipe()
        given = spec(root, script, limits=Limits(memory_bytes=limit))
        running = sandbox.start(given, stdin=waits, stdout=write, stderr=subprocess.DEVNULL)
        os.close(write)
        os.close(waits)
        measured(running, lambda one: one.processes > 0)
        os.write(go, b"\n")
        os.close(go)
        with open(read) as stream:
            assert stream.read() == told
        running.wait(60)
        assert running.usage().kills == kills


def test_processes_that_could_not_be_made_are_counted(sandbox, root):
    """The group, not another limit, is what refuses the process that is one too many, and it says how often it did."""
    if "pids" not in cgroups.places() or not isinstance(sandbox, Launched):
        pytest.skip("nothing counts them here")
    given = spec(
        root, "i=0; while [ $i -lt 60 ]; do sleep 20 & i=$((i+1)); done", limits=Limits(processes=50)
    )
    running = start(sandbox, given)
    assert measured(running, lambda one: one.refused > 0).processes <= 50
    running.kill()
