"""Sockets of the host that somebody else connects to by their path, however long that is."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def listening(path: Path) -> socket.socket:
    """Return a unix socket that listens at that host path, which everybody may connect to who gets as far as its folder.

    Linux takes no path of more than 107 bytes, so the folder is named by its descriptor. Raises OSError.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    made = socket.socket(socket.AF_UNIX)
    try:
        made.bind(f"/proc/self/fd/{folder}/{path.name}")
        path.chmod(0o666)  # the folder is what keeps others out
        made.listen()
    except BaseException:
        made.close()
        raise
    finally:
        os.close(folder)
    return made
