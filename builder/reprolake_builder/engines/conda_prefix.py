"""The prefix that a conda package was built for, replaced by the image's, piece by piece.

Source: conda's `core/portability.py` (replace_prefix, binary_replace, replace_long_shebang); rattler_install's link.rs for
scripts of Python, whose options conda's form would lose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_LONGEST_LINE = 1 << 16  # bytes: a first line that is longer names no interpreter
_LONGEST_SHEBANG = 127  # bytes: what every Linux reads of it
_SHEBANG = re.compile(rb"(#![ ]*)(/(?:\\ |[^ \n\r\t])*)(.*)", re.DOTALL)
_PYTHON = re.compile(rb"python(?:\d+(?:\.\d+)?)?")


def replaced_in_text(pieces: Iterator[bytes], placeholder: str, prefix: str) -> Iterator[bytes]:
    """Yield a text with the prefix in place of the placeholder; a first line that grows too long names its interpreter anew."""
    for encoding in _ENCODINGS:
        pieces = _replaced(pieces, placeholder.encode(encoding), prefix.encode(encoding))
    return _short_shebang(pieces)


def replaced_in_binary(pieces: Iterator[bytes], placeholder: str, prefix: str) -> Iterator[bytes]:
    """Yield a binary file with the prefix in place of the placeholder: each string stays as long as it was, by zeros at its end.

    A string that only the end of the file ends is treated alike, which conda leaves as it is.
    Raises ValueError when the placeholder is shorter than the prefix.
    """
    if len(placeholder.encode()) < len(prefix.encode()):
        raise ValueError(f"it was built for a prefix that is shorter than {prefix}")
    for encoding in _ENCODINGS:
        old, new = placeholder.encode(encoding), prefix.encode(encoding)
        pieces = _padded(pieces, old, new, "\0".encode(encoding))
    return pieces


def _replaced(pieces: Iterator[bytes], old: bytes, new: bytes) -> Iterator[bytes]:
    kept = b""
    for piece in pieces:
        *whole, kept = (kept + piece).split(old)
        for part in whole:
            yield part + new
        # Its end may be the beginning of another one.
        ready = max(0, len(kept) - len(old) + 1)
        yield kept[:ready]
        kept = kept[ready:]
    yield kept


def _padded(pieces: Iterator[bytes], old: bytes, new: bytes, end: bytes) -> Iterator[bytes]:
    """Replace, and give the strings that became shorter zeros before their `end`: no string is ever held."""
    kept, owed = b"", 0
    for piece in pieces:
        data, done = kept + piece, 0
        while True:
            found = data.find(old, done)
            ending = data.find(end, done) if owed else -1
            if found >= 0 and (ending < 0 or found < ending):
                yield data[done:found] + new
                done = found + len(old)
                owed += len(old) - len(new)
            elif ending >= 0:
                yield data[done:ending] + bytes(owed)
                done, owed = ending, 0
            else:
                break
        ready = max(done, len(data) - len(old) + 1)
        yield data[done:ready]
        kept = data[ready:]
    yield kept + bytes(owed)


def _short_shebang(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pass a text on; a first line that Linux would cut off finds its interpreter another way."""
    line = b""
    for piece in pieces:
        line += piece
        if b"\n" in line or not line.startswith(b"#!"[: len(line)]) or len(line) > _LONGEST_LINE:
            break
    first, newline, rest = line.partition(b"\n")
    if (shebang := _SHEBANG.fullmatch(first)) and len(first) > _LONGEST_SHEBANG:
        first = _found_otherwise(shebang)
    yield first + newline + rest
    yield from pieces


def _found_otherwise(shebang: re.Match[bytes]) -> bytes:
    interpreter, options = shebang[2], shebang[3]
    name = interpreter.rpartition(b"/")[2]
    if _PYTHON.fullmatch(name):  # a line for the shell, which is a text to Python
        return b"#!/bin/sh\n'''exec' \"%s\"%s \"$0\" \"$@\" #'''" % (interpreter, options)
    return b"#!/usr/bin/env %s%s" % (name, options)
