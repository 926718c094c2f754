"""Shared libraries that built wheels are linked with: which the image lacks, and which Debian package of the toolchain has them.

Source: System V ABI, "Program Header" and "Dynamic Section"; dpkg's lists of files.
"""

from __future__ import annotations

import posixpath
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from reprolake_builder.documents.conda import CONDA_PREFIX
from reprolake_builder.documents.lock import STANDALONE_PREFIX
from reprolake_builder.store import Tree

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5
_MOST_HEADERS, _MOST_ENTRIES, _LONGEST = 1000, 10_000, 4096
_PLACES = (
    b"usr/lib/",
    b"lib/",
    *(f"{prefix}/lib/".encode().lstrip(b"/") for prefix in (CONDA_PREFIX, STANDALONE_PREFIX)),
)
_LISTS = b"var/lib/dpkg/info/"


def missing_libraries(wheel: Path, trees: Iterable[Tree]) -> tuple[str, ...]:
    """Return the libraries that modules in the wheel (host path) ask for, and neither the wheel nor the trees have; sorted."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".so" in posixpath.basename(name)]
        needed: set[str] = set()
        for name in names:
            with archive.open(name) as stream:
                needed |= set(needed_libraries(stream))  # type: ignore[arg-type]
    there = {posixpath.basename(name) for name in names}
    for tree in trees:
        there |= {
            posixpath.basename(entry.path).decode("utf-8", "replace")
            for entry in tree.entries
            if entry.path.startswith(_PLACES) and b".so" in entry.path
        }
    return tuple(sorted(needed - there))


def needed_libraries(stream: BinaryIO) -> Iterator[str]:
    """Yield the libraries that an ELF file (seekable) asks for; nothing for a file that is none, or is damaged."""
    try:
        yield from _needed(stream)
    except (struct.error, ValueError, OSError, EOFError):
        return


def _needed(stream: BinaryIO) -> Iterator[str]:
    header = stream.read(64)
    if not header.startswith(_MAGIC) or len(header) < 64:
        return
    table, size, count = *struct.unpack_from("<Q", header, 32), *struct.unpack_from("<HH", header, 54)
    loads: list[tuple[int, int, int]] = []
    dynamic: tuple[int, int] | None = None
    for number in range(min(count, _MOST_HEADERS)):
        stream.seek(table + number * size)
        kind, _, offset, address, _, length = struct.unpack("<IIQQQQ", stream.read(40))
        if kind == _PT_LOAD:
            loads.append((address, offset, length))
        elif kind == _PT_DYNAMIC:
            dynamic = (offset, length)
    if dynamic is None:
        return
    stream.seek(dynamic[0])
    found: list[int] = []
    strings = 0
    for _ in range(min(dynamic[1] // 16, _MOST_ENTRIES)):
        tag, value = struct.unpack("<qQ", stream.read(16))
        if tag == _DT_NULL:
            break
        if tag == _DT_NEEDED:
            found.append(value)
        elif tag == _DT_STRTAB:
            strings = value
    start = next((offset + strings - at for at, offset, length in loads if at <= strings < at + length), None)
    if start is None:
        return
    for at in found:
        stream.seek(start + at)
        yield stream.read(_LONGEST).partition(b"\0")[0].decode("utf-8", "replace")


def owners(libraries: Iterable[str], system: Tree) -> dict[str, str]:
    """Return the Debian package of each library, as far as the lists of files in the system's tree tell."""
    wanted = {library.encode(): library for library in libraries}
    found: dict[str, str] = {}
    for entry in system.entries:
        if not entry.path.startswith(_LISTS) or not entry.path.endswith(b".list"):
            continue
        package = entry.path[len(_LISTS) : -len(b".list")].decode().partition(":")[0]
        # The index says that this is a file below plain folders.
        for line in (system.root / entry.path.decode()).read_bytes().splitlines():
            if (name := line.rpartition(b"/")[2]) in wanted and b"/lib" in line:
                found.setdefault(wanted[name], package)
    return found
