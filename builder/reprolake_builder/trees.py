"""File trees as values: what a layer holds, in one order, and the tar stream that follows from it.

A tree lies unpacked on disk (so that a run can mount it) beside an index of its entries. The index, not the disk, says
who owns an entry and with which mode: an unprivileged user cannot write those, and a set-uid bit has no business in a
store. The tar stream is made from both whenever it is needed, always with the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from reprolake_builder.errors import BuildError

MTIME = 315532800  # 1980-01-01T00:00:00Z, a constant of the layout: a date of its own would keep layers from being shared
_BLOCK = 512
_WHITEOUT = b".wh."
_PIECE = (
    1 << 16
)  # bytes: of larger buffers each is a new mapping, whose pages cost more than what is done with them
_OCTAL_SIZE_LIMIT = 8**11
_NAME_LIMIT = 100


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One path of a tree.

    `path` is relative, without a leading "./" (bytes: file names need not be text); `kind` is f(ile), d(irectory),
    l(symbolic link) or h(ard link); `size` in bytes; `sha256` (raw) of a file's content; `target` of a link.
    """

    path: bytes
    kind: Literal["f", "d", "l", "h"]
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    sha256: bytes = b""
    target: bytes = b""


KINDS = {"f": "file", "d": "folder", "l": "symbolic link", "h": "hard link"}
"""What messages call each kind of entry."""


