"""An archive into a tree: hashed, or written to disk, without ever being able to reach anything else."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reprolake_builder.archives.formats import commit_named, is_archive, reading
from reprolake_builder.archives.members import LIMITS, Limits, Member
from reprolake_builder.archives.plan import Plan, plan
from reprolake_builder.git_tree import TreeError, TreeHasher, shown
from reprolake_builder.process import printable

_MOST_NAMES = 128 << 20  # bytes: they are held in memory


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What an archive told: the folder that held all of it ("" for none), and the commit that it was made from ("" for none).

    `notes` tell people what was left out.
    """

    top: str
    commit: str
    notes: tuple[str, ...]


def unpack(
    archive: Path, name: str, sink: TreeHasher, *, below: bytes = b"", limits: Limits = LIMITS
) -> Unpacked:
    """Put the files of an archive (host path) into `sink`, in the folder `below` of it, and return what the archive told.

    A single folder at the top gives way to what is in it; an archive whose only file is an archive gives way to that one's
    content. `name` is for messages. Raises TreeError for an archive that is damaged, of no known kind, encrypted or too
    large, and for one with a member that has no place in a tree; it is found before anything is put into the sink.
    """
    try:
        return _unpack(archive, sink, below, _Room(limits, limits.allowed(archive.stat().st_size)))
    except TreeError as error:
        raise TreeError(f"{printable(name)} cannot be unpacked: {error}") from error


@dataclass(frozen=True, slots=True)
class _Room:
    """What may be taken: an archive inside another one has no room of its own."""

    limits: Limits
    allowed: int
    is_inner: bool = False


def _unpack(archive: Path, sink: TreeHasher, below: bytes, room: _Room) -> Unpacked:
    with reading(archive, room.allowed) as members:
        listed = list(_counted(members, room.limits))
    planned = plan(listed, room.limits, room.allowed)
    if not planned.kept:
        raise TreeError("it holds no files")
    told = Unpacked(planned.top.decode(), commit_named(archive), planned.notes)
    if len(planned.kept) == 1 and is_archive(planned.kept[0].decode()) and not room.is_inner:
        with _inner(archive, planned, room) as inner:
            found = _unpack(inner, sink, below, _Room(room.limits, room.allowed, is_inner=True))
        return Unpacked(found.top, found.commit or told.commit, (*told.notes, *found.notes))
    with reading(archive, room.allowed) as members:
        for path, member in zip(planned.paths, members, strict=True):
            if path is None:
                continue
            place = below + b"/" + path if below else path
            if member.kind == "link":
                sink.symlink(place, member.target)
            else:
                sink.file(place, member.size, member.pieces(), executable=member.executable)
    return told


def _counted(members: Iterator[Member], limits: Limits) -> Iterator[Member]:
    """Yield members without a way to their content, which is gone when they are used; stop at too many."""
    names = 0
    for count, member in enumerate(members):
        names += len(member.path) + len(member.target)
        if count >= limits.entries or names > _MOST_NAMES:
            raise TreeError(
                f"it holds more than {limits.entries} entries, or {_MOST_NAMES >> 20} MiB of names"
            )
        yield Member(member.path, member.kind, member.size, member.executable, member.target)


@contextlib.contextmanager
def _inner(archive: Path, planned: Plan, room: _Room) -> Iterator[Path]:
    """Yield the host path of a copy of the one file in an archive: what is in it is read from back to front.

    The copy has no name, and so is gone with this process, whatever becomes of it.
    """
    beside = archive.parent if os.access(archive.parent, os.W_OK) else None  # a store has more room than /tmp
    with tempfile.TemporaryFile(dir=beside) as copy:
        with reading(archive, room.allowed) as members:
            for path, member in zip(planned.paths, members, strict=True):
                if path is None:
                    continue
                if member.kind != "file":
                    raise TreeError(f"{shown(path)} is a symbolic link")
                for piece in member.pieces():
                    _write(copy, piece)
        copy.flush()
        yield Path(f"/proc/self/fd/{copy.fileno()}")


def _write(copy: IO[bytes], piece: bytes) -> None:
    try:
        copy.write(piece)
    except OSError as error:
        raise TreeError(f"there is no room for the archive in it: {error.strerror}") from error
