"""The doors of every way to isolate: sockets of a network that nobody else gets into, in the hands of who started the program."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import tempfile

import pytest
from sandbox_programs import HOST, SANDBOXES, output, spec, start
from waiting import until

from reprolake_builder.errors import SandboxError
from reprolake_builder.sandboxes.interface import Doors

PYTHON = 'for p in /opt/env/bin/python3 /usr/bin/python3; do test -x $p && exec $p -c "$CODE"; done'
TALK = """
import os, socket
print(sorted(os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')), [n for _, n in socket.if_nameindex()], flush=True)
listener = socket.create_server(('127.0.0.1', 9001))
with socket.create_connection(('127.0.0.1', 3128)) as one:
    one.sendall(b'from inside')
    one.recv(1)
one, _ = listener.accept()
one.sendall(b'inside again')
one.close()
"""


def test_doors_lead_out_and_in(sandbox, root):
    """What listens inside is served outside, and what is handed out connects to the inside, and nothing of it is left in there."""
    given = spec(root, PYTHON, env={"CODE": TALK}, doors=Doors(listen=(3128, 3129), dials=2))
    told, tell = os.pipe()
    running = sandbox.start(given, stdin=subprocess.DEVNULL, stdout=tell, stderr=tell)
    os.close(tell)
    with open(told) as stream, contextlib.ExitStack() as stack:
        doors = [stack.enter_context(door) for door in running.doors]
        assert [door.family for door in doors] == [socket.AF_INET] * 4
        doors[0].settimeout(60)
        one, _ = doors[0].accept()
        with one:
            assert one.recv(100) == b"from inside"
            one.sendall(b".")
        until(lambda: doors[2].connect_ex(("127.0.0.1", 9001)) == 0)
        assert doors[2].recv(100) == b"inside again"
        assert running.wait(60) == 0
        assert stream.read() == "['0', '1', '2'] 4 ['lo']\n"


def test_doors_do_not_lead_to_the_host(sandbox, root):
    """A socket that was handed out connects to the sandbox's loopback, where nobody listens, and not to the host's, where we do."""
    given = spec(root, "sleep 600", doors=Doors(dials=1))
    running = start(sandbox, given)
    try:
        with socket.create_server(("127.0.0.1", 0)) as ours, running.doors[0] as door:
            assert door.connect_ex(ours.getsockname()) != 0
            with socket.create_connection(ours.getsockname()):
                pass
    finally:
        running.kill()


def test_without_doors_there_are_none(sandbox, root):
    """Who asks for no doors gets none, and the program runs as ever."""
    assert output(sandbox, spec(root, "echo well"))[1] == "well\n"
    running = start(sandbox, spec(root, "true"))
    assert running.doors == ()
    assert running.wait(60) == 0


def test_a_program_that_is_not_there_is_told(sandbox, root):
    """Also behind doors, a command that does not exist ends in an error of the sandbox, or as shells end then."""
    given = dataclasses.replace(spec(root, "", doors=Doors(listen=(3128,))), argv=("/nowhere/at/all",))
    running = start(sandbox, given)
    for door in running.doors:
        door.close()
    try:
        found = running.wait(60)
    except SandboxError:
        found = 127
    assert found == 127


def test_a_long_path_of_the_temporary_folder_is_no_obstacle(sandbox, root, tmp_path, monkeypatch):
    """Sockets lie in that folder, whose path may be longer than the 107 bytes that Linux takes for theirs."""
    deep = tmp_path / ("a" * 120)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    running = start(sandbox, spec(root, "true", doors=Doors(listen=(3128,))))
    for door in running.doors:
        door.close()
    assert running.wait(60) == 0


@pytest.mark.engine("podman")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_folder_without_programs_is_named(tmp_path, monkeypatch):
    """Where nothing in the temporary folder can be executed the error says so, and what helps."""
    given = spec(HOST, "true", doors=Doors(listen=(3128,)))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec,mode=1777", "none", tmp_path], check=True)
    try:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        running = start(SANDBOXES["podman"](), given)
        try:
            with pytest.raises(SandboxError, match="have TMPDIR name a folder where programs can be"):
                list(running.doors)
        finally:
            running.kill()
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)
