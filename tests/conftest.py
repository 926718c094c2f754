"""What tests share: engines that must be there, one store for all, and images built once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from reprolake.pipeline import Session
    from reprolake_builder.image import Image


ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "sample-repos"
CACHE = ROOT / ".cache" / "tests"


def _bubblewrap() -> str:
    from reprolake_builder.sandboxes.bubblewrap import Bubblewrap

    return Bubblewrap().problem()


def _apptainer() -> str:
    from reprolake_builder.sandboxes.apptainer import Apptainer

    return Apptainer().problem()


def _installed(program: str) -> str:
    return "" if shutil.which(program) else f"{program} is not installed"


def _answers(program: str) -> str:
    if problem := _installed(program):
        return problem
    done = subprocess.run([program, "info"], capture_output=True, check=False)
    return "" if done.returncode == 0 else f"{program} does not work here"


# What measures this host, or takes so much of it that others would feel it.
_ALONE = (
    "contract/test_sandbox_limits.py",
    "hostile/test_exhaustion.py",
    "hostile/test_limits.py",
)
ENGINES: dict[str, Callable[[], str]] = {
    "bubblewrap": _bubblewrap,
    "apptainer": _apptainer,
    "docker": lambda: _answers("docker"),
    "podman": lambda: _answers("podman"),
    "skopeo": lambda: _installed("skopeo"),
    "umoci": lambda: _installed("umoci"),
    "qemu": lambda: _installed("qemu-x86_64"),
    "hg": lambda: _installed("hg"),
    "sshd": lambda: _installed("sshd"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what nothing else is to run beside."""
    for item in items:
        if "/".join(item.path.parts[-2:]) in _ALONE:
            item.add_marker("alone")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs an engine that is absent, with the reason; fail where the engine is required."""
    for mark in item.iter_markers("engine"):
        problem = ENGINES[mark.args[0]]()
        if problem and mark.args[0] in os.environ.get("REPROLAKE_REQUIRED_ENGINES", "").split():
            pytest.fail(f"the required engine {mark.args[0]} is not usable: {problem}")
        if problem:
            pytest.skip(problem)


@pytest.fixture(scope="session")
def session() -> Iterator[Session]:
    """A session on the tests' own store, which later runs find filled."""
    from reprolake.options import load_options
    from reprolake.pipeline import open_session
    from reprolake_builder.progress import SILENT

    with open_session(load_options(os.environ, str(CACHE / "store")), SILENT, datetime.now(UTC)) as opened:
        yield opened


@pytest.fixture(scope="session")
def built_image(session: Session) -> Image:
    """The image of a sample repository with a Python kernel and nothing else."""
    from reprolake.pipeline import Request, obtain_image, obtain_lock

    return obtain_image(obtain_lock(Request(link=str(SAMPLES / "no-parameters")), session), session)


@pytest.fixture(scope="session")
def reprolake() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command as users call it, on the tests' store."""
    program = shutil.which("reprolake", path=str(ROOT / ".venv/bin")) or "reprolake"

    def call(*arguments: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "REPROLAKE_STORE": str(CACHE / "store"), **env},
            capture_output=True,
            text=True,
            check=False,
        )

    return call
