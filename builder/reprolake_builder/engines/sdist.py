"""Source distributions, fetched and unpacked into trees of the store: hostile archives, of which nothing is executed here.

Source: PyPA specifications, "Source distribution format" (one folder at the top that holds all).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from reprolake_builder.archives.formats import reading
from reprolake_builder.archives.members import Member
from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.lock import LAYOUT, SdistOrigin
from reprolake_builder.download import Wanted
from reprolake_builder.errors import SourceBuildError
from reprolake_builder.git_tree import EXECUTABLE, FILE, PIECE, TreeError, TreeWriter, shown
from reprolake_builder.image import USER
from reprolake_builder.store import Store, Tree
from reprolake_builder.tools import Tools

BUILD = "build"
"""Folder of the tree that holds the files, and where the build sees them (with a slash before it)."""
_LARGEST = 8 << 30  # bytes of all files together
_MOST = 200_000  # members


def fetch_sdist(origin: SdistOrigin, url: str, tools: Tools) -> None:
    """Bring the archive into the store. Raises FetchError."""
    wanted = Wanted(origin.filename, (url,), origin.sha256, origin.size)
    tools.downloader.fetch_all([wanted], tools.store, tools.progress, f"Fetching {origin.filename}")


def sdist_tree(origin: SdistOrigin, store: Store) -> Tree:
    """Return the tree with the archive's files below `build/`, without the folder that holds them in the archive.

    The archive has to be in the store. Raises SourceBuildError for one that holds anything but files, folders and symbolic links.
    """
    key = content_hash({"layer": "sdist", "layout": LAYOUT, "archive": origin.sha256})

    def fill(root: Path) -> None:
        (root / BUILD).mkdir()
        try:
            with reading(store.archive(origin.sha256), _LARGEST, hard_links=True) as members:
                unpack_folder(members, root / BUILD)
        except TreeError as error:
            raise SourceBuildError(f"{origin.filename} cannot be unpacked: {error}") from error

    return store.make_tree(key, fill, owner=USER)


def unpack_folder(members: Iterable[Member], root: Path) -> dict[bytes, tuple[int, str]]:
    """Write what lies in the archive's one folder below `root` (empty host folder); return git's mode and id by path.

    Raises TreeError for what does not lie in one folder, and for what no tree may hold.
    """
    writer = TreeWriter(root)
    hard_links: list[tuple[bytes, bytes]] = []
    size = 0
    tops = set()
    for count, member in enumerate(members):
        size += member.size
        if count >= _MOST or size > _LARGEST:
            raise TreeError(f"it holds more than {_MOST} entries or {_LARGEST >> 30} GiB")
        top, path = _parted(member.path)
        if member.kind == "folder" or b".git" in path.lower().split(b"/"):
            continue  # git's folder was left by accident, and is of no use without the objects
        if not path:
            raise TreeError(f"{shown(member.path)} does not lie in a folder of its own")
        tops.add(top)
        if member.kind == "hard link":
            hard_links.append((path, _parted(member.target)[1]))
        elif member.kind == "link":
            writer.symlink(path, member.target)
        else:
            writer.file(path, member.size, member.pieces(), executable=member.executable)
    if len(tops) != 1:
        raise TreeError("its files do not lie in one folder")
    _copy(hard_links, writer, root)
    return writer.blobs


def _parted(path: bytes) -> tuple[bytes, bytes]:
    """Return the folder at the top and the path in it. Raises TreeError where there is no such folder."""
    top, _, rest = path.removeprefix(b"./").rstrip(b"/").partition(b"/")
    if top in {b"", b".", b".."} and rest:
        raise TreeError(f"{shown(path)} does not lie in a folder of its own")
    return top, rest


def _copy(hard_links: list[tuple[bytes, bytes]], writer: TreeWriter, root: Path) -> None:
    """Write each file once more under its other name."""
    taken = writer.blobs
    for path, of in hard_links:
        mode, _ = taken.get(of, (0, ""))
        if mode not in {FILE, EXECUTABLE}:
            raise TreeError(f"{shown(path)} is a hard link to what is no file")
        with open(os.fsencode(root) + b"/" + of, "rb") as stream:  # written by ourselves, below plain folders
            length = os.fstat(stream.fileno()).st_size
            writer.file(path, length, iter(lambda: stream.read(PIECE), b""), executable=mode == EXECUTABLE)
