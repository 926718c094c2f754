"""The look at the host from outside: it sees what a hostile program could leave, so that an unchanged host means something."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest
from host_state import differences, host_state

USER = 0x7000BEEF
LEAVES = """
import ctypes, os, socket, sys, time
libc = ctypes.CDLL(None)
os.setgid({user}); os.setuid({user})
libc.syscall(ctypes.c_long(250), 1, None)
for n in range(30):
    libc.syscall(ctypes.c_long(248), b"user", b"left%d" % n, b"x", ctypes.c_size_t(1), -3)
tcp = socket.create_server(("127.0.0.1", 0))
unix = socket.socket(socket.AF_UNIX); unix.bind({path!r}); unix.listen()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make processes of another user")
def test_what_is_left_is_seen(tmp_path):
    """Processes, sockets, keys, mounts and changed files are each named as a difference."""
    marker = f"marker-{os.getpid()}"
    folder = tmp_path / marker
    folder.mkdir()
    (folder / "mounted").mkdir()
    (folder / "file").write_text("before")
    before = host_state(USER, marker, [folder])
    assert differences(before, host_state(USER, marker, [folder])) == {}
    source = LEAVES.format(user=USER, path=f"\0{marker}")
    child = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    (folder / "file").write_text("after")
    libc = ctypes.CDLL(None)
    assert libc.mount(b"none", str(folder / "mounted").encode(), b"tmpfs", 0, None) == 0
    try:
        found = differences(before, host_state(USER, marker, [folder]))
    finally:
        libc.umount2(str(folder / "mounted").encode(), 2)
        child.kill()
        child.communicate()
    assert set(found) == {"processes", "sockets", "keys", "mounts", "files"}
