"""Resolution against an index of the test's own: dates, grace, old releases, Pythons, what is added."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from own_index import DATE, NOW, alpha_for, as_of, asked, chosen, tools_for, versions
from pypi_index_server import KERNEL, Index, Upload, serving

from reprolake_builder.documents.source import GitSource
from reprolake_builder.errors import LockError
from reprolake_builder.solvers.as_of import choose_as_of
from reprolake_builder.solvers.pypi import solve_build
from reprolake_builder.solvers.pypi_target import TARGETS
from reprolake_builder.store import Store


@pytest.fixture
def index():
    with serving(Index()) as served:
        yield served


@pytest.fixture
def tools(tmp_path, index):
    store = Store(tmp_path / "store")
    yield tools_for(index.url, store)
    store.close()


# ---------------------------------------------------------------------- dates
def test_what_was_uploaded_within_the_grace_is_used_and_nothing_later(index, tools):
    """A release of half a day after the commit counts, one of two days after it does not."""
    commit = datetime(2022, 12, 1, 12, tzinfo=UTC)
    index.add(
        Upload("alpha", "1.0", "2022-06-01"),
        Upload("alpha", "2.0", "2022-12-02T00:00:00Z"),
        Upload("alpha", "3.0", "2022-12-03T00:00:00Z"),
    )
    source = GitSource(url="https://example.org/a.git", commit="0" * 40, tree="1" * 40, date=commit)
    found = chosen(tools, "alpha", python="3.11", date=choose_as_of(source, "", NOW))
    assert versions(found.solution)["alpha"] == "2.0"


def test_now_needs_no_upload_times(index, tools):
    """An index that does not tell upload times serves for now, and for no date in the past."""
    index.uploads = tuple(Upload(item.name, item.version, "") for item in KERNEL)
    index.add(Upload("alpha", "1.0", ""))
    assert versions(chosen(tools, "alpha", date=as_of("now")).solution)["alpha"] == "1.0"
    with pytest.raises(LockError, match="alpha") as caught:
        chosen(tools, "alpha")
    assert "upload" in caught.value.message


# ---------------------------------------------------------------------- what is added
def test_a_kernel_and_the_tools_of_a_virtual_environment_are_added_and_recorded(index, tools):
    """Without a kernel of its own the set gets ipykernel, and pip, setuptools and wheel as they were."""
    index.add(Upload("alpha", "1.0", "2022-06-01"), Upload("pip", "23.0", "2023-01-30"))
    solution = chosen(tools, "alpha", python="3.11").solution
    assert versions(solution) == {
        "alpha": "1.0",
        "ipykernel": "6.17.1",
        "pip": "22.3.1",
        "setuptools": "65.6.3",
        "wheel": "0.38.4",
    }
    assert [text.partition(":")[0] for text in solution.added] == ["ipykernel", "pip", "setuptools", "wheel"]
    assert solution.added[0] == "ipykernel: no kernel was declared"
    assert [wheel.name for wheel in solution.wheels if wheel.requested] == ["alpha"]


def test_newer_pythons_get_pip_alone(index, tools):
    """From 3.12 on `python -m venv` gives neither setuptools nor wheel."""
    solution = chosen(tools, python="3.13").solution
    assert versions(solution).keys() == {"ipykernel", "pip"}


def test_a_pin_of_the_user_wins_over_what_would_be_added(index, tools):
    """What the user's own set holds, also through another package, is not added again."""
    index.add(
        Upload("setuptools", "60.0.0", "2021-12-01"),
        Upload("lab", "1.0", "2022-06-01", requires=("ipykernel<6.10",)),
        Upload("ipykernel", "6.9.0", "2022-02-01"),
    )
    solution = chosen(tools, "setuptools==60.0.0", "lab", python="3.11").solution
    assert versions(solution)["setuptools"] == "60.0.0"
    assert versions(solution)["ipykernel"] == "6.9.0"
    assert [text.partition(":")[0] for text in solution.added] == ["pip", "wheel"]


def test_a_clash_with_what_is_added_is_told_as_such(index, tools):
    """When only our addition makes the set impossible, the error says so."""
    index.uploads = (*KERNEL[1:], Upload("ipykernel", "6.17.1", "2022-11-09", requires=("tornado>=6",)))
    index.add(Upload("tornado", "5.0", "2018-01-01"), Upload("tornado", "6.0", "2019-01-01"))
    with pytest.raises(
        LockError, match=r"own requirements fit, but not with what Reprolake adds \(ipykernel, "
    ):
        chosen(tools, "tornado<6", python="3.11")


# ---------------------------------------------------------------------- which Python
def test_the_newest_python_with_wheels_for_the_whole_set_is_taken(index, tools):
    """A Python for which one package has no wheel is passed over, with the package's name; one of the future is not tried."""
    index.add(*alpha_for("cp39-cp39-manylinux_2_17_x86_64", "cp313-cp313-manylinux_2_17_x86_64"))
    found = chosen(tools, "alpha")
    assert found.solution.target.minor == "3.9"
    assert [(item.python, item.reason) for item in found.rejected] == [
        ("3.13", "it was released on 2024-10-07, after 2022-12-01"),
        ("3.11", "alpha has no wheel for Python 3.11 as of 2022-12-01"),
    ]


def test_a_python_that_came_later_is_the_last_resort(index, tools):
    """When no Python of the time has the wheels, one that came later is taken rather than none."""
    index.add(*alpha_for("cp313-cp313-manylinux_2_17_x86_64"))
    assert chosen(tools, "alpha").solution.target.minor == "3.13"


