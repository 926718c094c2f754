"""Images that were written somewhere: an OCI layout in a folder, or in an archive as `docker load` takes it.

Either may come from anybody: nothing outside of it is opened, nothing that could wait, and no document without a limit.
Source: OCI image specification 1.1, image-layout.md.
"""

from __future__ import annotations

import errno
import io
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, cast

import msgspec
from msgspec import Meta

from reprolake_builder.archives.tars import tar_members
from reprolake_builder.compare import LayerReader, OpenBlob
from reprolake_builder.documents.base import Digest, Size, decode
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.errors import PublishError
from reprolake_builder.git_tree import MOST_BYTES, TreeError
from reprolake_builder.image import LOCK_IN_IMAGE
from reprolake_builder.oci import digest_of
from reprolake_builder.plain_files import open_below, open_plain
from reprolake_builder.process import printable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LARGEST_DOCUMENT = 1 << 20  # bytes of an index or a manifest: ours have 50 KiB
_LARGEST_LOCK = 64 << 20  # bytes
_MOST_BLOBS = 100_000
_NAMED = re.compile(rb"(?:\./)?(index\.json|blobs/sha256/[0-9a-f]{64})")  # what a layout consists of
_REF = "org.opencontainers.image.ref.name"


class Descriptor(msgspec.Struct):
    """What names a blob. Source: OCI image specification 1.1, descriptor.md."""

    digest: Digest
    size: Size
    annotations: dict[str, str] = {}


class Index(msgspec.Struct):
    """The images of a layout."""

    manifests: Annotated[list[Descriptor], Meta(max_length=100)]


class Manifest(msgspec.Struct):
    """What one image consists of."""

    config: Descriptor
    layers: Annotated[list[Descriptor], Meta(max_length=1000)]
    annotations: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class WrittenImage:
    """An image of a layout: its tag ("" for none), what its manifest says, and what opens its blobs."""

    name: str
    digest: Digest
    manifest: Manifest
    blob: OpenBlob

    @property
    def id(self) -> Digest:
        """The digest of its configuration."""
        return self.manifest.config.digest

    @property
    def blobs(self) -> tuple[Digest, ...]:
        """The digests of all that it consists of."""
        return (self.digest, self.id, *(layer.digest for layer in self.manifest.layers))


def images_in(path: Path) -> tuple[WrittenImage, ...]:
    """Return the images in a layout or archive (host path). Raises PublishError for what is none."""
    try:
        if os.path.isdir(path):
            text, blob = _read(open_plain(path / "index.json")), _of_folder(path)
        else:
            parts = _parts(path)
            text, blob = _read(_part(path, parts, "index.json")), _of_archive(path, parts)
        return tuple(_written(entry, blob) for entry in msgspec.json.decode(text, type=Index).manifests)
    except (OSError, TreeError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PublishError(
            f"{printable(str(path))} is no sound OCI layout: {_told(error)}",
            hint="take what `reprolake build -o oci:DIR` or `docker save` of a new version wrote",
        ) from error


def lock_in(image: WrittenImage) -> EnvironmentLock:
    """Return the lock that an image carries. Raises PublishError when it has none that this version reads."""
    left = MOST_BYTES  # of all layers: a manifest may name a large one a thousand times
    try:
        with image.blob(image.digest) as stream:
            _refuse_other(image.digest, digest_of(_limited(stream)))
        for layer in reversed(image.manifest.layers):
            with image.blob(layer.digest) as stream:
                reader = LayerReader(stream)
                text = _lock_text(reader, left)
                reader.drain(left)
                _refuse_other(layer.digest, reader.packed)
                left -= reader.size
            if text is not None:
                return decode(text, EnvironmentLock)
    except (OSError, EOFError, zlib.error, TreeError) as error:
        raise PublishError(
            f"image {image.digest[:19]} cannot be read: {_told(error)}",
            hint="write the image again: it was changed or cut short",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PublishError(
            f"the lock in image {image.digest[:19]} is none that this version reads: {printable(str(error))}",
            hint="build the image again with this version",
        ) from error
    raise PublishError(
        f"image {image.digest[:19]} carries no lock at {LOCK_IN_IMAGE}",
        hint="images that `reprolake build` wrote have one",
    )


def _lock_text(reader: LayerReader, most: int) -> bytes | None:
    """Return the lock in a layer, of which no more than `most` bytes are read. Raises TreeError for one that is too large."""
    wanted = LOCK_IN_IMAGE.lstrip("/").encode()
    for member in tar_members(io.BufferedReader(reader), most, hard_links=True):
        if member.path == wanted and member.kind == "file":
            if member.size > _LARGEST_LOCK:
                raise TreeError(f"its lock has {member.size} bytes")
            return b"".join(member.pieces())
    return None


def _refuse_other(digest: Digest, found: Digest) -> None:
    if found != digest:
        raise TreeError(f"what lies in it as {digest} has other bytes")


def _written(entry: Descriptor, blob: OpenBlob) -> WrittenImage:
    with blob(entry.digest) as stream:
        manifest = msgspec.json.decode(_limited(stream), type=Manifest)
    return WrittenImage(entry.annotations.get(_REF, ""), entry.digest, manifest, blob)


def _of_folder(path: Path) -> OpenBlob:
    # A digest has a form that is no path which leads elsewhere.
    return lambda digest: open_below(path, f"blobs/sha256/{digest.removeprefix('sha256:')}")


def _of_archive(path: Path, parts: Mapping[bytes, tuple[int, int]]) -> OpenBlob:
    return lambda digest: _part(path, parts, f"blobs/sha256/{digest.removeprefix('sha256:')}")


def _parts(path: Path) -> dict[bytes, tuple[int, int]]:
    """Return where each file of a tar archive (host path) begins in it, and its bytes. Raises OSError and TreeError."""
    found: dict[bytes, tuple[int, int]] = {}
    with open_plain(path) as stream:
        for member in tar_members(stream, os.fstat(stream.fileno()).st_size, hard_links=True):
            if member.kind == "file" and (named := _NAMED.fullmatch(member.path)):
                found[named[1]] = (stream.tell(), member.size)
            if len(found) > _MOST_BLOBS:
                raise TreeError(f"it holds more than {_MOST_BLOBS} files")
    return found


def _part(path: Path, parts: Mapping[bytes, tuple[int, int]], name: str) -> IO[bytes]:
    if name.encode() not in parts:
        raise FileNotFoundError(errno.ENOENT, "it is not in the archive", name)
    return cast("IO[bytes]", _Part(open_plain(path), *parts[name.encode()]))


class _Part(io.RawIOBase):
    """`size` bytes of a file from `start` on."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file = file
        self._left = size
        file.seek(start)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill `buffer`, or a part of it, and return how many bytes that were."""
        view = memoryview(buffer).cast("B")
        data = self._file.read(min(len(view), self._left))
        view[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _told(error: Exception) -> str:
    """Return an error in words, with the file that an OSError names."""
    if isinstance(error, OSError) and error.strerror:
        return printable(": ".join(part for part in (str(error.filename or ""), error.strerror) if part))
    return printable(str(error))


def _read(stream: IO[bytes]) -> bytes:
    with stream:
        return _limited(stream)


def _limited(stream: IO[bytes]) -> bytes:
    """Return all that a stream holds. Raises OSError when that is more than a document may have."""
    data = b""
    while piece := stream.read(_LARGEST_DOCUMENT + 1 - len(data)):
        data += piece
    if len(data) > _LARGEST_DOCUMENT:
        raise OSError(errno.EFBIG, f"more than {_LARGEST_DOCUMENT >> 20} MiB")
    return data
