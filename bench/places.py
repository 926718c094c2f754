"""Where benchmarks keep what they make, and the commands that they time."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.measure import call
from reprolake_builder.documents.lock import LAYOUT

ROOT = Path(__file__).parent.parent
WORK = ROOT / ".cache" / "bench"
STORE = WORK / "store"
REPROLAKE = Path(sys.executable).with_name("reprolake")
PAPERMILL = Path(sys.executable).with_name("papermill")
Line = tuple[str, str, str]
"""What was measured, the figure, the goal."""


def locked(folder: Path) -> Path:
    """Return the folder's lock, made when there is none yet."""
    lock = WORK / f"{folder.name}-{LAYOUT}.lock"
    if not lock.exists():
        call([REPROLAKE, "lock", folder, "-o", lock, "--store", STORE])
    return lock
