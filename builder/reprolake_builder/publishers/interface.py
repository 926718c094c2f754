"""The seam to the places that an image can be written to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from reprolake_builder.documents.base import Digest, Document
from reprolake_builder.image import Image
from reprolake_builder.progress import Progress
from reprolake_builder.store import Store


@dataclass(frozen=True, slots=True)
class Destination:
    """A parsed `--output`: `scheme` chooses the publisher, `path` is a host path, `name` is `repository:tag`.

    A container engine has no path; `environment` is what its client program sees.
    """

    scheme: str
    path: Path
    name: str
    environment: Mapping[str, str]


class Publication(Document, frozen=True, kw_only=True):
    """Where an image was written: `reference` as other tools take it, `manifest` its manifest's digest.

    None is for places that keep no manifest.
    """

    reference: str
    image: Digest
    manifest: Digest | None = None


class Publisher(Protocol):
    """Writes an image to one kind of place."""

    def check(self, to: Destination) -> None:
        """Raise PublishError when it is plain already that nothing can be written there; nothing is changed."""

    def publish(self, image: Image, to: Destination, store: Store, progress: Progress) -> Publication:
        """Write the image whole or not at all. Raises PublishError."""
