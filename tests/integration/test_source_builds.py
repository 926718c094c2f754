"""What has no wheel is built from source: in the sandbox, pinned, and to the same bytes in every store."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from published import Notes
from pypi_index_server import Upload
from sdists import sdist, setup_py
from source_builds import AS_OF, built, folder, forget, locked, second_store, session_on

from reprolake.pipeline import Request, obtain_image, obtain_lock
from reprolake_builder.documents.base import decode, pretty
from reprolake_builder.documents.lock import EnvironmentLock, RepositoryOrigin, SdistOrigin
from reprolake_builder.errors import BuildError, LockError, SourceBuildError

pytestmark = pytest.mark.engine("bubblewrap")


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
    """What was built here is built again elsewhere from the lock, to the same bytes; that it will take its time is said before."""
    link = folder(tmp_path / "r", requirements__txt="docopt==0.6.2\n")
    obtained = obtain_lock(Request(link=link, as_of=AS_OF), here)
    first = obtain_image(obtained, here)
    forget(obtained.lock, here)
    with session_on(second_store(here, tmp_path / "other"), index) as other:
        forget(obtained.lock, other)
        told = Notes()
        telling = dataclasses.replace(other, tools=dataclasses.replace(other.tools, progress=told))
        assert obtain_image(obtained, telling).id == first.id
        assert any("docopt-0.6.2.tar.gz is built from source for Python 3.1" in note for note in told.notes)
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


def test_nothing_is_built_for_a_set_that_contradicts_itself(tmp_path, here, index):
    """Where one Python has wheels for all, and these exclude each other, no other Python's are built; a chosen Python's are."""
    index.sdists |= sdist("rl-one", "1.0", setup__py="raise SystemExit('it was built')\n")
    wheel = Upload("rl_one", "1.0", "2020-01-01", ("rl-two<1",), tag="cp39-cp39-manylinux_2_17_x86_64")
    index.add(wheel, Upload("rl_two", "0.1", "2020-01-01"), Upload("rl_two", "2.0", "2020-01-01"))
    link = folder(tmp_path / "r", requirements__txt="rl-one\nrl-two==2.0\n")
    with pytest.raises(LockError, match=r"Python 3\.9: the requirements contradict each other") as caught:
        locked(link, here, python="")
    assert "it was built" not in caught.value.message
    with pytest.raises(SourceBuildError, match="it was built"):
        locked(link, here, python="3.11")


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
