"""What an image consists of beside its layers, whatever it is written to: manifest, index.

Source: OCI image specification 1.1, manifest.md and image-layout.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Protocol

from reprolake_builder.documents.base import Digest

GZIP_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
PLAIN_LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"


class Described(Protocol):
    """An image: the JSON text of its configuration, whose digest is `id`, and annotations for its manifest."""

    @property
    def id(self) -> Digest:
        """The digest of the configuration."""

    @property
    def config(self) -> str:
        """The configuration."""

    @property
    def annotations(self) -> dict[str, str]:
        """What the manifest says of the image."""


def descriptor(kind: str, digest: Digest, size: int) -> dict[str, Any]:
    """Return what refers to a blob of `size` bytes."""
    return {"mediaType": kind, "digest": digest, "size": size}


def manifest(image: Described, layers: Sequence[dict[str, Any]]) -> bytes:
    """Return the manifest over the descriptors of the image's layers."""
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": descriptor(_CONFIG, image.id, len(image.config.encode())),
            "layers": layers,
            "annotations": image.annotations,
        }
    )


def index_entry(image: Described, written: bytes, name: str) -> dict[str, Any]:
    """Return what an index says of the image with that manifest; `name` is `registry/repository:tag`, "" for none."""
    named = {
        "org.opencontainers.image.ref.name": tag_of(name),
        "io.containerd.image.name": name,  # how Docker 25 and later and podman name what they load
    }
    return {
        **descriptor(_MANIFEST, digest_of(written), len(written)),
        "platform": {key: json.loads(image.config)[key] for key in ("architecture", "os")},
        **({"annotations": named} if name else {}),
    }


def index(entries: Sequence[dict[str, Any]]) -> bytes:
    """Return the index of a layout."""
    return canonical({"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries})


def older_manifest(image: Described, names: Sequence[str], layers: Sequence[Digest]) -> bytes:
    """Return Docker's own manifest.json over the blobs of a layout."""
    older = {
        "Config": blob_path(image.id),
        "RepoTags": names,
        "Layers": [blob_path(layer) for layer in layers],
    }
    return canonical([older])


def blob_path(digest: Digest) -> str:
    """Return where a blob lies in a layout."""
    return "blobs/sha256/" + digest.removeprefix("sha256:")


def digest_of(data: bytes) -> Digest:
    """Return the digest of a small blob."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tag_of(name: str) -> str:
    """Return the tag of `repository:tag`."""
    return name.rpartition(":")[2]


def canonical(value: object) -> bytes:
    """Return JSON whose bytes follow from the value alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
