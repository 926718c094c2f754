"""What an output holds against what the image says: the first difference, in words."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

from reprolake_builder.archives.members import Member, Stamp
from reprolake_builder.archives.tars import tar_members
from reprolake_builder.documents.base import Digest
from reprolake_builder.git_tree import TreeError
from reprolake_builder.image import Image
from reprolake_builder.process import printable
from reprolake_builder.progress import Progress
from reprolake_builder.rootfs import Item, layer_entries, shown
from reprolake_builder.store import Store
from reprolake_builder.trees import KINDS, MTIME, Entry, walk

_PIECE = 1 << 18  # bytes of a blob
_PLAIN = 1 << 20  # bytes of a tar stream: zeros are a thousandth of themselves in a blob
_MAGIC = b"\x1f\x8b"
_GZIP = 31  # zlib's number for: a gzip header, the largest window
OpenBlob = Callable[[Digest], AbstractContextManager[IO[bytes]]]
"""Opens the blob of that digest. Raises FileNotFoundError where there is none, and OSError."""
_ENTRY_KINDS: dict[str, Literal["f", "d", "l", "h"]] = {
    "file": "f",
    "folder": "d",
    "link": "l",
    "hard link": "h",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Where an output first differs from its image: layer and path in words ("" for the whole), and how."""

    layer: str
    path: str
    what: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.layer, self.path, self.what) if part)


