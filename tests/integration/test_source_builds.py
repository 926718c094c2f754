"""What has no wheel is built from source: in the sandbox, pinned, and to the same bytes in every store."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from git_repositories import Repository
from pypi_index_server import Index, Upload, serving
from sdists import c_module, sdist, setup_py

from reprolake.options import UsageError, load_options
from reprolake.pipeline import Request, Session, obtain_image, obtain_lock, open_session, write_lock
from reprolake_builder.debs.signed_base import base_key
from reprolake_builder.documents.base import decode, pretty
from reprolake_builder.documents.lock import EnvironmentLock, GitOrigin, RepositoryOrigin, SdistOrigin
from reprolake_builder.engines.apt_hints import PACKAGES
from reprolake_builder.engines.packages import wheel_key
from reprolake_builder.errors import BuildError, LockError, ResolveError, SourceBuildError
from reprolake_builder.progress import SILENT
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import ImageRoot, SandboxSpec
from reprolake_builder.solvers.debian import solve_debian
from reprolake_builder.solvers.debian_archive import fetch_catalogue, fetch_release

CACHE = Path(__file__).parent.parent.parent / ".cache" / "tests"
AS_OF = "2024-06-01"
pytestmark = pytest.mark.engine("bubblewrap")


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


def session_on(store: Path, index: Index | None = None):
    options = load_options(os.environ, str(store))
    if index is not None:
        uv = {**options.site.uv_environment, "UV_INDEX": index.url}
        options = dataclasses.replace(options, site=dataclasses.replace(options.site, uv_environment=uv))
    return open_session(options, SILENT, datetime.now(UTC))


def folder(path: Path, **files: str) -> str:
    """Write files; in names two underscores stand for a dot, three for a slash."""
    for name, text in files.items():
        target = path / name.replace("___", "/").replace("__", ".")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return str(path)


def locked(link: str, session: Session, python: str = "3.11", **rest) -> EnvironmentLock:
    request = Request(link=link, as_of=AS_OF, python=python, **rest)
    return obtain_lock(request, session, fresh=True).lock


def built(lock: EnvironmentLock) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in lock.built}


def second_store(session: Session, path: Path) -> Path:
    """Return a store with what was fetched and laid out, and without anything that was built."""
    path.mkdir()
    for part in ("archives", "trees", "uv"):
        (path / part).symlink_to(session.tools.store.root / part)
    return path


def forget(lock: EnvironmentLock, session: Session) -> None:
    """Remove the built wheels, and what was made of them, from the store."""
    store = session.tools.store
    for wheel in (*lock.built, *((lock.project,) if lock.project else ())):
        tree = store.tree(wheel_key(wheel, lock.interpreter, base_key(lock.debian.base), store))
        for path in (store.archive(wheel.sha256), *((tree.folder,) if tree else ())):
            assert store.discard(path)


# ---------------------------------------------------------------------- source distributions
def test_a_package_without_wheels_is_built_and_pinned(tmp_path, here):
    """A package such as docopt was never uploaded as a wheel: the lock has its source, its build requirements and settings, and reads back."""
    link = folder(tmp_path / "r", requirements__txt="docopt==0.6.2\n")
    made = locked(link, here)
    assert decode(pretty(made), EnvironmentLock) == made
    (docopt,) = made.built
    assert isinstance(docopt.origin, SdistOrigin)
    assert docopt.origin.filename == "docopt-0.6.2.tar.gz"
    assert (docopt.version, docopt.requested, docopt.toolchain) == ("0.6.2", True, False)
    assert {wheel.name for wheel in docopt.build_requirements} == {"setuptools", "wheel"}
    assert docopt.variables["PYTHONHASHSEED"] == "0"
    assert "docopt.py" in docopt.files
    assert b"://" not in pretty(msgspec.structs.replace(made, source=made.source))


def test_two_builds_give_the_same_image(tmp_path, here, index):
    """What was built here is built again elsewhere from the lock, to the same bytes."""
    link = folder(tmp_path / "r", requirements__txt="docopt==0.6.2\n")
    obtained = obtain_lock(Request(link=link, as_of=AS_OF), here)
    first = obtain_image(obtained, here)
    forget(obtained.lock, here)
    with session_on(second_store(here, tmp_path / "other"), index) as other:
        forget(obtained.lock, other)
        assert obtain_image(obtained, other).id == first.id
        assert other.tools.store.has_archive(obtained.lock.built[0].sha256)


def test_what_a_built_package_requires_is_resolved_and_built_as_well(tmp_path, here, index):
    """Metadata that only a build tells counts, over several steps."""
    index.sdists |= sdist("rl-one", "1.0", setup__py=setup_py("rl-one", "1.0", "install_requires=['rl-two']"))
    index.sdists |= sdist(
        "rl-two", "2.0", setup__py=setup_py("rl-two", "2.0", "install_requires=['rl-three']")
    )
    index.add(Upload("rl_three", "3.0", "2020-01-01"))
    made = locked(folder(tmp_path / "r", requirements__txt="rl-one\n"), here)
    assert built(made) == {"rl-one": "1.0", "rl-two": "2.0"}
    assert "rl-three" in {wheel.name for wheel in made.wheels}


def test_the_version_that_fits_the_set_is_built(tmp_path, here, index):
    """The newest is taken unless the repository, or another package, asks for an older one."""
    for version in ("1.0", "1.5", "2.0"):
        index.sdists |= sdist("rl-one", version, setup__py=setup_py("rl-one", version))
    assert built(locked(folder(tmp_path / "a", requirements__txt="rl-one\n"), here)) == {"rl-one": "2.0"}
    made = locked(folder(tmp_path / "b", requirements__txt="rl-one<2\n"), here)
    assert built(made) == {"rl-one": "1.5"}
    index.add(Upload("rl_user", "1.0", "2020-01-01", requires=("rl-one<1.5",)))
    made = locked(folder(tmp_path / "c", requirements__txt="rl-user\n"), here)
    assert built(made) == {"rl-one": "1.0"}


def test_a_python_that_has_wheels_goes_before_one_that_needs_a_build(tmp_path, here, index):
    """What another Python on offer has as a wheel is not built, unless that Python was ruled out."""
    index.sdists |= sdist("rl-one", "1.0", setup__py=setup_py("rl-one", "1.0"))
    index.add(Upload("rl_one", "1.0", "2020-01-01", tag="cp39-cp39-manylinux_2_17_x86_64"))
    link = folder(tmp_path / "r", requirements__txt="rl-one\n")
    made = locked(link, here, python="")
    assert (made.interpreter.version[:3], built(made)) == ("3.9", {})
    made = locked(link, here, python="3.11")
    assert built(made) == {"rl-one": "1.0"}


def test_a_failing_build_gives_the_words_of_its_backend(tmp_path, here, index):
    """The error names the package and holds what setup.py said; nothing is locked."""
    text = "raise SystemExit('the moon is in the wrong phase')\n"
    index.sdists |= sdist("rl-one", "1.0", setup__py=text)
    with pytest.raises(
        SourceBuildError, match=r"rl-one-1\.0\.tar\.gz[\s\S]*the moon is in the wrong phase"
    ) as caught:
        locked(folder(tmp_path / "r", requirements__txt="rl-one\n"), here)
    assert caught.value.exit_code == 14


def test_a_build_has_no_network(tmp_path, here, index):
    """Code of a source distribution reaches nothing, not even the index that it came from."""
    text = f"import socket\nsocket.create_connection(('127.0.0.1', {index.url.split(':')[2].split('/')[0]}), 5)\n"
    index.sdists |= sdist("rl-one", "1.0", setup__py=text)
    with pytest.raises(SourceBuildError, match="Connection refused"):
        locked(folder(tmp_path / "r", requirements__txt="rl-one\n"), here)


def test_a_source_that_is_another_package_is_refused(tmp_path, here, index):
    """The built wheel has to be what the index says that it is."""
    index.sdists |= sdist("rl-one", "1.0", setup__py=setup_py("pip", "99.0"))
    with pytest.raises(SourceBuildError, match=r"rl-one-1\.0\.tar\.gz was built to pip 99\.0"):
        locked(folder(tmp_path / "r", requirements__txt="rl-one\n"), here)


def test_what_the_backend_asks_for_on_top_is_fetched(tmp_path, here, index):
    """setup_requires is met although no file names it, and stands in the lock."""
    index.add(Upload("rl_tool", "1.0", "2020-01-01"))
    text = setup_py("rl-one", "1.0", "setup_requires=['rl-tool', 'absent; python_version < \"3\"']")
    index.sdists |= sdist("rl-one", "1.0", setup__py=text)
    made = locked(folder(tmp_path / "r", requirements__txt="rl-one\n"), here)
    assert {wheel.name for wheel in made.built[0].build_requirements} == {"rl-tool", "setuptools", "wheel"}
    forget(made, here)
    obtained = dataclasses.replace(
        obtain_lock(Request(link=str(tmp_path / "r"), as_of=AS_OF, python="3.11"), here)
    )
    obtain_image(obtained, here)


def test_what_setup_py_takes_for_granted_is_added_and_noted(tmp_path, here, index):
    """An old setup.py that imports six, which it does not ask for, is built with it."""
    index.sdists |= sdist("rl-one", "1.0", setup__py="import six\n" + setup_py("rl-one", "1.0"))
    made = locked(folder(tmp_path / "r", requirements__txt="rl-one\n"), here)
    assert "six" in {wheel.name for wheel in made.built[0].build_requirements}
    assert any("its build imports six" in note for note in made.notes)


def test_a_build_that_is_not_the_same_twice_is_refused_with_the_file(tmp_path, here, index):
    """A package that writes random bytes locks, and its second build stops with the name of the file that differs."""
    text = "import os\nopen('rl_one.py', 'w').write(f'x = {os.urandom(8)!r}')\n"
    index.sdists |= sdist(
        "rl-one", "1.0", setup__py=text + setup_py("rl-one", "1.0", "py_modules=['rl_one']")
    )
    link = folder(tmp_path / "r", requirements__txt="rl-one\n")
    obtained = obtain_lock(Request(link=link, as_of=AS_OF), here, fresh=True)
    forget(obtained.lock, here)
    with pytest.raises(BuildError, match=r"the first file that differs is rl_one\.py"):
        obtain_image(obtained, here)


def test_without_a_source_the_refusal_is_as_before(tmp_path, here, index):
    """A package whose only files are wheels for other systems is told as such."""
    index.add(Upload("rl_one", "1.0", "2020-01-01", tag="py3-none-win_amd64"))
    with pytest.raises(LockError, match="rl-one has wheels for other platforms"):
        locked(folder(tmp_path / "r", requirements__txt="rl-one\n"), here)


def test_the_repositorys_own_package_is_pinned_in_the_same_way(tmp_path, here):
    """Its origin is the repository; what made it stands beside it."""
    project = '[project]\nname = "mine"\nversion = "1.0"\n[build-system]\nrequires = ["setuptools"]\n'
    made = locked(folder(tmp_path / "r", pyproject__toml=project, mine__py="x = 1\n"), here)
    assert made.project is not None
    assert made.project.origin == RepositoryOrigin(path="")
    assert "mine.py" in made.project.files


# ---------------------------------------------------------------------- packages of the repository
def test_a_setup_py_is_all_that_a_package_needs(tmp_path, here, index):
    """Its name, its version and what it requires are learnt from its build, sources without wheels included."""
    index.sdists |= sdist("rl-one", "1.0", setup__py=setup_py("rl-one", "1.0"))
    index.sdists |= sdist("rl-two", "1.0", setup__py=setup_py("rl-two", "1.0"))
    more = "py_modules=['mine'], install_requires=['rl-one']"
    made = locked(
        folder(
            tmp_path / "r", requirements__txt="rl-two\n", setup__py=setup_py("mine", "2.0", more), mine__py=""
        ),
        here,
    )
    assert made.project is not None
    assert (made.project.name, made.project.version) == ("mine", "2.0")
    assert built(made) == {"rl-one": "1.0", "rl-two": "1.0"}


def test_a_setup_py_can_rule_a_python_out(tmp_path, here):
    """Where the metadata of the built package wants another Python, that one is taken."""
    text = setup_py("mine", "1.0", "python_requires='>=3.8,<3.10'")
    made = locked(folder(tmp_path / "r", setup__py=text), here, python="")
    assert made.interpreter.version.startswith("3.9.")
    assert made.project is not None
    made = locked(folder(tmp_path / "r", setup__py=text), here, python="3.11")
    assert any("`--python 3.11` took its place" in note for note in made.notes)


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


# ---------------------------------------------------------------------- compilers
EXTENSION = "ext_modules=[Extension('rl_c', ['rl_c.c'])]"
FORTRAN = """\
import subprocess
subprocess.run("gfortran -c -fPIC half.f90 -o half.o".split(), check=True)
"""
HALF = """\
function half(x) bind(c) result(y)
  use iso_c_binding
  integer(c_int), value :: x
  integer(c_int) :: y
  print *, "half of", x
  y = x / 2
