"""What contract tests share: each way to isolate, and roots of either kind."""

from __future__ import annotations

import pytest
from sandbox_programs import DIFFERENT, HOST, SANDBOXES

from reprolake_runner.inside import root_of


@pytest.fixture(params=[pytest.param(name, id=name, marks=pytest.mark.engine(name)) for name in SANDBOXES])
def sandbox(request):
    """One way to isolate."""
    return SANDBOXES[request.param]()


@pytest.fixture
def differs(request):
    """In what that way differs from the others, in words of `DIFFERENT`."""
    return DIFFERENT.get(request.node.callspec.params["sandbox"], frozenset())


@pytest.fixture(params=["host", "image"])
def root(request):
    """A root with a shell, of either kind."""
    if request.param == "host":
        return HOST
    image = request.getfixturevalue("built_image")
    store = request.getfixturevalue("session").tools.store
    return root_of(image, store)
