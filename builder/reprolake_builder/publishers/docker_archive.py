"""One file that `docker load` and `podman load` take: an OCI layout and Docker's older manifest.json over the same blobs."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path

from reprolake_builder.errors import PublishError
from reprolake_builder.image import Image
from reprolake_builder.progress import Progress
from reprolake_builder.publishers.interface import Destination, Publication
from reprolake_builder.publishers.oci_layout import write_layout
from reprolake_builder.store import Store
from reprolake_builder.trees import Placed, scan, write_tar


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
        """Write the archive beside its place and rename it."""
        self.check(to)
        with store.scratch() as folder:
            digest = write_layout(image, Destination("oci", folder, to.name), store, progress)
            manifest = json.loads((folder / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes())
            older = {
                "Config": _blob(manifest["config"]["digest"]),
                "RepoTags": [to.name],
                "Layers": [_blob(layer["digest"]) for layer in manifest["layers"]],
            }
            (folder / "manifest.json").write_text(json.dumps([older], sort_keys=True))
            _pack(folder, to.path)
        return Publication(reference=f"docker-archive:{to.path}", image=image.id, manifest=digest)


def _pack(folder: Path, path: Path) -> None:
    """Write all that a folder holds to an archive, whole or not at all (host paths)."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with partial.open("wb") as stream:
            write_tar((Placed(entry, folder) for entry in scan(folder)), stream.write)
        partial.replace(path)
    except OSError as error:
        raise PublishError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _blob(digest: str) -> str:
    return "blobs/sha256/" + digest.removeprefix("sha256:")
