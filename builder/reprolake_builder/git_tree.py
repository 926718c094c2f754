"""Git trees as values: their hash, computed from files by our own code, and writing one to disk without trusting its names.

Source: git's documentation, gitformat-pack(5) and "Git Internals - Git Objects": a blob is hashed as "blob SIZE\\0CONTENT",
a tree as "tree SIZE\\0" and its rows "MODE NAME\\0ID" in order of name, folders as if their name ended in a slash.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from reprolake_builder.process import printable

FILE = 0o100644
EXECUTABLE = 0o100755
SYMLINK = 0o120000
FOLDER = 0o040000
SUBMODULE = 0o160000
EMPTY_TREE = bytes.fromhex("4b825dc642cb6eb9a060e54bf8d69288fbee4904")

PIECE = 1 << 20  # bytes read at a time
MOST_ENTRIES = 1_000_000
MOST_BYTES = 64 << 30  # of all files together: a few hostile objects can stand for endlessly many files
LONGEST_TARGET = 1 << 16


class TreeError(ValueError):
    """A tree that cannot be taken as it is: a name that leads elsewhere, too much of it, a file that cannot be read."""


class TreeHasher:
    """Takes the files of a tree one by one and knows its hash at the end; keeps no content."""

    def __init__(self) -> None:
        self._rows: list[tuple[bytes, int, bytes]] = []
        self._bytes = 0

    def file(self, path: bytes, size: int, pieces: Iterable[bytes], *, executable: bool) -> None:
        """Take a file of `size` bytes. Raises TreeError when it has another length than that."""
        self._expect(path, size)
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        seen = 0
        with self._sink(path, executable=executable) as write:
            for piece in pieces:
                digest.update(piece)
                write(piece)
                seen += len(piece)
        if seen != size:
            raise TreeError(f"{shown(path)} has {seen} bytes instead of {size}: it changed while it was read")
        self._rows.append((path, EXECUTABLE if executable else FILE, digest.digest()))

    def file_for(
        self, blob: str, path: bytes, size: int, pieces: Iterable[bytes], *, executable: bool
    ) -> None:
        """Take a file whose content is kept elsewhere: in its place git's tree has `blob` (hexadecimal), which points to it."""
        self.file(path, size, pieces, executable=executable)
        _, mode, _ = self._rows.pop()
        self._rows.append((path, mode, bytes.fromhex(blob)))

    def symlink(self, path: bytes, target: bytes) -> None:
        """Take a symbolic link; where it leads is not looked at."""
        self._expect(path, len(target))
        if not target or b"\0" in target or len(target) > LONGEST_TARGET:
            raise TreeError(f"the symbolic link {shown(path)} has no usable target")
        self._link(path, target)
        blob = hashlib.sha1(b"blob %d\0%s" % (len(target), target), usedforsecurity=False)
        self._rows.append((path, SYMLINK, blob.digest()))

    def submodule(self, path: bytes, commit: str) -> None:
        """Take the place of a submodule: an empty folder that stands for a commit of another repository."""
        self._expect(path, 0)
        self._folder(path)
        self._rows.append((path, SUBMODULE, bytes.fromhex(commit)))

    @property
    def blobs(self) -> dict[bytes, tuple[int, str]]:
        """Mode and git's id of what was taken (files, links, submodules), by path."""
        return {path: (mode, blob.hex()) for path, mode, blob in self._rows}

    def empty_folder(self, path: bytes) -> None:
        """Take a folder without files: git has none, archives and Software Heritage do."""
        self._expect(path, 0)
        self._folder(path)
        self._rows.append((path, FOLDER, EMPTY_TREE))

    @property
    def tree_hash(self) -> str:
        """Git's hash of what was taken (40 hexadecimal digits)."""
        folders: dict[bytes, list[tuple[bytes, int, bytes]]] = {b"": []}
        for path, mode, blob in self._rows:
            parent, _, name = path.rpartition(b"/")
            folders.setdefault(parent, []).append((name, mode, blob))
            while parent:
                parent = parent.rpartition(b"/")[0]
                folders.setdefault(parent, [])
        # Deepest first, without recursion: a hostile tree may be deeper than Python's stack.
        for folder in sorted(folders, key=lambda path: path.count(b"/") if path else -1, reverse=True):
            digest = folder_hash(folders[folder])
            if not folder:
                return digest.hex()
            parent, _, name = folder.rpartition(b"/")
            folders[parent].append((name, FOLDER, digest))
        raise AssertionError("the root is always among the folders")

    def _expect(self, path: bytes, size: int) -> None:
        check_path(path)
        self._bytes += size
        check_extent(len(self._rows), self._bytes)

    @contextlib.contextmanager
    def _sink(self, path: bytes, *, executable: bool) -> Iterator[Callable[[bytes], object]]:
        """Yield what takes a file's content; a hasher keeps none."""
        del path, executable
        yield lambda _: None

    def _link(self, path: bytes, target: bytes) -> None:
        """Keep a link; a hasher keeps none."""

    def _folder(self, path: bytes) -> None:
        """Keep a folder; a hasher keeps none."""


