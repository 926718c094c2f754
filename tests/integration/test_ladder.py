"""The ladder that locking climbs: the source's date, the other Pythons, the date of the environment's files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from git_repositories import Repository
from pypi_index_server import Index, Upload, serving
from sdists import sdist, setup_py
from source_builds import session_on

from reprolake.describe import lock_lines
from reprolake.pipeline import Request, Session, obtain_lock
from reprolake_builder.documents.base import decode, pretty
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.engines.backend import run_backend
from reprolake_builder.errors import LockError, SourceBuildError

WRITTEN = datetime(2023, 11, 14, 22, 14, 20, tzinfo=UTC)  # of a repository's first commit
ONLY_OLD = "import sys\nif sys.version_info >= (3, 11): raise SystemExit('3.11 is too new')\n"
NEVER = "raise SystemExit('the moon is in the wrong phase')\n"
pytestmark = pytest.mark.engine("bubblewrap")


@pytest.fixture
def index() -> Iterator[Index]:
    """An index of the test's own, which stands before the configured one."""
    with serving(Index(uploads=())) as served:
        yield served


@pytest.fixture
def here(index, session) -> Iterator[Session]:
    """A session on the tests' store with that index."""
    with session_on(session.tools.store.root, index) as opened:
        yield opened


@pytest.fixture
def repository(tmp_path) -> Repository:
    """A repository that has asked for rl-one since 2023-11-14 and got another README a year later."""
    made = Repository(tmp_path / "remote")
    made.commit(requirements__txt="rl-one\n")
    made.clock += 365 * 24 * 3600
    made.commit(README__md="cite us\n")
    return made


def locked(repository: Repository, session: Session, **rest: str) -> EnvironmentLock:
    return obtain_lock(Request(link=str(repository.folder), **rest), session, fresh=True).lock


def climbed(lock: EnvironmentLock) -> list[tuple[str, str, str]]:
    """Return rung, day and Python of each step."""
    return [(rung.rung, f"{rung.as_of:%Y-%m-%d}", rung.python) for rung in lock.ladder]


def test_a_set_that_fits_is_the_first_rung(here, index, repository):
    """Where nothing has to be climbed the ladder has what was taken, and the Python that was not out is explained."""
    index.add(Upload("rl_one", "1.0", "2020-01-01"))
    made = locked(repository, here, python="3.11")
    assert climbed(made) == [("date", "2024-11-14", "3.11")]
    assert made.ladder[0].reason == ""
    assert not any(line.startswith("ladder") for line in lock_lines(made))


def test_a_build_that_fails_leads_to_another_python(here, index, repository):
    """What does not build with the newest Python of the time is built with an older one, and why is recorded."""
    index.sdists |= sdist("rl-one", "1.0", setup__py=ONLY_OLD + setup_py("rl-one", "1.0"))
    made = locked(repository, here)
    assert decode(pretty(made), EnvironmentLock) == made
    assert [(rung.rung, rung.python) for rung in made.ladder] == [
        ("date", "3.13"),
        ("other Python", "3.11"),
        ("other Python", "3.9"),
    ]
    assert "could not build rl-one-1.0.tar.gz" in made.ladder[0].reason
    assert "3.11 is too new" in made.ladder[0].reason
    assert made.ladder[-1].reason == ""
    lines = [line for line in lock_lines(made) if line.startswith("ladder")]
    assert lines[0].startswith("ladder      date: Python 3.13 as of 2024-11-14: setuptools")
    assert lines[-1] == "ladder      other Python: Python 3.9 as of 2024-11-14: taken"


def test_a_failing_build_is_not_repeated(here, index, repository, monkeypatch):
    """Looking for a Python that has wheels, and then for one that builds, runs each build once."""
    index.sdists |= sdist("rl-one", "1.0", setup__py=NEVER)
    builds = []
    monkeypatch.setattr("reprolake_builder.engines.built.run_backend", counting(builds))
    with pytest.raises(SourceBuildError):
        locked(repository, here, as_of="2024-06-01")
    assert len(builds) == 3


def counting(builds: list[str]):
    """Return the real backend's runner, which notes each of its calls."""

    def run(call, scratch):
        builds.append(call.interpreter.version)
        return run_backend(call, scratch)

    return run


def test_a_package_of_the_repository_that_does_not_build_leads_to_another_python(here, tmp_path):
    """The repository's own setup.py may rule a Python out by failing."""
    made = Repository(tmp_path / "r")
    made.commit(setup__py=ONLY_OLD + setup_py("mine", "1.0", "py_modules=['mine']"), mine__py="")
    lock = locked(made, here)
    assert lock.interpreter.version.startswith("3.9.")
    assert lock.project is not None
    assert {rung.python for rung in lock.ladder if rung.reason} == {"3.13", "3.11"}
    assert "could not build the repository's package" in lock.ladder[0].reason


