"""What integration tests share: a lock of a small sample, and a store that holds its image and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

SAMPLE = Path(__file__).parent.parent.parent / "sample-repos" / "no-parameters"


@pytest.fixture(scope="session")
def small_lock(reprolake, tmp_path_factory) -> Path:
    """A lock of the small sample."""
    file = tmp_path_factory.mktemp("lock") / "a.lock"
    done = reprolake("lock", SAMPLE, "-o", file)
    assert done.returncode == 0, done.stderr
    return file


@pytest.fixture(scope="session")
def small_store(reprolake, small_lock, tmp_path_factory) -> Path:
    """A store with the image of the lock and nothing else; copy it, do not change it."""
    store = tmp_path_factory.mktemp("small") / "store"
    done = reprolake("build", small_lock, REPROLAKE_STORE=str(store))
    assert done.returncode == 0, done.stderr
    return store
