"""Runs inside the image's own Python, never in ours: compiles the sources that come on standard input.

A share of sources is its number and, for each, the lengths of its path in the image and of its content, and both. For each
the length of its byte code comes back (0 where there is none), and the byte code, so that whoever asked can tell which source
ended it. Numbers have 8 bytes, little-endian. Sources are compiled; nothing is imported or executed.

What a compiler returns depends a little on what its process compiled before. So this process compiles nothing: it is the
parent of one process for each share, and these begin all alike.

It is written in what Python 2.7 and all that came after have in common: conda's environments are as old as their notebooks.
"""
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN201, ANN202, PLC1802, UP036

import sys

sys.path.pop(0)  # this file's folder is no place to import from

import marshal
import os
import resource
import struct

if sys.version_info >= (3, 0):
    import importlib.util

    _MAGIC = importlib.util.MAGIC_NUMBER
else:
    import imp

    _MAGIC = imp.get_magic()

_MEMORY = 2 << 30  # bytes
_CPU = 300  # seconds for a share
_PYC = 64 << 20  # bytes: longer byte code is none
_NUMBER = struct.Struct("<Q")
_UNCHECKED_HASH = struct.pack("<I", 1)
_DATE = struct.pack("<I", 315532800)  # of every file in a layer: trees.MTIME
# Before 3.11, which objects are written as references depends on what else the process holds; version 2 has no references.
_MARSHAL = 2 if sys.version_info < (3, 11) else marshal.version


def _limit():
    for kind, most in (
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_CPU, _CPU),
    ):
        resource.setrlimit(kind, (most, most))


def _read(size):
    """Return the next bytes, and none of those after them, which may be another process's."""
    pieces = []
    while size:
        piece = os.read(0, size)
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _number():
    data = _read(_NUMBER.size)
    return _NUMBER.unpack(data)[0] if len(data) == _NUMBER.size else 0


def _write(data):
    rest = memoryview(data)
    while len(rest):
        rest = rest[os.write(1, rest) :]


def _compiled(name, source):
    """Return the content of the .pyc file of a source, b"" where it gets none."""
    try:
        if sys.version_info < (3,):
            code = compile(source, name, "exec", 0, 1)
        else:
            code = compile(source, os.fsdecode(name), "exec", dont_inherit=True, optimize=0)
        body = marshal.dumps(code, _MARSHAL)
    except (SyntaxError, ValueError, TypeError, RuntimeError, MemoryError, OverflowError, LookupError):
        return b""  # no Python of this version: importing it will say so
    if len(body) > _PYC:
        return b""
    return _MAGIC + _validity(source) + body


def _validity(source):
    """Return what byte code is believed by: a hash that nobody checks or, where Python knows no such thing, the layers' date."""
    if sys.version_info >= (3, 7):
        return _UNCHECKED_HASH + importlib.util.source_hash(source)
    return _DATE + (struct.pack("<I", len(source) & 0xFFFFFFFF) if sys.version_info >= (3, 3) else b"")


def _compile_share(count):
    _limit()
    for _ in range(count):
        lengths = _number(), _number()
        pyc = _compiled(_read(lengths[0]), _read(lengths[1]))
        _write(_NUMBER.pack(len(pyc)) + pyc)


def main():
    """Compile every share that comes; end as the process that compiles does, unless it ends well."""
    while True:
        count = _number()
        if not count:
            return
        child = os.fork()
        if not child:
            _compile_share(count)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            sys.exit(128 + os.WTERMSIG(status))
        if os.WEXITSTATUS(status):
            sys.exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
