"""What integration tests share: a small sample's lock and image, doubles of archives, a world of records and a forge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from deposits import archives
from pypi_index_server import Index, serving
from released import NAME, world_in
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


@pytest.fixture
def doubles(tmp_path):
    """A double of all archives, tools that lead to it, and what people are told."""
    with archives(tmp_path) as found:
        yield found


@pytest.fixture
def server(doubles):
    """The double."""
    return doubles[0]


@pytest.fixture
def tools(doubles):
    """Tools over an empty store that lead to the double."""
    return doubles[1]


@pytest.fixture
def said(doubles):
    """What people are told."""
    return doubles[2]


@pytest.fixture
def world(tmp_path):
    """A site with records and a forge, both empty."""
    with world_in(tmp_path) as made:
        yield made


@pytest.fixture
def released(world):
    """A repository with a tagged release and a later commit."""
    repository = world.repository(NAME)
    repository.write(run__sh="#!/bin/sh\n", notebook__ipynb="{}", data___a__csv="1\n", docs___b__md="b")
    (repository.folder / "run.sh").chmod(0o755)
    repository.commit()
    repository.git("tag", "v0.1.1")
    repository.commit(later="1")
    return repository
