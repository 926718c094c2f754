"""/etc/ld.so.cache, where the dynamic loader and `ldconfig -p` (so ctypes.util.find_library too) look libraries up.

Source: glibc, sysdeps/generic/dl-cache.h, format "glibc-ld.so.cache1.1"; the order of entries is that of _dl_cache_libcmp.
"""

from __future__ import annotations

import fnmatch
import mmap
import os
import posixpath
import re
import struct

from reprolake_builder.engines.debian_tree import TreeMaker

_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("<20sIIB3xI12x")
_ENTRY = struct.Struct("<iIIIQ")
_X86_64_LIBC6 = 0x0303
_LITTLE_ENDIAN = 2
_DEFAULT_FOLDERS = (b"/lib", b"/usr/lib")
_LIBRARY = re.compile(rb"(?:lib|ld-).*\.so(?:\..*)?")
_PIECES = re.compile(rb"[0-9]+|[^0-9]", re.DOTALL)
_ELF = struct.Struct("<4sBB10xHH12xQ14xHH")  # magic, class, data, type, machine, phoff, phentsize, phnum
_PROGRAM = struct.Struct("<I4xQQ8xQ")  # type, offset, virtual address, size in the file
_DYNAMIC = struct.Struct("<qQ")


def library_cache(maker: TreeMaker) -> bytes:
    """Return the content of /etc/ld.so.cache for the libraries of the tree and of the one below it."""
    found: dict[bytes, bytes] = {}
    seen: set[bytes] = set()
    for folder in (*_configured(maker, b"etc/ld.so.conf"), *_DEFAULT_FOLDERS):
        real = maker.locate(folder)
        if real not in seen:
            seen.add(real)
            for name, path in _libraries(maker, folder, real):
                found.setdefault(name, path)
    entries = sorted(found.items(), key=lambda pair: _order(pair[0]), reverse=True)
    start = _HEADER.size + _ENTRY.size * len(entries)
    table = bytearray()
    packed = bytearray()
    for name, path in entries:
        packed += _ENTRY.pack(_X86_64_LIBC6, start + len(table), start + len(table) + len(name) + 1, 0, 0)
        table += name + b"\0" + path + b"\0"
    return _HEADER.pack(_MAGIC, len(entries), len(table), _LITTLE_ENDIAN, 0) + packed + table


def _configured(maker: TreeMaker, conf: bytes) -> list[bytes]:
    """Return the folders that a configuration names, in order. Source: ldconfig(8)."""
    folders: list[bytes] = []
    for line in (maker.read(conf) or b"").splitlines():
        words = line.partition(b"#")[0].split()
        if words[:1] == [b"include"]:
            for pattern in words[1:]:
                listed = maker.listed(posixpath.dirname(pattern).decode())
                for path in fnmatch.filter(listed, pattern.lstrip(b"/")):
                    folders += _configured(maker, path) if path != conf else []
        elif words:
            folders.append(words[0])
    return folders


def _libraries(maker: TreeMaker, folder: bytes, real: bytes) -> list[tuple[bytes, bytes]]:
    """Return name and path of the libraries in a folder: the name that programs ask for, and that which linkers do."""
    found: list[tuple[bytes, bytes]] = []
    for path in maker.listed(os.fsdecode(real)):
        file = posixpath.basename(path)
        on_disk = maker.find(path) if _LIBRARY.fullmatch(file) else None
        if on_disk is None or (name := soname(on_disk)) is None:
            continue
        is_link = maker.nodes[path].kind == "l"
        name = file if is_link and file.endswith(b".so") else name or file
        # The path shown is that of the link called like the library, when there is one.
        shown = name if real + b"/" + name in maker.nodes else file
        found.append((name, folder + b"/" + shown))
    return found


def soname(on_disk: bytes) -> bytes | None:
    """Return the name that a library (host path) calls itself, b"" for none, and None for what is no library for x86-64."""
    with open(on_disk, "rb") as stream:
        try:
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _read_soname(data)
        except (struct.error, StopIteration, ValueError, KeyError):
            return None


def _read_soname(data: mmap.mmap) -> bytes | None:
    """Source: System V ABI, chapters 4 and 5."""
    magic, width, order, kind, machine, at, step, count = _ELF.unpack_from(data)
    if (magic, width, order, machine, kind) != (b"\x7fELF", 2, 1, 62, 3):
        return None
    programs = [_PROGRAM.unpack_from(data, at + step * number) for number in range(count)]
    dynamic = next(data[offset : offset + size] for tag, offset, _, size in programs if tag == 2)
    tags = dict(_DYNAMIC.iter_unpack(dynamic[: len(dynamic) // 16 * 16]))
    if 14 not in tags:
        return b""
    begin = next(
        tags[5] - address + offset + tags[14]
        for tag, offset, address, size in programs
        if tag == 1 and address <= tags[5] < address + size
    )
    end = data.find(b"\0", begin)
    return data[begin:end] if begin <= end else None


def _order(name: bytes) -> list[tuple[int, int]]:
    """Return a value that sorts as the loader's search expects: numbers as numbers, and after every other character."""
    return [(1, int(piece)) if piece.isdigit() else (0, piece[0]) for piece in _PIECES.findall(name)]