end function
"""


def run_python(obtained, session: Session, code: str) -> str:
    """Return what a Python program puts out in the image."""
    image = obtain_image(obtained, session)
    store = session.tools.store
    with store.scratch() as scratch, (scratch / "out").open("w+b") as out:
        running = Bubblewrap().start(
            SandboxSpec(
                root=ImageRoot(tuple(store.tree(key).root for key in image.trees)),
                argv=("/opt/env/bin/python", "-c", code),
                env={"PATH": "/usr/bin"},
            ),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
        status = running.wait(60)
        out.seek(0)
        text = out.read().decode()
    assert status == 0, text
    return text


def test_an_extension_in_c_is_compiled_to_the_same_bytes_everywhere(tmp_path, here, index):
    """The toolchain is pinned and no part of the image; the module works, and another store compiles the same."""
    index.sdists |= sdist(
        "rl-c", "1.0", setup__py=setup_py("rl-c", "1.0", EXTENSION), rl_c__c=c_module("rl_c")
    )
    link = folder(tmp_path / "r", requirements__txt="rl-c\n")
    obtained = obtain_lock(Request(link=link, as_of=AS_OF, python="3.11"), here)
    made = obtained.lock
    (pin,) = made.built
    assert pin.toolchain
    assert pin.filename == "rl_c-1.0-cp311-cp311-linux_x86_64.whl"
    assert {"gcc", "g++", "gfortran", "make", "python3.11-dev"} <= {deb.name for deb in made.debian.toolchain}
    assert made.debian.extra == ()
    assert (
        run_python(obtained, here, "import rl_c, shutil; print(rl_c.f(), shutil.which('gcc'))") == "42 None\n"
    )
    first = obtain_image(obtained, here)
    forget(made, here)
    with session_on(second_store(here, tmp_path / "other"), index) as other:
        forget(made, other)
        assert obtain_image(obtained, other).id == first.id


def test_what_fortran_is_linked_with_joins_the_image(tmp_path, here, index):
    """A compiled module finds the runtime library of its language, which the base does not have."""
    more = "ext_modules=[Extension('rl_c', ['rl_c.c'], extra_objects=['half.o'], libraries=['gfortran'])]"
    files = {
        "setup__py": FORTRAN + setup_py("rl-f", "2.0", more),
        "half__f90": HALF,
        "rl_c__c": c_module("rl_c", "return PyLong_FromLong(half(42));", "int half(int x);"),
    }
    index.sdists |= sdist("rl-f", "2.0", **files)
    link = folder(tmp_path / "r", requirements__txt="rl-f\n")
    obtained = obtain_lock(Request(link=link, as_of=AS_OF, python="3.11"), here)
    assert "libgfortran5" in {deb.name for deb in obtained.lock.debian.extra}
    assert "libgfortran5 joins the image: rl-f is linked with its libgfortran.so.5" in obtained.lock.notes
    assert "21\n" in run_python(obtained, here, "import rl_c; print(rl_c.f())")


def test_a_real_extension_of_the_index_is_compiled(tmp_path, here):
    """python-Levenshtein 0.12.2 came as source only, with a setup.py that asks for nothing."""
    link = folder(tmp_path / "r", requirements__txt="python-Levenshtein==0.12.2\n")
    obtained = obtain_lock(Request(link=link, as_of=AS_OF, python="3.11"), here)
    assert built(obtained.lock) == {"python-levenshtein": "0.12.2"}
    text = run_python(obtained, here, "import Levenshtein; print(Levenshtein.distance('pulsar', 'quasar'))")
    assert text == "2\n"


def test_a_compilers_refusal_is_told(tmp_path, here, index):
    """The error holds the compiler's words with file and line."""
    source = c_module("rl_c", "return nonsense;")
    index.sdists |= sdist("rl-c", "3.0", setup__py=setup_py("rl-c", "3.0", EXTENSION), rl_c__c=source)
    with pytest.raises(SourceBuildError, match=r"rl_c\.c:3:.*error: .*nonsense"):
        locked(folder(tmp_path / "r", requirements__txt="rl-c\n"), here)


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


