"""Images that were written somewhere: an OCI layout in a folder, or in an archive as `docker load` takes it.

Either may come from anybody: nothing outside of it is opened, nothing that could wait, and no document without a limit.
Source: OCI image specification 1.1, image-layout.md.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from reprolake_builder.compare import LayerReader, OpenBlob
from reprolake_builder.documents.base import Digest, Size, decode
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.errors import PublishError
from reprolake_builder.image import LOCK_IN_IMAGE
from reprolake_builder.process import printable

_LARGEST_DOCUMENT = 64 << 20  # bytes
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_REF = "org.opencontainers.image.ref.name"


class Descriptor(msgspec.Struct):
    """What names a blob. Source: OCI image specification 1.1, descriptor.md."""

    digest: Digest
    size: Size
    annotations: dict[str, str] = {}


class Index(msgspec.Struct):
    """The images of a layout."""

    manifests: list[Descriptor]


class Manifest(msgspec.Struct):
    """What one image consists of."""

    config: Descriptor
    layers: list[Descriptor]
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


def images_in(path: Path) -> tuple[WrittenImage, ...]:
    """Return the images in a layout or archive (host path). Raises PublishError for what is none."""
    try:
        if os.path.isdir(path):
            text, blob = _read(open_plain(path / "index.json")), _of_folder(path)
        else:
            with _member(path, "index.json") as stream:
                text = _limited(stream)
            blob = _of_archive(path)
        return tuple(_written(entry, blob) for entry in msgspec.json.decode(text, type=Index).manifests)
    except (OSError, tarfile.TarError, msgspec.DecodeError, RecursionError) as error:
        raise PublishError(f"{path} is no sound OCI layout: {printable(str(error))}") from error


def lock_in(image: WrittenImage) -> EnvironmentLock:
    """Return the lock that an image carries. Raises PublishError when it has none that this version reads."""
    wanted = LOCK_IN_IMAGE.lstrip("/")
    for layer in reversed(image.manifest.layers):
        try:
            with (
                image.blob(layer.digest) as stream,
                tarfile.open(fileobj=LayerReader(stream), mode="r|") as archive,
            ):
                for member in archive:
                    if member.name == wanted and (content := archive.extractfile(member)) is not None:
                        return decode(_limited(content), EnvironmentLock)
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise PublishError(f"a layer of image {image.digest[:19]} cannot be read: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise PublishError(
                f"the lock in image {image.digest[:19]} is none that this version reads: {error}"
            ) from error
    raise PublishError(
        f"image {image.digest[:19]} carries no lock at {LOCK_IN_IMAGE}",
        hint="images that `reprolake build` wrote have one",
    )


def _written(entry: Descriptor, blob: OpenBlob) -> WrittenImage:
    with blob(entry.digest) as stream:
        manifest = msgspec.json.decode(_limited(stream), type=Manifest)
    return WrittenImage(entry.annotations.get(_REF, ""), entry.digest, manifest, blob)


def _of_folder(path: Path) -> OpenBlob:
    # A digest has a form that is no path which leads elsewhere.
    return lambda digest: open_below(path, f"blobs/sha256/{digest.removeprefix('sha256:')}")


def _of_archive(path: Path) -> OpenBlob:
    return lambda digest: _member(path, f"blobs/sha256/{digest.removeprefix('sha256:')}")


def open_plain(path: Path) -> IO[bytes]:
    """Open a plain file (host path), no link and nothing that could wait. Raises OSError."""
    return _plain(os.open(path, _FILE), path)


def open_below(folder: Path, path: str) -> IO[bytes]:
    """Open a plain file at a relative path below a folder (host path), with no link on the way. Raises OSError."""
    *above, name = path.split("/")
    at = os.open(folder, _FOLDER)
    try:
        for part in above:
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        return _plain(os.open(name, _FILE, dir_fd=at), folder / path)
    finally:
        os.close(at)


def _plain(descriptor: int, path: Path) -> IO[bytes]:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    return open(descriptor, "rb", buffering=0)


@contextlib.contextmanager
def _member(path: Path, name: str) -> Iterator[IO[bytes]]:
    with open_plain(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        try:
            stream = archive.extractfile(name)
        except KeyError:
            stream = None
        if stream is None:
            raise FileNotFoundError(errno.ENOENT, "it is not in the archive", name)
        yield stream


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
