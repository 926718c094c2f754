"""The lock stage over the real Debian mirror and a package index of the test's own."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from pypi_index_server import Index, Upload, serving

from reprolake.options import load_options
from reprolake_builder.documents.base import decode, pretty
from reprolake_builder.documents.environment import Asked, EnvironmentSpec
from reprolake_builder.documents.lock import BuiltWheelLock, EnvironmentLock
from reprolake_builder.documents.source import GitSource
from reprolake_builder.download import Downloader
from reprolake_builder.engines.built import BuildOrder, BuiltWheel
from reprolake_builder.lock import LockOptions, lock
from reprolake_builder.progress import SILENT
from reprolake_builder.solvers.pypi_target import TARGETS
from reprolake_builder.source_tree import SourceTree
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

NOW = datetime(2026, 5, 4, tzinfo=UTC)
SOURCE = GitSource(
    url="https://example.org/a.git", commit="0" * 40, tree="1" * 40, date=datetime(2022, 11, 30, tzinfo=UTC)
)


@pytest.fixture(scope="module")
def index():
    uploads = (
        Upload("alpha", "1.0", "2022-06-01"),
        Upload("beta", "1.0", "2022-06-01", tag="cp39-cp39-manylinux_2_17_x86_64"),
        Upload("plot", "1.0", "2022-06-01"),
        Upload("mine", "0.9", "2022-06-01"),
        Upload("user", "1.0", "2022-06-01", requires=("mine",)),
    )
    with serving(Index().add(*uploads)) as served:
        yield served


@pytest.fixture(scope="module")
def tools(index, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("lock"))
    site = dataclasses.replace(load_options(os.environ).site, index_url=index.url)
    yield Tools(store, site, Downloader(site), SILENT)
    store.close()


@pytest.fixture(scope="module")
def tree(tools):
    """A source with nothing in it."""

    def fill(root):
        (root / "repo").mkdir()

    return SourceTree(SOURCE, tools.store.make_tree("3" * 64, fill))


@dataclass
class Builder:
    """Stands at the other end of the seam: a package whose metadata requires `requires`, whatever builds it."""

    requires: tuple[str, ...] = ()
    builds: list[BuildOrder] = field(default_factory=list)

    def __call__(self, order, tools):
        self.builds.append(order)
        pin = BuiltWheelLock(
            name="mine",
            version="1.0",
            filename="mine-1.0-py3-none-any.whl",
            size=1,
            sha256="2" * 64,
            origin=order.origin,
            build_requirements=order.build_wheels,
            variables=order.variables,
            files={},
        )
        return BuiltWheel(lock=pin, requires=self.requires)


def asked(*texts: str, file: str = "requirements.txt") -> tuple[Asked, ...]:
    return tuple(Asked(text=text, origin=f"{file}:{line}") for line, text in enumerate(texts, 1))


def versions(made: EnvironmentLock) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in made.wheels}


def test_a_lock_says_all_that_was_decided(tree, tools):
    """Date, Python, base, packages, additions, rejections, overrides and resolvers stand in the lock, which reads back."""
    spec = EnvironmentSpec(files=(), requirements=asked("alpha"))
    builder = Builder()
    made = lock(tree, spec, LockOptions(now=NOW, overrides=("--ignore Dockerfile",)), tools, builder)
    assert decode(pretty(made), EnvironmentLock) == made
    assert (made.as_of, made.as_of_is) == (datetime(2022, 12, 1, tzinfo=UTC), "commit + 1 day")
    assert (made.debian.suite, made.interpreter.version) == ("bookworm", TARGETS["3.11"].version)
    assert versions(made).keys() == {"alpha", "ipykernel", "pip", "setuptools", "wheel"}
    assert made.added[0] == "ipykernel: no kernel was declared"
    assert [(rung.rung, rung.python, bool(rung.reason)) for rung in made.ladder] == [
        ("other Python", "3.13", True),
        ("date", "3.11", False),
    ]
    assert made.overrides == ("--ignore Dockerfile",)
    assert made.resolvers.keys() == {"uv", "reprolake"}
    assert (made.project, made.notes, builder.builds) == (None, (), [])
    assert b"127.0.0.1" not in pretty(made)


def test_overrides_are_recorded(tree, tools):
    """`--python` and `--as-of` decide, stand in the lock, and what they contradict is noted."""
    spec = EnvironmentSpec(files=(), requirements=asked("alpha"), python=asked("==3.9.*", file="runtime.txt"))
    options = LockOptions(now=NOW, python="3.11", as_of="2022-12-24")
    made = lock(tree, spec, options, tools, Builder())
    assert made.interpreter.version.startswith("3.11.")
    assert made.as_of_is == "--as-of 2022-12-24"
    assert made.overrides == ("--python 3.11", "--as-of 2022-12-24")
    assert made.notes == ("runtime.txt:1 asks for Python ==3.9.*; `--python 3.11` took its place",)


def project_spec(*, dynamic: bool, requirements: tuple[str, ...] = ()) -> EnvironmentSpec:
    return EnvironmentSpec(
        files=(),
        requirements=asked(*requirements),
        project="",
        project_dynamic=dynamic,
        project_extras=("fancy",),
        build_requirements=asked("setuptools", file="pyproject.toml"),
        build_backend="pep517",
    )


def test_the_repositorys_package_is_built_with_dated_tools(tree, tools):
    """The builder gets base, interpreter and build wheels; the package's own name on the index gives way."""
    builder = Builder(("nonsense-that-does-not-count",))
    made = lock(
        tree, project_spec(dynamic=False, requirements=("user",)), LockOptions(now=NOW), tools, builder
    )
    (base,) = builder.builds
    assert {wheel.name for wheel in base.build_wheels} == {"setuptools", "wheel"}
    assert (base.ground.debian, base.ground.interpreter) == (made.debian, made.interpreter)
    assert base.variables["SOURCE_DATE_EPOCH"] == str(int(SOURCE.date.timestamp()))
    assert made.project is not None
    assert made.project.name == "mine"
    assert "mine" not in versions(made)
    assert made.notes == ("the repository's own mine takes the place of the index's",)


def test_what_the_built_package_requires_is_resolved_too(tree, tools):
    """Requirements that only the built metadata tells, with those of the extras that were asked for, join the set."""
    builder = Builder(("alpha", 'plot; extra == "fancy"', 'missing; extra == "test"'))
    made = lock(tree, project_spec(dynamic=True), LockOptions(now=NOW), tools, builder)
    assert {"alpha", "plot"} <= versions(made).keys()
    assert {wheel.name for wheel in made.wheels if wheel.requested} == {"alpha", "plot"}
    assert len(builder.builds) == 1


def test_requirements_of_the_built_package_can_change_the_python(tree, tools):
    """When they have wheels for another Python only, the package is built again with that one."""
    builder = Builder(("beta",))
    made = lock(tree, project_spec(dynamic=True), LockOptions(now=NOW), tools, builder)
    assert made.interpreter.version == TARGETS["3.9"].version
    assert [base.ground.interpreter.version for base in builder.builds] == [
        TARGETS["3.11"].version,
        TARGETS["3.9"].version,
    ]
    assert "beta has no wheel for Python 3.11" in made.ladder[-2].reason
