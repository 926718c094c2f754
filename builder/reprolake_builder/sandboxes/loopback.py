"""A network of its own for a sandbox, with nothing but a loopback, and sockets of it that are handed out.

Only modules that are cheap to import are used: this runs before the start of a sandbox.
Source: network_namespaces(7); unix(7), SCM_RIGHTS.
"""

from __future__ import annotations

import _socket
import array
import os

from reprolake_builder.sandboxes import mounts

_HERE = "127.0.0.1"
_BACKLOG = 1024


def own_network() -> None:
    """Move this process into a new network. Raises OSError when it is still in the one that there was."""
    before = os.readlink("/proc/self/ns/net")
    mounts.unshare(mounts.CLONE_NEWNET)
    if os.readlink("/proc/self/ns/net") == before:
        raise OSError(1, "Operation not permitted", "new network namespace")
    mounts.loopback_up()


def hand_out(to: int, listen: list[int], dials: int) -> None:
    """Send sockets of this process's network over the unix socket `to`, which is closed then: listening ones, then others."""
    sockets = [_tcp() for _ in range(len(listen) + dials)]
    for one, port in zip(sockets, listen, strict=False):
        one.bind((_HERE, port))
        one.listen(_BACKLOG)
    outside = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, to)
    numbers = array.array("i", [one.fileno() for one in sockets])
    outside.sendmsg([b"."], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)])
    for one in (*sockets, outside):
        one.close()


def _tcp() -> _socket.socket:
    return _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
