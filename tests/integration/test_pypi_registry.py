"""Resolution against the real package index, as this host is configured to reach it."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from reprolake.options import load_options
from reprolake_builder.documents.environment import Asked
from reprolake_builder.download import Downloader, Wanted
from reprolake_builder.errors import LockError
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.pypi import Choice, choose
from reprolake_builder.solvers.pypi_asking import asking
from reprolake_builder.solvers.pypi_failure import NoChoice
from reprolake_builder.solvers.pypi_target import TARGETS
from reprolake_builder.solvers.pypi_urls import wheel_urls
from reprolake_builder.solvers.pypi_uv import Question, Uv
from reprolake_builder.solvers.python_choice import candidates
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("registry"))
    site = load_options(os.environ).site
    yield Tools(store, site, Downloader(site))
    store.close()


def moment(day: str) -> AsOf:
    return AsOf(datetime.fromisoformat(day).replace(tzinfo=UTC), f"--as-of {day}", hides=True)


def chosen(tools: Tools, day: str, *texts: str, python: str = "") -> Choice:
    asked = tuple(Asked(text=text, origin=f"requirements.txt:{line}") for line, text in enumerate(texts, 1))
    found = choose(asking(asked, (), moment(day)), candidates((), python, moment(day)), tools)
    if isinstance(found, NoChoice):
        raise found.error()
    return found


def test_an_undeclared_python_is_the_newest_of_the_time_and_all_is_dated(tools):
    """A set of December 2022 gets Python 3.11 and a kernel of the time; why not 3.13 is recorded."""
    found = chosen(tools, "2022-12-01", "numpy")
    assert found.solution.target.minor == "3.11"
    wheels = {wheel.name: wheel for wheel in found.solution.wheels}
    assert wheels["numpy"].version == "1.23.5"
    assert wheels["numpy"].filename.startswith("numpy-1.23.5-cp311-cp311-manylinux_2_17_x86_64")
    assert (wheels["ipykernel"].version, wheels["matplotlib-inline"].version) == ("6.17.1", "0.1.6")
    assert (wheels["pip"].version, wheels["setuptools"].version) == ("22.3.1", "65.6.3")
    assert [(item.python, "2024-10-07" in item.reason) for item in found.rejected] == [("3.13", True)]


def test_time_travel_reaches_back_before_the_python(tools):
    """A package as of 2019 is the release of then, whatever the Python."""
    question = Question(("attrs",), cutoff=moment("2019-12-01").date)
    (found,) = Uv(tools.site, tools.store).resolve(question, TARGETS["3.11"]).packages.values()
    assert found.version == "19.3.0"


def test_a_package_without_wheels_is_named(tools):
    """Where there has only ever been a source distribution the error says so, with the place of the requirement."""
    with pytest.raises(
        LockError, match=r"Python 3\.11 as of 2022-12-01: docopt has no wheel for Python 3\.11"
    ) as caught:
        chosen(tools, "2022-12-01", "docopt", python="3.11")
    assert "docopt stands in requirements.txt:1" in caught.value.message


def test_a_locked_wheel_is_found_and_fetched(tools, tmp_path):
    """A store that knows nothing finds the address of a locked wheel and gets exactly its bytes."""
    wheels = [
        wheel for wheel in chosen(tools, "2022-12-01", "attrs").solution.wheels if wheel.name == "attrs"
    ]
    other = Store(tmp_path)
    (url,) = wheel_urls(wheels, tools.site, other).values()
    path = tools.downloader.fetch(Wanted(wheels[0].filename, (url,), wheels[0].sha256, wheels[0].size), other)
    assert path.stat().st_size == wheels[0].size
    other.close()
