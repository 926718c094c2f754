"""Byte code that conda packages bring along: kept, and made to last.

It is of use only while it bears the date of its source's file, and in a layer every file has the same date. From Python 3.7 on
byte code may say instead that nobody is to look. Source: PEP 552, PEP 3147, importlib's `_bootstrap_external.py`.
"""

from __future__ import annotations

import re

from reprolake_builder.trees import MTIME

HEADER = 16
"""Bytes at the beginning of byte code that are enough to make it last."""
_CACHED = re.compile(r"((?:.*/)?)__pycache__/([^/]+)\.cpython-(\d)(\d+)(?:\.opt-[12])?\.pyc")
_BESIDE = re.compile(r"(.*)\.py[co]")
_UNCHECKED = (1).to_bytes(4, "little")
_DATE = MTIME.to_bytes(4, "little")


def source_of(path: str) -> str:
    """Return the path of the source that a file is byte code of, "" where it is none."""
    if cached := _CACHED.fullmatch(path):
        return f"{cached[1]}{cached[2]}.py"
    beside = _BESIDE.fullmatch(path)
    return f"{beside[1]}.py" if beside else ""


def python_of(path: str) -> tuple[int, int]:
    """Return the version of Python that byte code is for; of that which lies beside its source only 2.7 knows."""
    cached = _CACHED.fullmatch(path)
    return (int(cached[3]), int(cached[4])) if cached else (2, 7)


def lasting(header: bytes, path: str, sha256: str, size: int) -> bytes:
    """Return the beginning of byte code, HEADER bytes of it, for a source of that SHA-256 (hexadecimal) and size in bytes.

    The hash in it is not Python's own, which differs from release to release; nobody reads it.
    """
    python = python_of(path)
    if python >= (3, 7):
        by_date = header[4:8] == bytes(4)
        return header[:4] + _UNCHECKED + bytes.fromhex(sha256)[:8] + header[16:] if by_date else header
    if python >= (3, 3):
        return header[:4] + _DATE + (size & 0xFFFFFFFF).to_bytes(4, "little") + header[12:]
    return header[:4] + _DATE + header[8:]