class LayerReader(io.RawIOBase):
    """Reads the tar stream of a layer from its blob, packed with gzip or as it is, and hashes both.

    Raises zlib.error and EOFError for a damaged one.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._pieces = self._decompress(stream)
        self._packed = hashlib.sha256()
        self._plain = hashlib.sha256()
        self._rest = b""
        self.size = 0  # bytes of the tar stream so far

    @property
    def packed(self) -> str:
        """Digest of what was read of the blob."""
        return "sha256:" + self._packed.hexdigest()

    @property
    def plain(self) -> str:
        """Digest of what was read of the tar stream."""
        return "sha256:" + self._plain.hexdigest()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read more of the tar stream into the buffer and return the number of its bytes, 0 at the end."""
        view = memoryview(buffer)
        self._rest = self._rest or next(self._pieces, b"")
        size = min(len(view), len(self._rest))
        view[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    def drain(self, most: int) -> None:
        """Read to the end, or until there are more than `most` bytes of the tar stream."""
        for _ in self._pieces:
            if self.size > most:
                return

    def _decompress(self, stream: IO[bytes]) -> Iterator[bytes]:
        """Yield the tar stream, taking note of it."""
        pieces = self._read(stream)
        first = next(pieces, b"")
        pieces = itertools.chain([first], pieces)
        for plain in _unpacked(pieces) if first.startswith(_MAGIC) else pieces:
            self._plain.update(plain)
            self.size += len(plain)
            yield plain

    def _read(self, stream: IO[bytes]) -> Iterator[bytes]:
        while piece := stream.read(_PIECE):
            self._packed.update(piece)
            yield piece


def _unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what gzip packed. Source: RFC 1952, section 2.2: gzip files may stand one after the other."""
    member = zlib.decompressobj(_GZIP)
    begun = False
    for piece in pieces:
        rest = piece
        while rest:
            begun = True
            plain = member.decompress(rest, _PLAIN)
            rest = member.unconsumed_tail or member.unused_data
            if member.eof:
                member, begun = zlib.decompressobj(_GZIP), False
            if plain:
                yield plain
    if begun:
        raise EOFError("the compressed data ends too early")


def compare_diff_ids(image: Image, found: Sequence[str]) -> Difference | None:
    """Return the first layer in which a list of diff_ids, lowest first, differs from the image's."""
    for number, layer in enumerate(image.layers):
        if number >= len(found):
            return Difference(_layer(image, number), "", f"missing: only {len(found)} layers are there")
        if found[number] != layer.diff_id:
            return Difference(
                _layer(image, number), "", f"its content is {found[number]}, expected {layer.diff_id}"
            )
    if len(found) > len(image.layers):
        return Difference("", "", f"{len(found)} layers are there, expected {len(image.layers)}")
    return None


def compare_blobs(
    image: Image, manifest: Digest, blob: OpenBlob, store: Store, progress: Progress
) -> Difference | None:
    """Return how the blobs under a manifest first differ from the image; every layer is decompressed and hashed."""
    for name, digest in (("manifest", manifest), ("configuration", image.id)):
        difference = _of_small(name, digest, blob)
        if difference is not None:
            return difference
    with blob(manifest) as stream:
        listed = json.loads(stream.read())
    if listed["config"]["digest"] != image.id:
        return Difference(
            "", "manifest", f"it is that of image {listed['config']['digest']}, expected {image.id}"
        )
    if len(listed["layers"]) != len(image.layers):
        return Difference(
            "", "manifest", f"it lists {len(listed['layers'])} layers, expected {len(image.layers)}"
        )
    with (
        progress.step("Reading back", sum(layer.size for layer in image.layers)) as step,
        ThreadPoolExecutor() as pool,
    ):

        def one(number: int) -> Difference | None:
            difference = _of_layer(image, number, listed["layers"][number]["digest"], blob, store)
            step.advance(image.layers[number].size)
            return difference

        return next((found for found in pool.map(one, range(len(image.layers))) if found is not None), None)


def _of_small(name: str, digest: Digest, blob: OpenBlob) -> Difference | None:
    try:
        with blob(digest) as stream:
            found = "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    except FileNotFoundError:
        return Difference("", name, f"its blob {digest} is missing")
    return None if found == digest else Difference("", name, f"its blob is {found}, expected {digest}")


def _of_layer(image: Image, number: int, digest: Digest, blob: OpenBlob, store: Store) -> Difference | None:
    """Return how a layer's gzip blob differs from the image; only when it does is it read again, for the first such path."""
    layer, name = image.layers[number], _layer(image, number)
    try:
        with blob(digest) as stream:
            reader = LayerReader(stream)
            reader.drain(layer.size)
    except FileNotFoundError:
        return Difference(name, "", f"its blob {digest} is missing")
    except (zlib.error, EOFError) as error:
        return Difference(name, "", f"it cannot be decompressed: {error}")
    except OSError as error:
        return Difference(name, "", f"its blob {digest} cannot be read: {error.strerror or error}")
    if reader.plain != layer.diff_id:
        expected = [placed.entry for placed in layer_entries(image, layer, store)]
        with blob(digest) as stream:
            return Difference(name, *_first_in_tar(LayerReader(stream), expected, layer.size))
    if reader.packed != digest:
        return Difference(name, "", f"its blob is {reader.packed}, and the manifest says {digest}")
    return None


def _first_in_tar(reader: LayerReader, expected: Sequence[Entry], size: int) -> tuple[str, str]:
    """Return path and difference of the first member of a tar stream that is not as expected; `size` (bytes) is that expected."""
    done = 0
    try:
        for member in tar_members(io.BufferedReader(reader), size + _PLAIN, hard_links=True):
            if done == len(expected):
                return shown(member.path), "is there, and should not be"
            if what := _of_member(member, expected[done]):
                return shown(expected[done].path), what
            done += 1
    except (TreeError, zlib.error, EOFError, OSError) as error:
        return "", f"it cannot be read after {done} of {len(expected)} entries: {printable(str(error))}"
    if done < len(expected):
        return shown(expected[done].path), "is missing"
    return "", "all entries are as expected, and only the form of the tar stream differs"


def _of_member(member: Member, expected: Entry) -> str:
    """Return in words how a member differs from the expected entry; its content is read only where it has the same size."""
    path = member.path.rstrip(b"/") if member.kind == "folder" else member.path
    if path != expected.path:
        return f"expected here, found {shown(path)}"
    digest = hashlib.sha256()
    for piece in member.pieces() if member.size == expected.size else ():
        digest.update(piece)
    stamp = member.stamp or Stamp(0, 0, 0, 0)
    found = Entry(
        path,
        _ENTRY_KINDS[member.kind],
        stamp.mode,
        stamp.uid,
        stamp.gid,
        member.size,
        digest.digest() if member.kind == "file" else b"",
        member.target,
    )
    return _of_entry(found, expected) or _of_time(stamp.time)


def compare_root(image: Image, expected: Sequence[Item], root: bytes, *, owners: bool) -> Difference | None:
    """Return how the files below `root` (host path) first differ from the items; every file's content is read.

    Without `owners` it does not matter whose they are.
    """
    missing = {item.entry.path: item for item in expected}
    links: dict[tuple[int, int], bytes] = {}
    for path, info in walk(root):
        item = missing.pop(path, None)
        if item is None:
            return Difference("", shown(path), "is there, and should not be")
        owner = (info.st_uid, info.st_gid) if owners else (item.entry.uid, item.entry.gid)
        found = _on_disk(root, path, info, owner, links)
        what = _of_entry(found, item.entry) if found else "is neither a file, a folder nor a link"
        what = what or _of_time(int(info.st_mtime))
        if what:
            return Difference(_layer(image, item.layer), shown(path), what)
    for path, item in missing.items():
        return Difference(_layer(image, item.layer), shown(path), "is missing")
    return None


def _on_disk(
    root: bytes,
    path: bytes,
    info: os.stat_result,
    owner: tuple[int, int],
    links: dict[tuple[int, int], bytes],
) -> Entry | None:
    """Return the entry of what lies at a path, or None for what an image cannot hold; `links` remembers files with several links."""
    mode = stat.S_IMODE(info.st_mode)
    if stat.S_ISDIR(info.st_mode):
        return Entry(path, "d", mode, *owner)
    if stat.S_ISLNK(info.st_mode):
        return Entry(path, "l", mode, *owner, target=os.readlink(root + b"/" + path))
    if not stat.S_ISREG(info.st_mode):
        return None
    first = links.setdefault((info.st_dev, info.st_ino), path) if info.st_nlink > 1 else path
    if first != path:
        return Entry(path, "h", mode, *owner, target=first)
    with open(os.open(root + b"/" + path, os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0) as stream:
        return Entry(path, "f", mode, *owner, info.st_size, hashlib.file_digest(stream, "sha256").digest())


def _of_entry(found: Entry, expected: Entry) -> str:
    """Return in words how an entry differs from the expected one; "" when it does not."""
    if found.kind != expected.kind:
        return f"is a {KINDS[found.kind]}, expected a {KINDS[expected.kind]}"
    if found.target != expected.target:
        return f"links to {shown(found.target)[1:]}, expected {shown(expected.target)[1:]}"
    if found.size != expected.size:
        return f"has {found.size} bytes, expected {expected.size}"
    if found.sha256 != expected.sha256:
        return f"has the SHA-256 {found.sha256.hex()}, expected {expected.sha256.hex()}"
    if found.mode != expected.mode:
        return f"has mode {found.mode:04o}, expected {expected.mode:04o}"
    if (found.uid, found.gid) != (expected.uid, expected.gid):
        return f"belongs to {found.uid}:{found.gid}, expected {expected.uid}:{expected.gid}"
    return ""


def _of_time(found: int) -> str:
    return "" if found == MTIME else f"is dated {found} seconds after 1970, expected {MTIME}"


def _layer(image: Image, number: int) -> str:
    return f"layer {number + 1} of {len(image.layers)} ({printable(image.layers[number].comment)})"
