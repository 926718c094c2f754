"""Whose something is, and whether they are gone: the live are never taken for dead."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from reprolake_builder.sandboxes.owners import is_gone, is_over, owner, started

_HIDDEN = """
import ctypes, os, sys
from reprolake_builder.sandboxes.owners import is_over, started
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x20000) == 0
assert libc.mount(b"none", b"/", None, 0x44000, None) == 0
assert libc.mount(b"proc", b"/proc", b"proc", 0, b"hidepid=2") == 0
os.setgroups([]); os.setgid(65534); os.setuid(65534)
there, since, gone = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print(repr(started(there)), is_over(there, since), is_over(gone, since))
"""


def test_something_belongs_to_a_process_of_this_host():
    """That of a live process is kept, as is that of another PID namespace; a number that was given out again is another process."""
    assert not is_gone(owner())
    pid, since, namespace = owner().split("-")
    assert is_gone(f"{pid}-{int(since) - 1}-{namespace}")
    assert not is_gone(f"{pid}-{int(since) - 1}-1")
    assert started(os.getpid()) == since


@pytest.mark.parametrize(
    "text", ["", "a-b-c", "\u00b2-1-{}", "99999999999999999999-1-{}", "-1-1-{}", "1-1-{}-1"]
)
def test_what_names_no_process_is_left_alone(text):
    """Whoever may make containers may label them: no text of theirs ends in an error, or in the removal of something."""
    assert not is_gone(text.format(owner().split("-")[2]))


def test_a_process_that_ended_is_gone():
    """Once it is waited for nothing of its number is there."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        since = started(child.pid)
        assert since
        assert not is_over(child.pid, since)
    assert is_over(child.pid, since)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide processes")
def test_a_hidden_process_is_not_gone():
    """Where /proc hides the processes of other users (hidepid=2) a live one of theirs is not taken for one that ended."""
    with subprocess.Popen(["/bin/true"]) as ended:
        pass
    me = os.getpid()
    done = subprocess.run(
        [sys.executable, "-c", _HIDDEN, str(me), started(me), str(ended.pid)],
        capture_output=True,
        check=False,
    )
    assert done.stdout.decode() == "'' False True\n", done.stderr.decode()
