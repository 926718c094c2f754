"""What integration tests share: a lock of a small sample, and a store that holds its image and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pypi_index_server import Index, serving
from source_builds import CACHE, session_on

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


@pytest.fixture
def index() -> Iterator[Index]:
    """An index of the test's own, which stands before the configured one."""
    with serving(Index(uploads=())) as served:
        yield served


@pytest.fixture
def here(index):
    """A session on the tests' store with that index."""
    with session_on(CACHE / "store", index) as opened:
        yield opened
