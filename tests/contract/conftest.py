"""What contract tests share: each way to isolate, and roots of either kind."""

from __future__ import annotations

import pytest
from sandbox_programs import HOST, SANDBOXES

from reprolake_runner.inside import root_of


@pytest.fixture(
    params=[pytest.param(kind, id=name, marks=pytest.mark.engine(name)) for name, kind in SANDBOXES.items()]
)
def sandbox(request):
    """One way to isolate."""
    return request.param()


@pytest.fixture(params=["host", "image"])
def root(request):
    """A root with a shell, of either kind."""
    if request.param == "host":
        return HOST
    image = request.getfixturevalue("built_image")
    store = request.getfixturevalue("session").tools.store
    return root_of(image, store)
