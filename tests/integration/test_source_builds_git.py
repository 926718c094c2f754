"""Packages of git repositories and of folders, and versions that come from a history."""

from __future__ import annotations

import pytest
from git_repositories import Repository
from pypi_index_server import Upload
from sdists import sdist, setup_py
from source_builds import AS_OF, built, folder, forget, locked, second_store, session_on

from reprolake.pipeline import Request, obtain_image, obtain_lock
from reprolake_builder.documents.lock import EnvironmentLock, GitOrigin, RepositoryOrigin
from reprolake_builder.errors import ResolveError, SourceBuildError

pytestmark = pytest.mark.engine("bubblewrap")


# ---------------------------------------------------------------------- git repositories and folders
@pytest.fixture
def repository(tmp_path) -> Repository:
    """A package whose version 1.0 is of 2023-11-14 and tagged, with 2.0 a year later on the branch."""
    made = Repository(tmp_path / "remote")
    made.commit(
        setup__py=setup_py("rl-git", "1.0", "py_modules=['rl_git'], install_requires=['rl-one']"),
        rl_git__py="x = 1\n",
    )
    made.git("tag", "v1")
    made.clock += 365 * 24 * 3600
    made.commit(setup__py=setup_py("rl-git", "2.0", "py_modules=['rl_git']"))
    return made


def origins(lock: EnvironmentLock) -> dict[str, object]:
    return {wheel.name: wheel.origin for wheel in lock.built}


def test_a_git_requirement_is_pinned_and_built(tmp_path, here, index, repository):
    """Its commit and tree stand in the lock, what its metadata requires joins the set, and another store builds the same."""
    index.sdists |= sdist("rl-one", "1.0", setup__py=setup_py("rl-one", "1.0"))
    link = folder(tmp_path / "r", requirements__txt=f"rl-git @ git+{repository.url}@v1\n")
    obtained = obtain_lock(Request(link=link, as_of=AS_OF, python="3.11"), here)
    made = obtained.lock
    assert built(made) == {"rl-git": "1.0", "rl-one": "1.0"}
    origin = origins(made)["rl-git"]
    assert isinstance(origin, GitOrigin)
    assert (origin.source.commit, origin.source.ref) == (repository.git("rev-parse", "v1"), "v1")
    assert origin.source.tree == repository.git("rev-parse", "v1^{tree}")
    assert [wheel.requested for wheel in made.built] == [True, False]
    first = obtain_image(obtained, here)
    forget(made, here)
    with session_on(second_store(here, tmp_path / "other"), index) as other:
        forget(made, other)
        assert obtain_image(obtained, other).id == first.id


def test_a_branch_is_taken_as_it_was(tmp_path, here, index, repository):
    """Without a tag, the commit before the date counts; with a later date, the newest."""
    index.sdists |= sdist("rl-one", "1.0", setup__py=setup_py("rl-one", "1.0"))
    link = folder(tmp_path / "r", requirements__txt=f"git+{repository.url}@main\n")
    assert built(locked(link, here))["rl-git"] == "1.0"
    made = obtain_lock(Request(link=link, as_of="2025-06-01", python="3.11"), here).lock
    assert built(made) == {"rl-git": "2.0"}
    early = Request(link=link, as_of="2023-01-01", python="3.11")
    with pytest.raises(ResolveError, match="no commit of before 2023-01-01"):
        obtain_lock(early, here)


def test_a_git_requirement_stands_over_the_index(tmp_path, here, index, repository):
    """Another package's demand of that name is met by the commit, and extras that were asked for count."""
    index.add(
        Upload("rl_git", "9.0", "2020-01-01"), Upload("rl_user", "1.0", "2020-01-01", requires=("rl-git",))
    )
    text = f"rl-user\nrl-git @ git+{repository.url}@main\n"
    made = obtain_lock(
        Request(link=folder(tmp_path / "r", requirements__txt=text), as_of="2025-06-01", python="3.11"), here
    ).lock
    assert built(made) == {"rl-git": "2.0"}
    assert "rl-git" not in {wheel.name for wheel in made.wheels}


