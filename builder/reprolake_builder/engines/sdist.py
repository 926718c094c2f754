"""Source distributions, fetched and unpacked into trees of the store: hostile archives, of which nothing is executed here.

Source: PyPA specifications, "Source distribution format" (one folder at the top that holds all).
"""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.lock import LAYOUT, SdistOrigin
from reprolake_builder.download import Wanted
from reprolake_builder.errors import SourceBuildError
from reprolake_builder.git_tree import LONGEST_TARGET, PIECE, TreeError, TreeWriter, shown
from reprolake_builder.image import USER
from reprolake_builder.store import Store, Tree
from reprolake_builder.tools import Tools

BUILD = "build"
"""Folder of the tree that holds the files, and where the build sees them (with a slash before it)."""
_LARGEST = 8 << 30  # bytes of all files together
_MOST = 200_000  # members
_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, LookupError, NotImplementedError, OSError, RuntimeError, ValueError),
)  # what Python's modules raise for archives that are damaged, encrypted or of another kind
_LINK = 0o120000
_TYPE = 0o170000


@dataclass(frozen=True, slots=True)
class _Member:
    """A file, or a symbolic link with its target; `read` opens a file's content."""

    path: bytes
    size: int
    executable: bool = False
    target: bytes = b""
    read: Callable[[], IO[bytes]] | None = None


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
        writer = TreeWriter(root / BUILD)
        try:
            with store.archive(origin.sha256).open("rb") as stream:
                for member in _members(stream, origin.filename):
                    _take(member, writer)
        except _BROKEN as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's fault, not the archive's
            raise SourceBuildError(f"{origin.filename} cannot be unpacked: {error}") from error

    return store.make_tree(key, fill, owner=USER)


def _take(member: _Member, writer: TreeWriter) -> None:
    top, _, path = member.path.partition(b"/")
    if top in {b"", b".", b".."} or not path:
        raise TreeError(f"{shown(member.path)} does not lie in a folder of its own")
    if b".git" in path.lower().split(b"/"):
        return  # left by accident, and of no use without the objects
    if member.read is None:
        writer.symlink(path, member.target)
        return
    with member.read() as stream:
        writer.file(path, member.size, iter(lambda: stream.read(PIECE), b""), executable=member.executable)


def _members(stream: IO[bytes], filename: str) -> Iterator[_Member]:
    """Yield what lies in the archive, once it is known to be of a size that can be taken."""
    if filename.endswith(".zip"):
        with zipfile.ZipFile(stream) as archive:
            yield from _checked([_zipped(archive, item) for item in archive.infolist() if not item.is_dir()])
    else:
        with tarfile.open(fileobj=stream, mode="r:*") as archive:
            yield from _checked(list(_tarred(archive)))


def _checked(members: list[_Member]) -> list[_Member]:
    if len(members) > _MOST:
        raise TreeError(f"it holds more than {_MOST} entries")
    if sum(member.size for member in members) > _LARGEST:
        raise TreeError(f"it would unpack to more than {_LARGEST >> 30} GiB")
    if len({member.path.partition(b"/")[0] for member in members}) != 1:
        raise TreeError("its files do not lie in one folder")
    return members


def _tarred(archive: tarfile.TarFile) -> Iterator[_Member]:
    for count, item in enumerate(archive):
        if count > _MOST:
            raise TreeError(f"it holds more than {_MOST} entries")
        path = item.name.encode("utf-8", "surrogateescape").removeprefix(b"./")
        if item.issym():
            yield _Member(path, 0, target=item.linkname.encode("utf-8", "surrogateescape"))
        elif item.isreg() or item.islnk():
            source = archive.getmember(item.linkname) if item.islnk() else item
            if not source.isreg():
                raise TreeError(f"{shown(path)} is a hard link to what is no file")
            yield _Member(path, source.size, bool(source.mode & 0o111), read=_opener(archive, source))
        elif not item.isdir():
            raise TreeError(f"{shown(path)} is neither a file, a folder nor a link")


def _opener(archive: tarfile.TarFile, item: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        stream = archive.extractfile(item)
        if stream is None:
            raise TreeError(f"{item.name} cannot be read")
        return stream

    return opened


def _zipped(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> _Member:
    mode = item.external_attr >> 16
    if mode & _TYPE == _LINK:
        with archive.open(item) as stream:
            return _Member(item.filename.encode(), 0, target=stream.read(LONGEST_TARGET + 1))
    return _Member(
        item.filename.encode(), item.file_size, bool(mode & 0o111), read=lambda: archive.open(item)
    )
