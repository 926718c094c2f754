"""Runs inside the image's own Python (3.9 and later), never in ours: compiles the sources that come on standard input.

A share of sources is its number and, for each, the lengths of its path in the image and of its content, and both. For each
the length of its byte code comes back (0 where there is none), and the byte code, so that whoever asked can tell which source
ended it. Numbers have 8 bytes, little-endian. Sources are compiled; nothing is imported or executed.

What a compiler returns depends a little on what its process compiled before. So this process compiles nothing: it is the
parent of one process for each share, and these begin all alike.
"""

import sys

sys.path.pop(0)  # this file's folder is no place to import from

import importlib.util
import marshal
import os
import resource

_MEMORY = 2 << 30  # bytes
_CPU = 300  # seconds for a share
_PYC = 64 << 20  # bytes: longer byte code is none
_NUMBER = 8
_UNCHECKED_HASH = (1).to_bytes(4, "little")
# Before 3.11, which objects are written as references depends on what else the process holds; version 2 has no references.
_MARSHAL = 2 if sys.version_info < (3, 11) else marshal.version


def _limit() -> None:
    for kind, most in (
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_CPU, _CPU),
    ):
        resource.setrlimit(kind, (most, most))


def _read(size: int) -> bytes:
    """Return the next bytes, and none of those after them, which may be another process's."""
    pieces = []
    while size and (piece := os.read(0, size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _number() -> int:
    return int.from_bytes(_read(_NUMBER), "little")


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


def _compiled(name: bytes, source: bytes) -> bytes:
    """Return the content of the .pyc file of a source, b"" where it gets none."""
    try:
        code = compile(source, os.fsdecode(name), "exec", dont_inherit=True, optimize=0)
        body = marshal.dumps(code, _MARSHAL)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError, LookupError):
        return b""  # no Python of this version: importing it will say so
    if len(body) > _PYC:
        return b""
    return importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(source) + body


def _compile_share(count: int) -> None:
    _limit()
    for _ in range(count):
        lengths = _number(), _number()
        pyc = _compiled(*map(_read, lengths))
        _write(len(pyc).to_bytes(_NUMBER, "little") + pyc)


def main() -> None:
    """Compile every share that comes; end as the process that compiles does, unless it ends well."""
    while count := _number():
        child = os.fork()
        if not child:
            _compile_share(count)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            sys.exit(128 - status if status < 0 else status)


if __name__ == "__main__":
    main()
