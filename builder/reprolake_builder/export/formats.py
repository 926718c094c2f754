"""The formats by name."""

from __future__ import annotations

from collections.abc import Callable

from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.export.bills import cyclonedx, spdx
from reprolake_builder.export.conda import conda_lock, explicit, pixi
from reprolake_builder.export.dockerfile import dockerfile
from reprolake_builder.export.pylock import pylock
from reprolake_builder.export.requirements import requirements
from reprolake_builder.tools import Tools

FORMATS: dict[str, Callable[[EnvironmentLock, Tools], str]] = {
    "requirements": requirements,
    "pylock": pylock,
    "conda-lock": conda_lock,
    "explicit": explicit,
    "pixi": pixi,
    "dockerfile": dockerfile,
    "cyclonedx": cyclonedx,
    "spdx": spdx,
}
"""What writes each: the text of a file for a lock, with addresses from the site's configuration."""
