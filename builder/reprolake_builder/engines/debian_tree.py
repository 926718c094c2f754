"""A root file system in the making: where a package's path really lies, and who will own it.

Paths are followed in a model of the tree, never on the host's disk: a symbolic link of a package leads somewhere inside the
tree as it would in the running image, and nothing is ever written through one.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from reprolake_builder.errors import BuildError
from reprolake_builder.store import Tree
from reprolake_builder.trees import Owned

FOLDER = Owned(0o755)
_HOPS = 40  # symbolic links on one path, as in Linux


class Node(NamedTuple):
    """What lies at a path: kind as in trees.Entry, mode and owner in the image, a link's target, the host folder of its tree."""

    kind: str
    owned: Owned
    target: bytes
    root: bytes


def clean(path: str | bytes) -> bytes:
    """Return a path of a package relative to the root, without "." and empty parts.

    Raises BuildError when it holds "..", which no package needs.
    """
    raw = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
    parts = [part for part in raw.split(b"/") if part not in {b"", b"."}]
    if b".." in parts or b"\0" in raw:
        raise BuildError(f"a Debian package holds the path {raw!r}, which leads out of it")
    return b"/".join(parts)


class TreeMaker:
    """Writes a tree below `root` (host path), over the tree `below` when there is one."""

    def __init__(self, root: Path, below: Tree | None = None) -> None:
        self._root = os.fsencode(root)
        self.nodes: dict[bytes, Node] = {}
        self._folders: dict[bytes, bytes] = {}
        self._unowned: set[bytes] = set()  # folders that so far are only on the way to something
        if below is not None:
            lower = os.fsencode(below.root)
            for entry in below.entries:
                owned = Owned(entry.mode, entry.uid, entry.gid)
                kind = "f" if entry.kind == "h" else entry.kind
                self.nodes[entry.path] = Node(kind, owned, entry.target, lower)

    def locate(self, path: bytes, *, follow: bool = True) -> bytes:
        """Return where a path leads, relative to the root; its last part is followed too when `follow` is set.

        Raises BuildError for links in a circle.
        """
        done: list[bytes] = []
        pending = path.split(b"/")[::-1]
        hops = 0
        while pending:
            part = pending.pop()
            if part in {b"", b"."}:
                continue
            if part == b"..":
                done = done[:-1]
                continue
            node = self.nodes.get(b"/".join((*done, part)))
            if node is None or node.kind != "l" or not (pending or follow):
                done.append(part)
                continue
            hops += 1
            if hops > _HOPS:
                raise BuildError(f"the path {path!r} of a Debian package leads through links in a circle")
            if node.target.startswith(b"/"):
                done = []
            pending += node.target.split(b"/")[::-1]
        return b"/".join(done)

    def place(self, path: bytes) -> bytes:
        """Return where an entry of that path is to be put; the folders above it are made."""
        folder, _, name = path.rpartition(b"/")
        real = self._folders.get(folder)
        if real is None:
            real = self.locate(folder)
            if real:
                self._make_folder(real, None)
            self._folders[folder] = real
        return real + b"/" + name if real else name

    def folder(self, path: bytes, owned: Owned = FOLDER) -> None:
        """Make a folder; what stands there already, a folder with its owner or a link to one, stays, as with dpkg."""
        real = self.place(path)
        node = self.nodes.get(real)
        if node is None or node.kind != "l":
            self._make_folder(real, owned)
        else:
            self.place(path + b"/x")  # the folder that the link leads to

    def _make_folder(self, real: bytes, owned: Owned | None) -> None:
        node = self.nodes.get(real)
        if node is not None and node.kind != "d":
            raise BuildError(f"{real!r} is a file in one Debian package and a folder in another")
        if node is None or node.root != self._root:
            parent = real.rpartition(b"/")[0]
            if parent:
                self._make_folder(parent, None)
            os.mkdir(self._root + b"/" + real)
            # whatever the umask: the sandboxed compiler is another user
            os.chmod(self._root + b"/" + real, 0o755)  # noqa: S103
        if node is None and owned is None:
            self._unowned.add(real)
        elif owned is not None and real in self._unowned:
            self._unowned.discard(real)
            node = None
        kept = node.owned if node is not None else owned or FOLDER
        self.nodes[real] = Node("d", kept, b"", self._root)

    def _vacate(self, path: bytes) -> bytes:
        """Return where an entry that is no folder goes, after removing what this tree has there."""
        real = self.place(path)
        node = self.nodes.get(real)
        if node is not None and node.kind == "d":
            raise BuildError(f"{real!r} is a folder in one Debian package and none in another")
        if node is not None and node.root == self._root:
            os.unlink(self._root + b"/" + real)
        if node is not None and node.kind == "l":
            self._folders.clear()
        return real

    def move_in(self, path: bytes, content: bytes, owned: Owned) -> None:
        """Put the file `content` (host path on the same file system) at a path."""
        real = self._vacate(path)
        os.rename(content, self._root + b"/" + real)
        self.nodes[real] = Node("f", owned, b"", self._root)

    def write(self, path: str | bytes, data: bytes, owned: Owned = Owned(0o644)) -> None:  # noqa: B008 - a value
        """Write a small file of our own."""
        real = self._vacate(clean(path))
        descriptor = os.open(
            self._root + b"/" + real, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644
        )
        with open(descriptor, "wb") as stream:
            os.fchmod(descriptor, 0o644)
            stream.write(data)
        self.nodes[real] = Node("f", owned, b"", self._root)

    def link(self, path: bytes, target: bytes) -> None:
        """Make a symbolic link; a folder that stands there already stays, as with dpkg."""
        real = self.place(path)
        node = self.nodes.get(real)
        if node is not None and node.kind == "d":
            return
        os.symlink(target, self._root + b"/" + self._vacate(path))
        self.nodes[real] = Node("l", Owned(0o777), target, self._root)
        self._folders.clear()

    def hard_link(self, path: bytes, target: bytes) -> None:
        """Make a second name for a file of this tree."""
        source = self.place(target)
        node = self.nodes.get(source)
        if node is None or node.kind != "f" or node.root != self._root:
            raise BuildError(
                f"{path!r} of a Debian package is a hard link to {target!r}, which is no file of it"
            )
        if self.place(path) == source:
            return
        real = self._vacate(path)
        os.link(self._root + b"/" + source, self._root + b"/" + real, follow_symlinks=False)
        self.nodes[real] = node

    def find(self, path: str | bytes) -> bytes | None:
        """Return the host path of the regular file that a path of the image leads to, or None."""
        raw = path.encode() if isinstance(path, str) else path
        real = self.locate(raw)
        node = self.nodes.get(real)
        return node.root + b"/" + real if node is not None and node.kind == "f" else None

    def read(self, path: str | bytes) -> bytes | None:
        """Return the content of a small file, or None when the tree has none there."""
        on_disk = self.find(path)
        return None if on_disk is None else Path(os.fsdecode(on_disk)).read_bytes()

    def listed(self, folder: str) -> list[bytes]:
        """Return the paths directly inside a folder, sorted."""
        inside = self.locate(folder.encode()) + b"/"
        return sorted(path for path in self.nodes if posixpath.dirname(path) + b"/" == inside)

    def exceptions(self) -> Mapping[bytes, Owned]:
        """Return modes and owners that differ from the store's rule."""
        return {
            path: node.owned
            for path, node in self.nodes.items()
            if node.root == self._root and node.kind != "l" and node.owned != _rule(node)
        }


def _rule(node: Node) -> Owned:
    return Owned(0o755 if node.kind == "d" or node.owned.mode & 0o100 else 0o644)