def test_a_python_that_needs_a_much_older_release_is_passed_over(index, tools):
    """Undeclared Python: a set that would go back to a release over a year older than the current one is no answer."""
    index.add(Upload("alpha", "1.0", "2016-01-01"), *alpha_for("cp39-cp39-manylinux_2_17_x86_64"))
    found = chosen(tools, "alpha")
    assert found.solution.target.minor == "3.9"
    assert versions(found.solution)["alpha"] == "5.0"
    assert found.rejected[-1].reason == (
        "alpha went back to 1.0 of 2016-01-01, while 5.0 of 2022-11-01 was current: alpha 5.0 has no wheel for Python 3.11"
    )


def test_when_every_python_needs_the_old_release_the_first_is_taken_and_it_is_told(index, tools):
    """A package held back by another is used as it is, with the package that forced it."""
    index.add(
        Upload("alpha", "1.0", "2016-01-01"),
        *alpha_for("py3-none-any"),
        Upload("beta", "1.0", "2022-06-01", requires=("alpha<2",)),
    )
    found = chosen(tools, "alpha", "beta")
    assert found.solution.target.minor == "3.11"
    (behind,) = found.solution.behind
    assert behind.sentence.startswith(
        "alpha went back to 1.0 of 2016-01-01, while 5.0 of 2022-11-01 was current"
    )
    assert behind.cause == "held back by beta"
    assert [item.python for item in found.rejected] == ["3.9", "3.13"]


@pytest.mark.parametrize(
    ("newest", "cause"),
    [
        (
            Upload("alpha", "5.0", "2022-11-01", tag="cp39-cp39-manylinux1_x86_64"),
            "alpha 5.0 has no wheel for Python 3.11",
        ),
        (Upload("alpha", "5.0", "2022-11-01", requires_python=">=3.12"), "alpha 5.0 is for Python >=3.12"),
        (
            Upload("alpha", "5.0", "2022-11-01", requires=("missing",)),
            "missing is not in the package index",
        ),
    ],
    ids=["no wheel", "other Python", "broken"],
)
def test_a_chosen_python_stays_and_the_old_release_is_told_with_its_cause(index, tools, newest, cause):
    """With a Python that is fixed the set is accepted, never in silence."""
    index.add(Upload("alpha", "1.0", "2016-01-01"), newest)
    (behind,) = chosen(tools, "alpha", python="3.11").solution.behind
    assert behind.cause == cause


@pytest.mark.parametrize(
    ("requirement", "constraints"), [("alpha==1.0", ()), ("alpha<2", ()), ("alpha", ("alpha<2",))]
)
def test_an_old_release_that_was_asked_for_is_no_news(index, tools, requirement, constraints):
    """Pins, ranges and constraints of the user's own are not reported."""
    index.add(Upload("alpha", "1.0", "2016-01-01"), *alpha_for("py3-none-any"))
    assert chosen(tools, requirement, python="3.11", constraints=constraints).solution.behind == ()


@pytest.mark.parametrize(
    "newest",
    [
        Upload("alpha", "5.0", "2016-11-01", requires_python=">=3.12"),
        Upload("alpha", "5.0", "2022-12-05", requires_python=">=3.12"),
        Upload("alpha", "5.0rc1", "2022-11-01", requires_python=">=3.12"),
        Upload("alpha", "5.0", "2022-11-01", requires_python=">=3.12", yanked=True),
    ],
    ids=["within a year", "after the date", "pre-release", "withdrawn"],
)
def test_only_what_could_have_been_current_counts(index, tools, newest):
    """Releases within a year, of after the date, pre-releases and withdrawn ones make no other release old."""
    index.add(Upload("alpha", "1.0", "2016-01-01"), newest)
    assert chosen(tools, "alpha", python="3.11").solution.behind == ()


def test_nothing_fits_is_told_for_every_python(index, tools):
    """The error has one line for each Python, the place of the requirement, the date, and uv's own words."""
    index.add(*alpha_for("cp38-cp38-manylinux1_x86_64"))
    with pytest.raises(LockError) as caught:
        chosen(tools, "alpha>=1")
    message = caught.value.message
    for minor in ("3.13", "3.11", "3.9"):
        assert f"Python {minor}: alpha has no wheel for Python {minor} as of {DATE}" in message
    assert "alpha>=1 stands in requirements.txt:1" in message
    assert "unsatisfiable" in message
    assert "--as-of" in caught.value.hint


# ---------------------------------------------------------------------- what builds a package
def test_build_requirements_are_dated_and_setuptools_may_know_a_later_python(index, tools):
    """They are of the date; only for a Python that came later setuptools and wheel may be younger, and that is noted."""
    index.add(Upload("setuptools", "75.0.0", "2025-01-01"), Upload("wheel", "0.45", "2025-01-01"))
    found = solve_build(asked("setuptools>=40"), TARGETS["3.11"], as_of(), tools)
    assert (versions(found.wheels), found.notes) == ({"setuptools": "65.6.3", "wheel": "0.38.4"}, ())
    found = solve_build(asked("setuptools>=40"), TARGETS["3.13"], as_of(), tools)
    assert versions(found.wheels) == {"setuptools": "75.0.0", "wheel": "0.45"}
    assert "Python 3.13 came after 2022-12-01" in found.notes[0]


def test_a_backend_that_cannot_be_had_is_told_as_such(index, tools):
    """The error says that it is the build of the repository's package that lacks something."""
    with pytest.raises(
        LockError, match=r"builds the repository's package.*[\s\S]*hatchling is not in the package index"
    ):
        solve_build(asked("hatchling"), TARGETS["3.11"], as_of(), tools)
