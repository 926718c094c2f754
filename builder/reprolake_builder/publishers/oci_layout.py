"""An OCI image layout in a folder. Source: OCI image specification 1.1, image-layout.md."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from pathlib import Path
from typing import IO, Any

import msgspec

from reprolake_builder import oci
from reprolake_builder.compare import compare_blobs
from reprolake_builder.documents.base import Digest
from reprolake_builder.errors import PublishError
from reprolake_builder.image import Image, ImageLayer
from reprolake_builder.progress import Progress
from reprolake_builder.publishers.compress import GzipWriter
from reprolake_builder.publishers.interface import Destination, Publication
from reprolake_builder.rootfs import write_layer
from reprolake_builder.store import Store
from reprolake_builder.whole_files import replacing

_LARGEST_INDEX = 64 << 20  # bytes


class OciLayout:
    """Writes to `oci:DIR`; a layout that is there already gets one more image."""

    def check(self, to: Destination) -> None:
        """Raise PublishError for a file, and for a folder with other things in it."""
        try:
            names = os.listdir(to.path)
        except FileNotFoundError:
            return
        except NotADirectoryError as error:
            raise PublishError(f"{to.path} is a file; oci: wants a folder") from error
        except OSError as error:
            raise PublishError(f"{to.path} cannot be read: {error.strerror}") from error
        if names and "oci-layout" not in names:
            raise PublishError(
                f"{to.path} is a folder with other things in it, not an OCI layout",
                hint="name a new folder, or one that holds an OCI layout",
            )

    def publish(self, image: Image, to: Destination, store: Store, progress: Progress) -> Publication:
        """Write the image to the folder; index.json, written when all else was read back, makes it visible."""
        self.check(to)
        try:
            manifest = write_blobs(image, to.path, store, progress)
            digest = oci.digest_of(manifest)

            def blob(digest: Digest) -> IO[bytes]:
                return (to.path / oci.blob_path(digest)).open("rb", buffering=0)

            difference = compare_blobs(image, digest, blob, store, progress)
            if difference is not None:
                raise faulty(to.path, str(difference))
            write_index(image, to.path, manifest, to.name)
        except OSError as error:
            raise PublishError(f"{to.path} cannot be written: {error.strerror or error}") from error
        return Publication(reference=f"oci:{to.path}:{oci.tag_of(to.name)}", image=image.id, manifest=digest)


def faulty(path: Path, what: str) -> PublishError:
    """Return the error for an output that was read back and is not what was written."""
    return PublishError(
        f"{path} is not what was written there: {what}",
        hint="its disk is faulty, or another program writes there: choose another place",
    )


def write_blobs(image: Image, folder: Path, store: Store, progress: Progress) -> bytes:
    """Write configuration, layers and manifest to a layout (host folder) and return the manifest."""
    for blobs in (folder / "blobs", folder / "blobs" / "sha256"):
        blobs.mkdir(parents=True, exist_ok=True)
        if blobs.is_symlink():
            raise PublishError(f"{blobs} is a link that leads elsewhere", hint="name a new folder")
    with progress.step("Writing layers", sum(layer.size for layer in image.layers)) as step:
        layers = []
        for layer in image.layers:
            layers.append(_write_layer(layer, image, folder, store))
            step.advance(layer.size)
    manifest = oci.manifest(image, layers)
    for blob in (image.config.encode(), manifest):
        _replace(folder / oci.blob_path(oci.digest_of(blob)), blob)
    return manifest


def write_index(image: Image, folder: Path, manifest: bytes, name: str) -> None:
    """Add the image to the index of a layout (host folder); one of the same tag is replaced."""
    entry = oci.index_entry(image, manifest, f"docker.io/{name}")
    _replace(folder / "oci-layout", oci.LAYOUT)
    _replace(folder / "index.json", oci.index([*_others(folder / "index.json", oci.tag_of(name)), entry]))


def _write_layer(layer: ImageLayer, image: Image, folder: Path, store: Store) -> dict[str, Any]:
    """Compress one layer into its blob and return its descriptor."""
    partial = folder / "blobs" / f".{secrets.token_hex(8)}"
    packed, size = hashlib.sha256(), 0
    try:
        with partial.open("wb") as stream:

            def out(data: bytes) -> None:
                nonlocal size
                packed.update(data)
                size += stream.write(data)

            with GzipWriter(out) as gzip:
                write_layer(image, layer, store, gzip.write)
        digest = "sha256:" + packed.hexdigest()
        partial.chmod(0o644)
        partial.replace(folder / oci.blob_path(digest))
    finally:
        partial.unlink(missing_ok=True)
    return oci.descriptor(oci.GZIP_LAYER, digest, size)


def _replace(path: Path, data: bytes) -> None:
    with replacing(path) as partial:
        partial.write_bytes(data)
        partial.chmod(0o644)


def _others(path: Path, tag: str) -> list[dict[str, Any]]:
    """Return what an index has under other tags. Raises PublishError for what is no index: others may have made it."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.stat().st_size > _LARGEST_INDEX:
            raise PublishError(f"{path} is no index of an OCI layout", hint="name a new folder")
        found = msgspec.json.decode(path.read_bytes(), type=_Index).manifests
    except FileNotFoundError:
        return []
    except (msgspec.DecodeError, RecursionError) as error:
        raise PublishError(
            f"{path} is no index of an OCI layout: {error}", hint="name a new folder"
        ) from error
    return [old for old in found if _tag(old) != tag]


def _tag(entry: dict[str, Any]) -> object:
    annotations = entry.get("annotations")
    return annotations.get("org.opencontainers.image.ref.name") if isinstance(annotations, dict) else None


class _Index(msgspec.Struct):
    manifests: list[dict[str, Any]] = []
