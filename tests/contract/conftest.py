"""What contract tests share: each way to isolate, and roots of either kind."""

from __future__ import annotations

import pytest
from sandbox_programs import DIFFERENT, HOST, ROOTS, SANDBOXES

from reprolake_runner.inside import root_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test over each way to isolate, and over the kinds of root that it is tried with."""
    if "sandbox" not in metafunc.fixturenames:
        return
    both = "root" in metafunc.fixturenames
    metafunc.parametrize(
        "sandbox,root" if both else "sandbox",
        [
            pytest.param(*((name, root) if both else (name,)), marks=pytest.mark.engine(name))
            for name in SANDBOXES
            for root in (ROOTS[name] if both else [""])
        ],
        indirect=True,
    )


@pytest.fixture
def sandbox(request):
    """One way to isolate."""
    return SANDBOXES[request.param]()


@pytest.fixture
def differs(request):
    """In what that way differs from the others, in words of `DIFFERENT`."""
    return DIFFERENT.get(request.node.callspec.params["sandbox"], frozenset())


@pytest.fixture
def root(request):
    """A root with a shell, of either kind."""
    if request.param == "host":
        return HOST
    image = request.getfixturevalue("built_image")
    store = request.getfixturevalue("session").tools.store
    return root_of(image, store)