class Owned(NamedTuple):
    """Mode and owner that an entry has in the image, where they differ from the rule (0644 or 0755, 0:0)."""

    mode: int
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Filled:
    """What the maker of a tree knows of it: modes and owners that differ from the rule, and the SHA-256 of files, by path.

    A digest is of what the maker wrote himself, so that it need not be read again.
    """

    owned: Mapping[bytes, Owned] = field(default_factory=dict)
    digests: Mapping[bytes, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry and the host folder below which its content lies."""

    entry: Entry
    root: Path


def scan(root: Path, filled: Filled | None = None, owner: tuple[int, int] = (0, 0)) -> list[Entry]:
    """Return the entries below `root` (host path), sorted, and bring the disk in line with the rules of the store.

    On disk every folder becomes 0755 and every file 0644 or 0755, with one date for all. Of several hard links the first
    in order is the file. Raises ValueError for a device, a socket or a pipe, and BuildError for a name that would delete
    files of lower layers wherever the image is unpacked. Source: OCI image specification 1.1, layer.md, "Whiteouts".
    """
    filled = filled or Filled()
    first_of: dict[tuple[int, int], bytes] = {}
    entries: list[Entry] = []
    base = os.fsencode(root)
    for path, info in walk(base):
        on_disk = base + b"/" + path
        if path.rpartition(b"/")[2].startswith(_WHITEOUT):
            name = path.decode("utf-8", "backslashreplace")
            raise BuildError(
                f"{name} begins with .wh., which container images take for a mark of deletion",
                hint="rename the file in the repository, or leave out the package that holds it",
            )
        executable = bool(info.st_mode & 0o100)
        rule = Owned(0o755 if stat.S_ISDIR(info.st_mode) or executable else 0o644, *owner)
        mode, uid, gid = filled.owned.get(path, rule)
        if stat.S_ISLNK(info.st_mode):
            entries.append(Entry(path, "l", 0o777, uid, gid, target=os.readlink(on_disk)))
            continue
        if stat.S_ISDIR(info.st_mode):
            _settle(on_disk, info, 0o755)
            entries.append(Entry(path, "d", mode, uid, gid))
        elif stat.S_ISREG(info.st_mode):
            _settle(on_disk, info, rule.mode)
            inode = (info.st_dev, info.st_ino)
            if info.st_nlink > 1 and inode in first_of:
                entries.append(Entry(path, "h", mode, uid, gid, target=first_of[inode]))
                continue
            first_of[inode] = path
            entries.append(
                Entry(
                    path,
                    "f",
                    mode,
                    uid,
                    gid,
                    info.st_size,
                    filled.digests.get(path) or content_digest(on_disk),
                )
            )
        else:
            raise ValueError(f"{os.fsdecode(path)} is neither a file, a folder nor a link")
    return entries


def give_modes(root: Path) -> None:
    """Give files and folders below `root` (host folder) the modes that they have in an image, whatever the umask was."""
    base = os.fsencode(root)
    for path, info in walk(base):
        if not stat.S_ISLNK(info.st_mode):
            is_open = stat.S_ISDIR(info.st_mode) or info.st_mode & 0o100
            os.chmod(base + b"/" + path, 0o755 if is_open else 0o644)


def walk(
    base: bytes, most: int | None = None, *, unlock: bool = False
) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield paths below `base` (host path) in the order of their bytes, so that "a-b" stands before "a/b".

    With `unlock` files and folders are given back what their owner needs to read them. Raises ValueError for more than `most` paths.
    """
    found: list[tuple[bytes, os.stat_result]] = []
    pending = [b""]
    while pending:
        folder = pending.pop()
        with os.scandir(base + b"/" + folder if folder else base) as listing:
            for item in listing:
                path = folder + b"/" + item.name if folder else item.name
                info = item.stat(follow_symlinks=False)
                found.append((path, info))
                if most is not None and len(found) > most:
                    raise ValueError(f"there are more than {most} files and folders")
                is_folder = stat.S_ISDIR(info.st_mode)
                needed = 0o700 if is_folder else 0o400
                if unlock and info.st_mode & needed != needed and (is_folder or stat.S_ISREG(info.st_mode)):
                    os.chmod(base + b"/" + path, stat.S_IMODE(info.st_mode) | needed)
                if is_folder:
                    pending.append(path)
    found.sort(key=lambda pair: pair[0])
    yield from found


def _settle(on_disk: bytes, info: os.stat_result, mode: int) -> None:
    if stat.S_IMODE(info.st_mode) != mode:
        os.chmod(on_disk, mode)
    os.utime(on_disk, (MTIME, MTIME))


def content_digest(on_disk: bytes) -> bytes:
    """Return the SHA-256 of a file's content, as an entry holds it."""
    with open(on_disk, "rb", buffering=0) as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def merge(trees: Iterable[tuple[Path, Iterable[Entry]]]) -> tuple[list[Placed], list[bytes]]:
    """Return the union of trees (a later one wins) in order, and the paths on which two of them disagree.

    Nothing lies below what is no folder, as in an overlay: whoever unpacked it would follow a link there.
    """
    merged: dict[bytes, Placed] = {}
    conflicts: list[bytes] = []
    for root, entries in trees:
        for entry in entries:
            before = merged.get(entry.path)
            if before is not None and _content(before.entry) != _content(entry):
                conflicts.append(entry.path)
                if before.entry.kind == "d" and entry.kind != "d":
                    for below in [path for path in merged if path.startswith(entry.path + b"/")]:
                        del merged[below]
            merged[entry.path] = Placed(entry, root)
    return [merged[path] for path in sorted(merged)], conflicts


def _content(entry: Entry) -> tuple[object, ...]:
    return (entry.kind, entry.mode, entry.sha256, entry.target)


def write_tar(placed: Iterable[Placed], write: Callable[[bytes], object]) -> int:
    """Write the entries as a tar stream and return its size in bytes; contents are read piece by piece.

    Source: POSIX.1-2017, pax Interchange Format; the extended header is used only where ustar cannot say it.
    Raises ValueError when a file on disk is not as long as its entry says.
    """
    total = 0
    for item in placed:
        header = tar_header(item.entry)
        write(header)
        total += len(header)
        if item.entry.kind == "f" and item.entry.size:
            total += _write_content(item, write)
    write(bytes(2 * _BLOCK))
    return total + 2 * _BLOCK


def _write_content(item: Placed, write: Callable[[bytes], object]) -> int:
    done = 0
    with open(os.fsencode(item.root) + b"/" + item.entry.path, "rb", buffering=0) as stream:
        while piece := stream.read(_PIECE):
            write(piece)
            done += len(piece)
    if done != item.entry.size:
        raise ValueError(
            f"{os.fsdecode(item.entry.path)} has {done} bytes in the store, expected {item.entry.size}"
        )
    padding = -done % _BLOCK
    if padding:
        write(bytes(padding))
    return done + padding


def tar_header(entry: Entry) -> bytes:
    """Return the blocks that stand before an entry's content in a tar stream."""
    name = entry.path + b"/" if entry.kind == "d" else entry.path
    extended = b""
    if len(name) > _NAME_LIMIT or not name.isascii():
        extended += _record(b"path", name)
    if len(entry.target) > _NAME_LIMIT or not entry.target.isascii():
        extended += _record(b"linkpath", entry.target)
    if entry.size >= _OCTAL_SIZE_LIMIT:
        extended += _record(b"size", str(entry.size).encode())
    flag = {"f": b"0", "d": b"5", "l": b"2", "h": b"1"}[entry.kind]
    size = entry.size if entry.size < _OCTAL_SIZE_LIMIT else 0
    block = _ustar(name, entry.mode, entry.uid, entry.gid, size, flag, entry.target)
    if not extended:
        return block
    padded = extended + bytes(-len(extended) % _BLOCK)
    return _ustar(b"PaxHeaders/entry", 0o644, 0, 0, len(extended), b"x", b"") + padded + block


def _record(key: bytes, value: bytes) -> bytes:
    """Return one pax record; its length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def _ustar(name: bytes, mode: int, uid: int, gid: int, size: int, flag: bytes, target: bytes) -> bytes:
    head = name[:_NAME_LIMIT].ljust(_NAME_LIMIT, b"\0")
    head += b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, uid, gid, size, MTIME)
    tail = flag + target[:_NAME_LIMIT].ljust(_NAME_LIMIT, b"\0") + b"ustar\x0000" + bytes(64)
    tail += b"%07o\0%07o\0" % (0, 0) + bytes(155 + 12)
    checksum = sum(head) + 8 * 32 + sum(tail)
    return head + b"%06o\0 " % checksum + tail
