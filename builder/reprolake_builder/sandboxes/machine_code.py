"""Programs for Linux on x86-64 that are nothing but a list of system calls with constant arguments.

They need nothing of the image that they run in, and no compiler here.
Source: System V ABI, AMD64 supplement, A.2.1 (system calls); elf(5).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_BASE = 0x400000
_HEADER = 64 + 2 * 56


def short(over: bytes) -> bytes:
    """Return the distance of a jump over some code, in a byte."""
    return struct.pack("b", len(over))


def call(number: int, *values: int) -> bytes:
    """Make a system call: mov to edi, esi, edx, r10d, r8d what it is given, to eax its number; syscall."""
    registers = (b"\xbf", b"\xbe", b"\xba", b"\x41\xba", b"\x41\xb8")
    moves = b"".join(
        register + struct.pack("<I", value) for register, value in zip(registers, values, strict=False)
    )
    return moves + b"\xb8" + struct.pack("<I", number) + b"\x0f\x05"


class Data:
    """What calls point to; it lies before the code, so that addresses are known while that is made."""

    def __init__(self) -> None:
        self.content = b""

    def put(self, piece: bytes) -> int:
        """Add some bytes and return their address."""
        self.content += b"\0" * (-len(self.content) % 8)
        address = _BASE + _HEADER + len(self.content)
        self.content += piece
        return address

    def text(self, piece: bytes) -> int:
        """Add a text, with the zero that ends it, and return its address."""
        return self.put(piece + b"\0")

    def pointers(self, addresses: Sequence[int]) -> int:
        """Add a list of addresses, with the zero that ends it, and return its own."""
        return self.put(struct.pack(f"={len(addresses) + 1}Q", *addresses, 0))


def executable(data: bytes, code: bytes) -> bytes:
    """Return the file: one segment that can be read and executed, a stack that can not."""
    size = _HEADER + len(data) + len(code)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack(
        "=HHIQQQIHHHHHH", 2, 62, 1, _BASE + _HEADER + len(data), 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    load = struct.pack("=IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    stack = struct.pack("=IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)
    return header + load + stack + data + code
