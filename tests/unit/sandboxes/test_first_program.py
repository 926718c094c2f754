"""The first program of a container, run as it is on this host."""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess

import pytest

from reprolake_builder.sandboxes.first_program import FIRST, PROGRAM, Command, first_program
from reprolake_builder.sandboxes.launched import rules

SHELL = (b"/nonexistent/sh", b"/bin/sh")


@pytest.fixture
def run(tmp_path):
    """Runs a shell script behind the first program; returns status, output, errors and what was reported."""

    def call(script, paths=SHELL, answer=b"g", cwd=b"/usr"):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            return talk(ours, theirs, script, paths, answer, cwd)

    def talk(ours, theirs, script, paths, answer, cwd):
        argv = (b"sh", b"-c", script.encode())
        limits = ((resource.RLIMIT_NOFILE, 77), (resource.RLIMIT_CORE, 0))
        command = Command(paths, argv, {b"A": b"b c", b"not a name": b"\xff"}, cwd, limits)
        file = tmp_path / "first"
        file.write_bytes(first_program(command, os.fsencode(file), rules(), theirs.fileno()))
        file.chmod(0o755)
        # another descriptor that is not to be inherited further
        with (
            open("/dev/null") as more,
            subprocess.Popen(
                [file],
                pass_fds=(theirs.fileno(), more.fileno()),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as child,
        ):
            theirs.close()
            told = [ours.recv(99), ours.recv(99)]
            if answer:
                ours.send(answer)
            else:
                ours.shutdown(socket.SHUT_WR)
            while word := ours.recv(99):
                told.append(word)
            out, errors = child.communicate(timeout=60)
        return child.returncode, out, errors, told

    return call


@pytest.mark.parametrize(
    ("script", "status"),
    [("true", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)],
)
def test_it_ends_as_the_program_does(run, script, status):
    """The status is the program's; a signal is 128 and its number."""
    found = run(script)
    assert found[:3] == (status, b"", b"")
    assert sorted(found[3]) == [FIRST, PROGRAM]


def test_the_program_gets_what_was_said_and_no_more(run):
    """Variables, working folder, limits and descriptors are exactly those asked for, and the filter is there."""
    script = "pwd; ulimit -n; ls /proc/self/fd; grep -a -E 'Seccomp:|NoNewPrivs' /proc/self/status; tr '\\0' '\\n' < /proc/$$/environ"
    status, told, errors, _ = run(script)
    assert (status, errors) == (0, b"")
    # ls itself has opened the folder
    assert told.split(b"\n") == [
        b"/usr", b"77", b"0", b"1", b"2", b"3", b"NoNewPrivs:\t1", b"Seccomp:\t2", b"A=b c", b"not a name=\xff", b"",
    ]  # fmt: skip


def test_orphans_are_collected_and_do_not_end_it(run):
    """A process that outlives its parent is waited for by the first one only as long as the program runs."""
    assert run("(sleep 0.05 &) ; sleep 0.3; exit 4")[0] == 4


@pytest.mark.parametrize("change", [{"paths": (b"/nonexistent",)}, {"cwd": b"/nonexistent"}, {"answer": b""}])
def test_a_failure_is_reported(run, change):
    """A program that is not there, a folder that is not there, or a parent that is gone ends it before anything ran."""
    status, told, _, words = run("echo ran", **change)
    assert (status, told) == (125, b"")
    assert words[-1] == (bytes([errno.ENOENT]) if change.get("answer", b"g") else b"\0")


def test_the_first_process_has_no_variables(run):
    """What it was started with itself cannot be read by the program; in its own place there is nothing."""
    assert "PATH" in os.environ
    assert run("cat /proc/$PPID/environ; tr '\\0' ' ' < /proc/$PPID/cmdline")[1] == b"first first "


def test_it_cannot_be_read_from_beside(run):
    """The program is denied what its first process is denied: it runs under the same filter."""
    status, told, _, _ = run(
        f"grep -a Seccomp: /proc/{os.getpid()}/status; grep -a Seccomp: /proc/$PPID/status"
    )
    assert status == 0
    assert told.split() == [b"Seccomp:", b"0", b"Seccomp:", b"2"]
