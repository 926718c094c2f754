"""What a person at a terminal sees while work lasts."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

DRAW = """
import threading
from reprolake.terminal import Terminal

with Terminal().step("Fetching", 4000) as step:
    threads = [threading.Thread(target=lambda: [step.advance() for _ in range(500)]) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


def test_a_bar_of_several_threads_only_grows():
    """Downloads side by side draw one bar, whose share never falls and ends at 100 %."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", DRAW], stderr=theirs, env={"TERM": "xterm"}) as child:
        os.close(theirs)
        drawn = b"".join(_pieces(ours))
    os.close(ours)
    shares = [int(share) for share in re.findall(rb"(\d+)%", drawn)]
    assert child.returncode == 0
    assert len(shares) > 2
    assert shares == sorted(shares)
    assert shares[-1] == 100


def _pieces(terminal):
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # what a terminal answers when its last writer has gone
            return
        if not piece:
            return
        yield piece