def test_a_git_requirement_of_another_name_is_refused(tmp_path, here, repository):
    """The package in the repository has to be the one that was asked for."""
    link = folder(tmp_path / "r", requirements__txt=f"numpy @ git+{repository.url}@v1\n")
    with pytest.raises(SourceBuildError, match=r"requirements\.txt:1 asks for numpy, and .* holds rl-git"):
        locked(link, here)


def test_folders_of_the_repository_are_packages(tmp_path, here):
    """`./lib[extra]` is built from the locked source itself, and a marker that does not hold leaves it out."""
    more = "py_modules=['lib'], extras_require={'x': ['tabulate']}"
    link = folder(
        tmp_path / "r",
        requirements__txt="./lib[x]\n./old ; python_version < '3'\n",
        lib___setup__py=setup_py("rl-lib", "1.0", more),
        lib___lib__py="",
        old___setup__py="never run",
    )
    made = locked(link, here)
    assert origins(made) == {"rl-lib": RepositoryOrigin(path="lib")}
    assert "tabulate" in {wheel.name for wheel in made.wheels}


def test_pyproject_may_ask_for_a_commit(tmp_path, here, repository):
    """Dependencies of [project] that are git repositories are built as well."""
    project = (
        f'[project]\nname = "mine"\nversion = "1.0"\ndependencies = ["rl-git @ git+{repository.url}@main"]\n'
        '[build-system]\nrequires = ["setuptools"]\n[tool.setuptools]\npy-modules = []\n'
    )
    link = folder(tmp_path / "r", pyproject__toml=project)
    made = obtain_lock(Request(link=link, as_of="2025-06-01", python="3.11"), here).lock
    assert built(made) == {"rl-git": "2.0"}


# ---------------------------------------------------------------------- versions from git
SCM = (
    '[build-system]\nrequires = ["setuptools>=61", "setuptools_scm[toml]>=6.2"]\nbuild-backend = "setuptools.build_meta"\n'
    '[project]\nname = "rl-scm"\ndynamic = ["version"]\n[tool.setuptools_scm]\n'
    '[tool.setuptools.packages.find]\nwhere = ["src"]\n'
)


def test_a_version_comes_from_the_tags(tmp_path, here):
    """At a tag the version is the tag's, after it the next one's; data files are packed as from a checkout."""
    made = Repository(tmp_path / "remote")
    made.write(src___rl_scm___table__csv="1,2\n")
    (made.folder / "src/rl_scm/__init__.py").write_text("")
    made.commit(pyproject__toml=SCM)
    made.git("tag", "v1.4")
    later = made.commit(README="new")
    link = folder(tmp_path / "a", requirements__txt=f"git+{made.url}@v1.4\n")
    (wheel,) = locked(link, here).built
    assert wheel.version == "1.4"
    assert wheel.variables["SETUPTOOLS_SCM_PRETEND_VERSION"] == "1.4"
    assert "rl_scm/table.csv" in wheel.files
    link = folder(tmp_path / "b", requirements__txt=f"git+{made.url}@{later}\n")
    (wheel,) = locked(link, here).built
    assert wheel.version == f"1.5.dev1+g{later[:9]}"


def test_the_repositorys_own_version_comes_from_the_tags(tmp_path, here):
    """So it is for a commit of a repository, and for a checked-out folder, changed or not."""
    made = Repository(tmp_path / "mine")
    made.commit(pyproject__toml=SCM, src___rl_scm___a__py="")
    made.git("tag", "v2.0.1")
    for link in (made.url, str(made.folder)):
        project = locked(link, here).project
        assert project is not None
        assert project.version == "2.0.1"
    made.write(src___rl_scm___a__py="x = 1\n")
    lock = locked(str(made.folder), here)
    assert lock.project is not None
    assert lock.project.version.startswith("2.0.2.dev0+g")
    assert any("takes its version from git" in note for note in lock.notes)