def needs_old_tool(index: Index) -> None:
    """Serve rl-one, which only builds with the rl-tool of before 2024."""
    check = "from importlib.metadata import version\nif version('rl-tool') != '1.0': raise SystemExit('new tool')\n"
    table = '[build-system]\nrequires = ["setuptools", "rl-tool"]\nbuild-backend = "setuptools.build_meta"\n'
    index.sdists |= sdist("rl-one", "1.0", setup__py=check + setup_py("rl-one", "1.0"), pyproject__toml=table)
    index.add(Upload("rl_tool", "1.0", "2020-01-01"), Upload("rl_tool", "2.0", "2024-01-01"))


def test_the_date_of_the_environment_files_is_the_last_rung(here, index, repository):
    """What does not build as of the commit does so as of the last change to requirements.txt; every step is recorded."""
    needs_old_tool(index)
    made = locked(repository, here)
    assert made.as_of_is == "last change of requirements.txt + 1 day"
    assert made.as_of == WRITTEN + timedelta(days=1)
    assert {wheel.version for wheel in made.built[0].build_requirements if wheel.name == "rl-tool"} == {"1.0"}
    assert climbed(made) == [
        ("date", "2024-11-14", "3.13"),
        ("other Python", "2024-11-14", "3.11"),
        ("other Python", "2024-11-14", "3.9"),
        ("environment files", "2023-11-15", "3.13"),
        ("environment files", "2023-11-15", "3.11"),
    ]
    assert [rung.reason.partition(" (exit")[0] for rung in made.ladder[:3]] == [
        "setuptools.build_meta could not build rl-one-1.0.tar.gz"
    ] * 3
    assert made.ladder[3].reason == "it was released on 2024-10-07, after 2023-11-15"
    assert made.ladder[4].reason == ""


def test_the_history_of_a_repository_elsewhere_tells_as_well(here, index, repository):
    """A link to a git repository climbs as its work tree does; for that the history is fetched."""
    needs_old_tool(index)
    made = obtain_lock(Request(link=repository.url, python="3.11"), here, fresh=True).lock
    assert made.as_of == WRITTEN + timedelta(days=1)


def test_a_date_that_the_user_chose_is_not_climbed_down_from(here, index, repository):
    """With `--as-of` the date is decided: the failure is told instead."""
    needs_old_tool(index)
    with pytest.raises(SourceBuildError, match=r"rl-one-1\.0\.tar\.gz[\s\S]*new tool") as caught:
        locked(repository, here, as_of="2024-06-01", python="3.11")
    assert "last change" not in caught.value.message


def test_a_changed_file_has_no_date(here, index, repository):
    """Where requirements.txt is not the committed one no history tells of it, and there is no third rung."""
    needs_old_tool(index)
    repository.write(requirements__txt="rl-one>=1\n")
    with pytest.raises(SourceBuildError) as caught:
        locked(repository, here, python="3.11")
    assert "last change" not in caught.value.message


def test_a_ladder_that_leads_nowhere_is_told_to_its_end(here, index, repository):
    """The error has each Python of the commit's date, and that the older date does not serve either."""
    index.sdists |= sdist("rl-one", "1.0", setup__py=NEVER)
    with pytest.raises(SourceBuildError) as caught:
        locked(repository, here)
    message = caught.value.message
    for minor in ("3.9", "3.11", "3.13"):
        assert f"  Python {minor}: setuptools.build_meta:__legacy__ could not build rl-one" in message
    assert "nor does anything serve as of 2023-11-15 (last change of requirements.txt + 1 day):" in message
    assert message.count("the moon is in the wrong phase") >= 3


def test_a_set_of_before_the_oldest_python_says_so(here, tmp_path):
    """A failure of a date at which no Python on offer existed tells why it is no wonder."""
    made = Repository(tmp_path / "r")
    made.commit(requirements__txt="numpy==1.16.3\n")
    with pytest.raises(LockError, match=r"Python 3\.9, the oldest on offer, came on 2020-10-05"):
        locked(made, here, as_of="2019-01-01", python="3.13")


def test_a_newest_release_without_wheels_is_built(here, index, repository):
    """Rather than going back over a year to a release that has a wheel, the source of the newest is built."""
    index.add(Upload("rl_one", "0.5", "2018-01-01"))
    index.sdists |= sdist("rl-one", "1.0", setup__py=setup_py("rl-one", "1.0"))
    made = locked(repository, here, python="3.11")
    assert [(wheel.name, wheel.version) for wheel in made.built] == [("rl-one", "1.0")]


def test_a_newest_release_that_does_not_build_gives_way_to_one_with_a_wheel(here, index, repository):
    """The older release is taken, and the notes have the failure of the build."""
    index.add(Upload("rl_one", "0.5", "2018-01-01"))
    index.sdists |= sdist("rl-one", "1.0", setup__py=NEVER)
    made = locked(repository, here, python="3.11")
    assert made.built == ()
    assert {wheel.version for wheel in made.wheels if wheel.name == "rl-one"} == {"0.5"}
    (note,) = [note for note in made.notes if note.startswith("rl-one")]
    assert "went back to 0.5 of 2018-01-01, while 1.0 of 2020-01-01 was current" in note
    assert "could not build rl-one-1.0.tar.gz" in note
