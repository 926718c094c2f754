"""The OCI image as a value: configuration, layers and what they are made of.

The image's name everywhere is its id: the SHA-256 of the configuration, which depends on the layers' uncompressed bytes
only and never on a compressor. Source: OCI image specification 1.1, config.md and annotations.md.
"""

from __future__ import annotations

import json
from typing import Any

from reprolake_builder.documents.base import Digest, Document, Sha256

PREFIX = "/opt/env"
"""Where the Python environment lies in the image."""
REPOSITORY = "/repo"
"""Where the repository lies in the image."""
RECIPES = "/opt/recipes"
"""Where recipes with an environment of their own have it."""
HOME = "/home/jovyan"
USER = (1000, 100)
"""User and group that notebooks run as."""
CITATION = "reprolake.citation"
"""The annotation that holds the source's documents.citation.Citation as JSON."""
LOCK_IN_IMAGE = "/opt/reprolake/reprolake.lock"
ENTRY_POINT = "/usr/local/bin/reprolake-exec"
"""The program that every command of the image is given to; where the repository has a script `start`, that one starts it."""
START = "reprolake.start"
"""The annotation that holds the path of that script in the source, absent where there is none."""


def working_folder(subdir: str) -> str:
    """Return where the image's programs start: the repository's folder in the image, or its sub-folder `subdir` (relative path)."""
    return f"{REPOSITORY}/{subdir}" if subdir else REPOSITORY


class ImageLayer(Document, frozen=True, kw_only=True):
    """One layer: `diff_id` and `size` (bytes) of its tar stream, and the keys of the stored trees merged in it, lowest first."""

    diff_id: Digest
    size: int
    trees: tuple[Sha256, ...]
    comment: str


class Image(Document, frozen=True, kw_only=True):
    """An image whose trees lie in the store.

    `config` is the configuration's exact JSON text, whose SHA-256 is `id`. `annotations` go to the manifest.
    """

    id: Digest
    config: str
    layers: tuple[ImageLayer, ...]
    annotations: dict[str, str]
    lock_sha256: Sha256

    @property
    def trees(self) -> tuple[Sha256, ...]:
        """Keys of all trees, lowest first."""
        return tuple(key for layer in self.layers for key in layer.trees)

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """Digests of the layers' tar streams, lowest first."""
        return tuple(layer.diff_id for layer in self.layers)

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration's `config` object: Env, WorkingDir, User, Entrypoint, Labels."""
        settings: dict[str, Any] = json.loads(self.config)["config"]
        return settings

    @property
    def env(self) -> dict[str, str]:
        """The image's environment variables."""
        return dict(item.split("=", 1) for item in self.settings["Env"])
