"""Debian packages into a tree, as dpkg would unpack them onto a merged /usr, without dpkg."""

from __future__ import annotations

import concurrent.futures
import os
import re
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from reprolake_builder.debs.archive import open_part
from reprolake_builder.documents.lock import DebPackage
from reprolake_builder.engines.debian_tree import TreeMaker, clean
from reprolake_builder.errors import BuildError
from reprolake_builder.progress import Progress
from reprolake_builder.store import Store
from reprolake_builder.trees import Owned

_COPY = 1 << 18
_MODES = 0o7777
_UNPACKED_LIMIT = 16 << 30  # bytes
_MOST_ENTRIES = 500_000
# Documentation that nobody reads inside an image; copyright files stay, as their licences want. A constant of the layout.
_SKIPPED = re.compile(rb"usr/share/(?:doc|man|locale|info|lintian|bug)/.")
_KEPT = re.compile(rb"usr/share/doc/(?:[^/]+|.*/copyright)")


class Item(NamedTuple):
    """One entry of a package: `content` is the host path of a file's bytes, `target` a link's."""

    path: bytes
    kind: str
    owned: Owned
    target: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a package holds, and the list of all its paths as dpkg keeps it."""

    package: DebPackage
    items: tuple[Item, ...]
    listing: bytes


def unpack_all(
    packages: Sequence[DebPackage], maker: TreeMaker, store: Store, progress: Progress
) -> dict[str, bytes]:
    """Put the files of the packages into the tree and return each package's list of paths.

    Packages are read side by side and placed in the order of their names; of two that hold one path the later wins.
    Raises BuildError for a package that is damaged, or holds what an image cannot.
    """
    # base-files first: the owner that it gives a folder stands, whoever else holds that folder.
    ordered = sorted(packages, key=lambda package: (package.name != "base-files", package.name))
    listings: dict[str, bytes] = {}
    if not ordered:
        return listings
    with (
        progress.step("Unpacking Debian packages", sum(package.size for package in ordered)) as step,
        store.scratch() as scratch,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        jobs = [pool.submit(_unpack, package, store, scratch) for package in ordered]
        try:
            for job in jobs:
                unpacked = job.result()
                for item in unpacked.items:
                    _put(maker, item)
                listings[unpacked.package.name] = unpacked.listing
                step.advance(unpacked.package.size)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return listings


def _unpack(package: DebPackage, store: Store, scratch: Path) -> Unpacked:
    """Write the contents of a package's files into numbered files, so that no path of it is used yet."""
    folder = scratch / package.sha256
    folder.mkdir()
    items: list[Item] = []
    listing = bytearray()
    unpacked = 0
    with open_part(store.archive(package.sha256), "data") as tar:
        for count, member in enumerate(tar):
            unpacked += member.size
            if (
                unpacked > _UNPACKED_LIMIT or count > _MOST_ENTRIES
            ):  # a lock can name packages that nobody vouched for
                raise BuildError(
                    f"{package.name} would unpack to more than {_UNPACKED_LIMIT >> 30} GiB or {_MOST_ENTRIES} entries"
                )
            path = clean(member.name)
            listing += b"/" + (path or b".") + b"\n"
            if not path or _is_skipped(path, member):
                continue
            items.append(_item(tar, member, path, os.fsencode(folder / str(len(items)))))
    return Unpacked(package, tuple(items), bytes(listing))


def _is_skipped(path: bytes, member: tarfile.TarInfo) -> bool:
    if not _SKIPPED.match(path):
        return False
    kept = _KEPT.fullmatch(path)
    # A folder below doc/ is made when something in it is kept; a link there leads to the package that has the copyright.
    return not kept or not (member.issym() or path.endswith(b"/copyright"))


def _item(tar: tarfile.TarFile, member: tarfile.TarInfo, path: bytes, content: bytes) -> Item:
    owned = Owned(member.mode & _MODES, member.uid, member.gid)
    if member.isdir():
        return Item(path, "d", owned, b"", b"")
    if member.issym():
        return Item(path, "l", owned, member.linkname.encode("utf-8", "surrogateescape"), b"")
    if member.islnk():
        return Item(path, "h", owned, clean(member.linkname), b"")
    stream = tar.extractfile(member) if member.isfile() else None
    if stream is None:
        raise BuildError(f"{path!r} of a Debian package is neither a file, a folder nor a link")
    with open(content, "xb") as copy:
        shutil.copyfileobj(stream, copy, _COPY)
        os.fchmod(copy.fileno(), 0o755 if owned.mode & 0o100 else 0o644)
    return Item(path, "f", owned, b"", content)


def _put(maker: TreeMaker, item: Item) -> None:
    match item.kind:
        case "d":
            maker.folder(item.path, item.owned)
        case "l":
            maker.link(item.path, item.target)
        case "h":
            maker.hard_link(item.path, item.target)
        case _:
            maker.move_in(item.path, item.content, item.owned)
