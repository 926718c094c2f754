"""Runs inside the image's own Python (3.9 and later), never in ours: compiles the sources named on standard input.

    python compile_sources.py ROOT PREFIX      names on standard input: relative to ROOT, each ended by a NUL

For each of them, in turn, it writes to standard output the length of the byte code (8 bytes, little-endian; 0 where there is
none) and the byte code, so that whoever started it can tell which source ended it. It reads and compiles; nothing of ROOT is
imported or executed.
"""

import sys

sys.path.pop(0)  # this file's folder is no place to import from

import importlib.util
import marshal
import os
import resource

_MEMORY = 2 << 30  # bytes
_CPU = 300  # seconds
_SOURCE = 8 << 20  # bytes: a longer source gets no byte code
_PYC = 256 << 20  # bytes
_UNCHECKED_HASH = (1).to_bytes(4, "little")
# Before 3.11, which objects are written as references depends on what else the process holds; version 2 has no references.
_MARSHAL = 2 if sys.version_info < (3, 11) else marshal.version


def _limit() -> None:
    for kind, most in (
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_CPU, _CPU),
    ):
        resource.setrlimit(kind, (most, most))


def _compiled(root: bytes, prefix: bytes, name: bytes) -> bytes:
    """Return the content of the .pyc file of a source, b"" where it gets none."""
    source_file = root + b"/" + name
    if os.lstat(source_file).st_size > _SOURCE:
        return b""
    with open(os.open(source_file, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
        source = stream.read()
    try:
        code = compile(source, os.fsdecode(prefix + b"/" + name), "exec", dont_inherit=True, optimize=0)
        body = marshal.dumps(code, _MARSHAL)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError, LookupError):
        return b""  # no Python of this version: importing it will say so
    if len(body) > _PYC:
        return b""
    return importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(source) + body


def main() -> None:
    """Compile every source named on standard input, in that order."""
    _limit()
    root, prefix = (os.fsencode(argument) for argument in sys.argv[1:])
    with open(1, "wb", closefd=False) as answer:
        for name in sys.stdin.buffer.read().split(b"\0")[:-1]:
            pyc = _compiled(root, prefix, name)
            answer.write(len(pyc).to_bytes(8, "little") + pyc)
            answer.flush()


if __name__ == "__main__":
    main()
