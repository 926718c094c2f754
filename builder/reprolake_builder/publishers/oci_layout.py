"""An OCI image layout in a folder. Source: OCI image specification 1.1, image-layout.md and manifest.md."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from reprolake_builder.errors import PublishError
from reprolake_builder.image import Image, ImageLayer
from reprolake_builder.progress import Progress
from reprolake_builder.publishers.compress import GzipWriter
from reprolake_builder.publishers.interface import Destination, Publication
from reprolake_builder.store import Store
from reprolake_builder.trees import merge, write_tar

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_INDEX = "application/vnd.oci.image.index.v1+json"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


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
        """Write the image to the folder; index.json, written last, makes it visible."""
        self.check(to)
        try:
            manifest = write_layout(image, to, store, progress)
        except OSError as error:
            raise PublishError(f"{to.path} cannot be written: {error.strerror}") from error
        return Publication(reference=f"oci:{to.path}:{_tag(to.name)}", image=image.id, manifest=manifest)


def write_layout(image: Image, to: Destination, store: Store, progress: Progress) -> str:
    """Write the layout to `to.path` (host folder) and return the manifest's digest."""
    blobs = to.path / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    with progress.step("Writing layers", sum(layer.size for layer in image.layers)) as step:
        layers = []
        for layer in image.layers:
            layers.append(_write_layer(layer, image, blobs, store))
            step.advance(layer.size)
    config = image.config.encode()
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": _write_blob(config, blobs), "size": len(config)},
            "layers": layers,
            "annotations": image.annotations,
        }
    )
    digest = _write_blob(manifest, blobs)
    entry = {
        "mediaType": _MANIFEST,
        "digest": digest,
        "size": len(manifest),
        "platform": {key: json.loads(image.config)[key] for key in ("architecture", "os")},
        "annotations": {
            "org.opencontainers.image.ref.name": _tag(to.name),
            "io.containerd.image.name": f"docker.io/{to.name}",  # how Docker 25 and later name what they load
        },
    }
    _replace(to.path / "oci-layout", _LAYOUT)
    _replace(to.path / "index.json", _json(_index_with(to.path / "index.json", entry)))
    return digest


def _write_layer(layer: ImageLayer, image: Image, blobs: Path, store: Store) -> dict[str, Any]:
    """Compress one layer into its blob; what is written is checked against the image's promise on the way."""
    partial = blobs.parent / f".{secrets.token_hex(8)}"
    plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0
    trees = [tree for key in layer.trees if (tree := store.tree(key)) is not None]
    if len(trees) != len(layer.trees):
        raise PublishError(
            f"the store {store.root} lacks trees of image {image.id[:19]}",
            hint="build the image again: `reprolake build`",
        )
    try:
        with partial.open("wb") as stream:

            def out(data: bytes) -> None:
                nonlocal size
                packed.update(data)
                size += stream.write(data)

            with GzipWriter(out) as gzip:

                def take(data: bytes) -> None:
                    plain.update(data)
                    gzip.write(data)

                write_tar(merge((tree.root, tree.entries) for tree in trees)[0], take)
        if "sha256:" + plain.hexdigest() != layer.diff_id:
            raise PublishError(
                f"layer {layer.comment!r} no longer has the bytes it was built with: the store {store.root} was changed",
                hint=f"remove {' '.join(str(tree.folder) for tree in trees[:3])} and build again",
            )
        digest = "sha256:" + packed.hexdigest()
        partial.chmod(0o644)
        partial.replace(blobs / digest.removeprefix("sha256:"))
    finally:
        partial.unlink(missing_ok=True)
    return {"mediaType": _LAYER, "digest": digest, "size": size}


def _write_blob(data: bytes, blobs: Path) -> str:
    name = hashlib.sha256(data).hexdigest()
    _replace(blobs / name, data)
    return "sha256:" + name


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    partial.write_bytes(data)
    partial.chmod(0o644)
    partial.replace(path)


def _index_with(path: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """Return the layout's index with the entry in place of one of the same name."""
    others: list[dict[str, Any]] = []
    if path.is_file():
        name = entry["annotations"]["org.opencontainers.image.ref.name"]
        found = json.loads(path.read_bytes()).get("manifests", [])
        others = [
            old
            for old in found
            if old.get("annotations", {}).get("org.opencontainers.image.ref.name") != name
        ]
    return {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [*others, entry]}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _tag(name: str) -> str:
    return name.rpartition(":")[2]
