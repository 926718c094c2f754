"""The front doors over builder and runner; `reprolake.build` and `reprolake.run` are those for Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reprolake.face import build, run

__all__ = ["build", "run"]


def __getattr__(name: str) -> Any:
    """Return what the Python face has under a name; the command line is spared its imports."""
    if name not in __all__:
        raise AttributeError(f"module 'reprolake' has no attribute {name!r}")
    from reprolake import face

    return getattr(face, name)
