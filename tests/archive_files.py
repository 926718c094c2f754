"""Archives made on the spot, honest ones and others."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.git_tree import TreeHasher, TreeWriter

EXECUTABLE = 0o100755
LINK = 0o120777


@dataclass(frozen=True)
class Item:
    """An entry: a file of `content`, executable or not, a link when it has a `target`, a folder when its name ends in a slash."""

    name: str
    content: bytes = b"x"
    executable: bool = False
    target: str = ""


def items(names: Sequence[str | Item]) -> list[Item]:
    return [name if isinstance(name, Item) else Item(name) for name in names]


def zipped(*names: str | Item, method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip archive of those entries, as `zip` and `git archive` write them."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for item in items(names):
            info = zipfile.ZipInfo(item.name)
            info.compress_type = method
            mode = LINK if item.target else EXECUTABLE if item.executable else 0o100644
            info.external_attr = (0o40755 if item.name.endswith("/") else mode) << 16
            content = b"" if item.name.endswith("/") else item.target.encode() or item.content
            archive.writestr(info, content)
    return stream.getvalue()


def tarred(*names: str | Item, mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar archive of those entries."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=form) as archive:
        for item in items(names):
            info = tarfile.TarInfo(item.name)
            info.mode = 0o755 if item.executable else 0o644
            if item.target:
                info.type, info.linkname = tarfile.SYMTYPE, item.target
                archive.addfile(info)
            elif item.name.endswith("/"):
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(item.content)
                archive.addfile(info, io.BytesIO(item.content))
    return stream.getvalue()


class Listing(TreeHasher):
    """A tree in memory: what each path holds, with `*` behind the name of an executable and `->` before a link's target."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, bytes] = {}

    def file(self, path, size, pieces, *, executable):
        kept = b"".join(pieces)
        super().file(path, size, [kept], executable=executable)
        self.held[path.decode() + ("*" if executable else "")] = kept

    def symlink(self, path, target):
        super().symlink(path, target)
        self.held[path.decode()] = b"->" + target


def on_disk(root: Path) -> dict[str, str]:
    """Return what lies below a folder: the kind of each path, links not followed."""
    found = {}
    for path in sorted(root.rglob("*")):
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
        found[str(path.relative_to(root))] = kind
    return found


def writer(root: Path) -> TreeWriter:
    root.mkdir()
    return TreeWriter(root)


def with_flags(archive: bytes, flag: int) -> bytes:
    """Return a zip archive in which every entry has that flag set, as encrypted ones have."""
    changed = bytearray(archive)
    marks: Mapping[bytes, int] = {b"PK\x03\x04": 6, b"PK\x01\x02": 8}
    for mark, offset in marks.items():
        at = changed.find(mark)
        while at >= 0:
            changed[at + offset] |= flag
            at = changed.find(mark, at + 4)
    return bytes(changed)
