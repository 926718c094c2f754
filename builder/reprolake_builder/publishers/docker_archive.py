"""One file that `docker load` and `podman load` take: an OCI layout and Docker's older manifest.json over the same blobs."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from reprolake_builder import oci
from reprolake_builder.compare import compare_blobs
from reprolake_builder.documents.base import Digest
from reprolake_builder.errors import PublishError
from reprolake_builder.image import Image
from reprolake_builder.progress import Progress
from reprolake_builder.publishers.interface import Destination, Publication
from reprolake_builder.publishers.oci_layout import faulty, write_blobs, write_index
from reprolake_builder.store import Store
from reprolake_builder.trees import Placed, scan, write_tar
from reprolake_builder.whole_files import replacing


class DockerArchive:
    """Writes to `docker-archive:FILE`."""

    def check(self, to: Destination) -> None:
        """Raise PublishError for a folder, and for a file in a folder that is not there or not ours to write to."""
        if os.path.isdir(to.path):
            raise PublishError(f"{to.path} is a folder; docker-archive: wants a file")
        if not os.path.isdir(to.path.parent):
            raise PublishError(f"{to.path} cannot be written: there is no folder {to.path.parent}")
        if not os.access(to.path.parent, os.W_OK | os.X_OK):
            raise PublishError(
                f"{to.path} cannot be written: the folder {to.path.parent} is not yours to write to"
            )

    def publish(self, image: Image, to: Destination, store: Store, progress: Progress) -> Publication:
        """Write the archive beside its place, read it back and rename it."""
        self.check(to)
        with store.scratch() as folder:
            manifest = write_blobs(image, folder, store, progress)
            write_index(image, folder, manifest, to.name)
            layers = [layer["digest"] for layer in json.loads(manifest)["layers"]]
            (folder / "manifest.json").write_bytes(oci.older_manifest(image, [to.name], layers))
            digest = oci.digest_of(manifest)

            def check(partial: Path) -> None:
                difference = compare_blobs(image, digest, functools.partial(_blob, partial), store, progress)
                if difference is not None:
                    raise faulty(to.path, str(difference))

            _pack(folder, to.path, check)
        return Publication(reference=f"docker-archive:{to.path}", image=image.id, manifest=digest)


@contextlib.contextmanager
def _blob(archive: Path, digest: Digest) -> Iterator[IO[bytes]]:
    """Yield a blob of a layout in a tar file (host path), opened. Raises FileNotFoundError."""
    with tarfile.open(archive, "r:") as opened:
        try:
            stream = opened.extractfile(oci.blob_path(digest))
        except KeyError:
            stream = None
        if stream is None:
            raise FileNotFoundError(errno.ENOENT, "it is not in the archive", digest)
        yield stream


def _pack(folder: Path, path: Path, check: Callable[[Path], None]) -> None:
    """Write all that a folder holds to an archive that passes the check, whole or not at all (host paths)."""
    try:
        with replacing(path) as partial:
            with partial.open("wb") as stream:
                write_tar((Placed(entry, folder) for entry in scan(folder)), stream.write)
            check(partial)
    except OSError as error:
        raise PublishError(f"{path} cannot be written: {error.strerror or error}") from error
