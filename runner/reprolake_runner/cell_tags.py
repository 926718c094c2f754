"""Tags of cells and what they mean: papermill's convention, and nbclient's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DECLARED = "parameters"
INJECTED = "injected-parameters"
MAY_RAISE = "raises-exception"
SKIPPED = "skip-execution"


def tags_of(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tags in a cell's metadata; a stranger's may hold anything in their place."""
    found = metadata.get("tags")
    return tuple(tag for tag in found if isinstance(tag, str)) if isinstance(found, list) else ()
