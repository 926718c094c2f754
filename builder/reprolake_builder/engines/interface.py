"""The seam between a lock and an image: what an engine is given, and what it must return."""

from __future__ import annotations

from typing import Protocol

from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.image import Image
from reprolake_builder.store import Tree
from reprolake_builder.tools import Tools


class Engine(Protocol):
    """A way to make an image from a lock."""

    def build(self, lock: EnvironmentLock, repository: Tree, tools: Tools) -> Image:
        """Return the image; `repository` is the tree that holds the source below image.REPOSITORY.

        Raises FetchError when a locked file cannot be had, BuildError when the image cannot be put together.
        """
