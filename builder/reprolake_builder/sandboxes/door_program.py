"""What makes a sandbox's doors where nobody but the container's own program gets into its network.

A Linux program for x86-64, made for each start: it makes the sockets, sends them over a unix socket that is bound into the
container, closes all of them, and becomes the command. When it fails it ends with 125, when there is no such command with 127.
Source: unix(7), SCM_RIGHTS; cmsg(3); ip(7).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from reprolake_builder.sandboxes.interface import Doors, SandboxSpec
from reprolake_builder.sandboxes.machine_code import Data, call, executable

PROGRAM = "/run/.doors/program"
SOCKET = "/run/.doors/socket"
"""Sandbox paths: of the program, and of the unix socket that it connects to."""
_SOCKET, _CONNECT, _SENDMSG, _BIND, _LISTEN, _EXECVE, _EXIT_GROUP, _CLOSE_RANGE = (
    41,
    42,
    46,
    49,
    50,
    59,
    231,
    436,
)
_STREAM, _CLOEXEC = 1, 0o2000000
_FIRST, _MOST = 3, 0xFFFFFFFF
_BACKLOG = 1024
_NEVER_RAN, _NOT_THERE = 125, 127


def door_program(spec: SandboxSpec, doors: Doors) -> bytes:
    """Return the program, which becomes that of the sandbox."""
    data = Data()
    failed = call(_EXIT_GROUP, _NEVER_RAN)

    def must(number: int, *values: int) -> bytes:
        # test eax, eax; jns over what follows
        return call(number, *values) + b"\x85\xc0\x79" + struct.pack("b", len(failed)) + failed

    unix = struct.pack("=H108s", socket.AF_UNIX, SOCKET.encode())
    # descriptors are given out in order: nothing is open from the first on
    code = must(_CLOSE_RANGE, _FIRST, _MOST, 0) + must(_SOCKET, socket.AF_UNIX, _STREAM | _CLOEXEC, 0)
    code += must(_CONNECT, _FIRST, data.put(unix), len(unix))
    made = range(_FIRST + 1, _FIRST + 1 + len(doors.listen) + doors.dials)
    for _ in made:
        code += must(_SOCKET, socket.AF_INET, _STREAM | _CLOEXEC, 0)
    for descriptor, port in zip(made, doors.listen, strict=False):
        here = struct.pack(">HI8x", port, 0x7F000001)
        address = data.put(struct.pack("=H", socket.AF_INET) + here)
        code += must(_BIND, descriptor, address, 16) + must(_LISTEN, descriptor, _BACKLOG)
    code += must(_SENDMSG, _FIRST, _message(data, made), 0)
    words = data.pointers([data.text(word.encode(errors="surrogateescape")) for word in spec.argv])
    pairs = [f"{name}={value}".encode(errors="surrogateescape") for name, value in spec.env.items()]
    variables = data.pointers([data.text(pair) for pair in pairs])
    for path in spec.candidates:
        code += call(_EXECVE, data.text(path.encode(errors="surrogateescape")), words, variables)
    return executable(data.content, code + call(_EXIT_GROUP, _NOT_THERE))


def _message(data: Data, descriptors: Sequence[int]) -> int:
    """Return the address of a struct msghdr: one byte, and the descriptors."""
    piece = data.put(struct.pack("=QQ", data.put(b"."), 1))
    control = struct.pack(
        f"=Qii{len(descriptors)}i",
        16 + 4 * len(descriptors),
        socket.SOL_SOCKET,
        socket.SCM_RIGHTS,
        *descriptors,
    )
    space = len(control) + -len(control) % 8
    return data.put(struct.pack("=QIxxxxQQQQixxxx", 0, 0, piece, 1, data.put(control), space, 0))
