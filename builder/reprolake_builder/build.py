"""The build stage: EnvironmentLock and source become an image."""

from __future__ import annotations

from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.engines.direct import DirectEngine
from reprolake_builder.engines.interface import Engine
from reprolake_builder.image import Image
from reprolake_builder.store import Tree
from reprolake_builder.tools import Tools

ENGINES: dict[str, Engine] = {"direct": DirectEngine()}


def build(lock: EnvironmentLock, repository: Tree, tools: Tools, engine: str = "direct") -> Image:
    """Return the image of the lock, made by the named engine; `repository` is the fetched source's tree."""
    return ENGINES[engine].build(lock, repository, tools)