class TreeWriter(TreeHasher):
    """Writes what it takes below `root`, an empty host folder of our own; nothing is ever written through a link."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = os.fsencode(root)
        self._made = {b""}

    @contextlib.contextmanager
    def _sink(self, path: bytes, *, executable: bool) -> Iterator[Callable[[bytes], object]]:
        self._folder(path.rpartition(b"/")[0])
        # O_EXCL: a tree that names a path twice, once as a link, must not be followed.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self._root + b"/" + path, flags, 0o700 if executable else 0o600)
        except FileExistsError as error:
            raise TreeError(f"{shown(path)} stands in the tree twice") from error
        with os.fdopen(descriptor, "wb") as stream:
            yield stream.write

    def _link(self, path: bytes, target: bytes) -> None:
        self._folder(path.rpartition(b"/")[0])
        try:
            os.symlink(target, self._root + b"/" + path)
        except FileExistsError as error:
            raise TreeError(f"{shown(path)} stands in the tree twice") from error

    def _folder(self, path: bytes) -> None:
        missing = []
        while path not in self._made:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        for folder in reversed(missing):
            try:
                os.mkdir(self._root + b"/" + folder)
            except FileExistsError as error:
                raise TreeError(f"{shown(folder)} is a file and a folder in one tree") from error
            self._made.add(folder)


def check_extent(entries: int, size: int) -> None:
    """Return when a tree of so many entries before the next, and `size` bytes, is no more than a repository may hold."""
    if entries >= MOST_ENTRIES or size > MOST_BYTES:
        raise TreeError(f"it holds more than {MOST_ENTRIES} entries or {MOST_BYTES >> 30} GiB")


def check_path(path: bytes) -> None:
    """Return when `path` may stand in a tree. Raises TreeError for one that leads out of it or into git's own folder."""
    if not path or b"\0" in path:
        raise TreeError("the tree holds an entry without a name")
    for part in path.split(b"/"):
        if part in {b"", b".", b".."} or part.lower() == b".git":
            raise TreeError(f"the tree holds the path {shown(path)}, which no repository may have")


def folders_above(path: bytes) -> Iterator[bytes]:
    """Yield the folders that a path lies in, the innermost first, without the root."""
    while path := path.rpartition(b"/")[0]:
        yield path


def folders_of(paths: Iterable[bytes]) -> set[bytes]:
    """Return all folders that the paths lie in, without the root."""
    found: set[bytes] = set()
    for path in paths:
        for folder in folders_above(path):
            if folder in found:
                break  # and so are those above it: a hostile tree may be deep
            found.add(folder)
    return found


def shown(path: bytes) -> str:
    """Return a path of any bytes as text for messages."""
    return printable(path.decode("utf-8", "backslashreplace"))


def folder_hash(rows: list[tuple[bytes, int, bytes]]) -> bytes:
    """Return the id of the tree object with these rows: name, mode and object id."""
    ordered = sorted(rows, key=lambda row: row[0] + b"/" if row[1] == FOLDER else row[0])
    content = b"".join(b"%o %s\0%s" % (mode, name, digest) for name, mode, digest in ordered)
    return hashlib.sha1(b"tree %d\0%s" % (len(content), content), usedforsecurity=False).digest()
