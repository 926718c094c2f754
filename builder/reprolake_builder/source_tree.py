"""SourceTree: the files of a pinned source in the store, read without ever leaving them."""

from __future__ import annotations

import codecs
import functools
import os
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.documents.base import Sha256
from reprolake_builder.documents.source import PinnedSource
from reprolake_builder.errors import DetectError
from reprolake_builder.git_tree import shown
from reprolake_builder.process import printable
from reprolake_builder.store import Tree
from reprolake_builder.trees import Entry

INSIDE = "repo"
"""Folder of the stored tree that holds the repository: image.REPOSITORY without its slash."""
LARGEST_TEXT = 4 << 20
LARGEST_LOCK = 32 << 20
"""Bytes of a lock file: those for several platforms and environments are long."""
_MOST_LINKS = 40


@dataclass(frozen=True)
class SourceTree:
    """A pinned source and the stored tree with its files below `repo/`.

    Paths given to its methods are text with slashes, relative to the source's root. Symbolic links are followed by the
    tree's index, never by the host's file system, so that none can lead out.
    """

    source: PinnedSource
    tree: Tree

    @property
    def folder(self) -> Path:
        """Host folder with the source's files."""
        return self.tree.root / INSIDE

    @functools.cached_property
    def _entries(self) -> dict[bytes, Entry]:
        start = INSIDE.encode() + b"/"
        return {e.path[len(start) :]: e for e in self.tree.entries if e.path.startswith(start)}

    @functools.cached_property
    def _names(self) -> dict[bytes, list[bytes]]:
        names: dict[bytes, list[bytes]] = {b"": []}
        for path, entry in self._entries.items():
            parent, _, name = path.rpartition(b"/")
            names[parent].append(name)
            if entry.kind == "d":
                names[path] = []
        return names

    @functools.cached_property
    def paths(self) -> tuple[bytes, ...]:
        """Paths of all files, in order."""
        return tuple(path for path, entry in self._entries.items() if entry.kind == "f")

    @property
    def submodules(self) -> tuple[str, ...]:
        """Folders that stand for a submodule: git keeps no other empty folder."""
        return tuple(shown(path) for path, names in self._names.items() if path and not names)

    def beginning_with(self, start: bytes, longest: int) -> tuple[str, ...]:
        """Return the printable paths of the files of at most `longest` bytes that begin with `start`."""
        found = []
        for path, entry in self._entries.items():
            if entry.kind == "f" and len(start) <= entry.size <= longest:
                # As in read_text: nobody but us writes in the store.
                with (self.tree.root / os.fsdecode(entry.path)).open("rb") as stream:
                    if stream.read(len(start)) == start:
                        found.append(shown(path))
        return tuple(found)

    def is_file(self, path: str) -> bool:
        """Whether a file is there. Raises DetectError for a link that leads out of the source."""
        entry = self._find(path)
        return entry is not None and entry.kind == "f"

    def is_folder(self, path: str) -> bool:
        """Whether a folder is there; "" is the source's root. Raises DetectError for a link that leads out of the source."""
        entry = self._find(path) if path else None
        return not path or (entry is not None and entry.kind == "d")

    def names(self, path: str) -> tuple[str, ...]:
        """Names in a folder, in order; none when there is no such folder. Names that are no text are left out."""
        entry = self._find(path) if path else None
        if path and (entry is None or entry.kind != "d"):
            return ()
        inside = entry.path.partition(b"/")[2] if entry else b""
        return tuple(text for name in self._names[inside] if (text := _as_text(name)) is not None)

    def sha256(self, path: str) -> Sha256:
        """SHA-256 of a file's content. Raises KeyError when there is no such file."""
        entry = self._find(path)
        if entry is None or entry.kind != "f":
            raise KeyError(path)
        return entry.sha256.hex()

    def read_text(self, path: str, largest: int = LARGEST_TEXT) -> str | None:
        """The text of a file, or None when there is none.

        Raises DetectError for a file of more than `largest` bytes, one that is no text, and a link that leads out of the source.
        """
        entry = self._find(path)
        if entry is None or entry.kind != "f":
            return None
        if entry.size > largest:
            raise DetectError(f"{printable(path)} has {entry.size} bytes: too large for a file of this kind")
        # The index says that this path is a file below plain folders, and nobody but us writes in the store.
        data = (self.tree.root / entry.path.decode()).read_bytes()
        encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise DetectError(
                f"{printable(path)}:{line} is no UTF-8 text", hint="save it as UTF-8"
            ) from error

    def on_disk(self, path: str) -> Path | None:
        """Host path of a file, None when there is none. Raises DetectError for a link that leads out of the source."""
        entry = self._find(path)
        return self.tree.root / os.fsdecode(entry.path) if entry is not None and entry.kind == "f" else None

    def _find(self, path: str) -> Entry | None:
        """Return the entry to which the path leads through the links of the tree, or None."""
        pending = path.encode("utf-8", "surrogatepass").split(b"/")[::-1]
        reached: list[bytes] = []
        links = 0
        while pending:
            part = pending.pop()
            if part in {b"", b"."}:
                continue
            if part == b"..":
                if not reached:
                    raise DetectError(f"{printable(path)} leads out of the repository")
                reached.pop()
                continue
            entry = self._entries.get(b"/".join([*reached, part]))
            if entry is None:
                return None
            if entry.kind == "l":
                links += 1
                if links > _MOST_LINKS or entry.target.startswith(b"/"):
                    raise DetectError(
                        f"{printable(path)} is a symbolic link that leads out of the repository, to {shown(entry.target)}",
                        hint="put the file itself there",
                    )
                pending.extend(entry.target.split(b"/")[::-1])
            else:
                reached.append(part)
        return self._entries.get(b"/".join(reached))


def _as_text(name: bytes) -> str | None:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None