# ---------------------------------------------------------------------- tools and headers of the system
def test_a_missing_tool_is_named_and_can_be_had(tmp_path, here, index):
    """A build that runs bison is told of `--apt bison`, which pins it beside the compilers and stands in the lock."""
    text = "import subprocess\nsubprocess.run(['bison', '--version'], check=True)\n" + setup_py("rl-b", "1.0")
    index.sdists |= sdist("rl-b", "1.0", setup__py=text)
    link = folder(tmp_path / "r", requirements__txt="rl-b\n")
    with pytest.raises(SourceBuildError) as caught:
        locked(link, here)
    assert "--apt bison" in caught.value.hint
    made = locked(link, here, apt=("bison",))
    assert "bison" in {deb.name for deb in made.debian.toolchain}
    assert made.debian.extra == ()
    assert "--apt bison" in made.overrides


def test_a_missing_header_is_named_and_what_it_stands_for_joins_the_image(tmp_path, here, index):
    """With `--apt libfftw3-dev` the module compiles, and its library is in the image without the headers."""
    source = c_module("rl_w", "return PyUnicode_FromString(fftw_version);", "#include <fftw3.h>")
    more = "ext_modules=[Extension('rl_w', ['rl_w.c'], libraries=['fftw3'])]"
    index.sdists |= sdist("rl-w", "1.0", setup__py=setup_py("rl-w", "1.0", more), rl_w__c=source)
    link = folder(tmp_path / "r", requirements__txt="rl-w\n")
    with pytest.raises(SourceBuildError, match=r"fatal error: fftw3\.h") as caught:
        locked(link, here)
    assert "--apt libfftw3-dev" in caught.value.hint
    obtained = obtain_lock(Request(link=link, as_of=AS_OF, python="3.11", apt=("libfftw3-dev",)), here)
    extra = {deb.name for deb in obtained.lock.debian.extra}
    assert "libfftw3-double3" in extra
    assert "libfftw3-dev" not in extra
    assert run_python(obtained, here, "import rl_w; print(rl_w.f())").startswith("fftw-3")


def test_debian_has_what_the_hints_name(here):
    """Every package of the table is in the suite of the usual Python."""
    offered = solve_debian("3.11", (), here.tools).debian
    now = datetime.now(UTC)
    releases = tuple(
        fetch_release(item.archive, item.suite, here.tools.site, here.tools.downloader, now)
        for item in offered.releases
    )
    tools = here.tools
    catalogue = fetch_catalogue(releases, tools.site, tools.downloader, tools.store, SILENT)
    assert [name for name in PACKAGES if name not in catalogue.packages] == []


def test_apt_is_no_change_to_a_lock(tmp_path, here):
    """A lock decides everything, and `--apt` without anything to build is told to be of no use."""
    link = folder(tmp_path / "r", runtime__txt="python-3.11\n")
    made = locked(link, here, apt=("bison",))
    assert "--apt bison: of no use, for nothing is built from source" in made.notes
    write_lock(made, tmp_path / "a.lock")
    with pytest.raises(UsageError, match="--apt cannot change it"):
        obtain_lock(Request(link=str(tmp_path / "a.lock"), apt=("bison",)), here)
