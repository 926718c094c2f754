"""What a lock file pins is taken by its hashes, built from its own sources, and added to with its pins unchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pypi_index_server import Index, Upload, serving
from sdists import sdist, setup_py
from source_builds import built, session_on

from reprolake.pipeline import Request, Session, obtain_image, obtain_lock
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.errors import DetectError, LockError

LATER = "2025-03-01"  # after the cut-off of the requests here


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


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pylock(files: Mapping[str, Mapping[str, str]], more: str = "", python: str = ">=3.11") -> str:
    """Return a lock of packages `NAME VERSION`, each with its files and their hashes."""
    text = f'lock-version = "1.0"\ncreated-by = "test"\nrequires-python = "{python}"\n'
    for package, hashes in files.items():
        name, version = package.split()
        text += f'\n[[packages]]\nname = "{name}"\nversion = "{version}"\n'
        wheels = [(n, h) for n, h in hashes.items() if n.endswith(".whl")]
        listed = ", ".join(
            f'{{name = "{n}", url = "https://gone.org/{n}", hashes = {{sha256 = "{h}"}}}}' for n, h in wheels
        )
        text += f"wheels = [{listed}]\n" if listed else ""
        for n, h in hashes.items():
            if not n.endswith(".whl"):
                text += (
                    f'sdist = {{name = "{n}", url = "https://gone.org/{n}", hashes = {{sha256 = "{h}"}}}}\n'
                )
    return text + more


def upload(index: Index, *uploads: Upload) -> dict[str, dict[str, str]]:
    index.add(*uploads)
    found: dict[str, dict[str, str]] = {}
    for item in uploads:
        found.setdefault(f"{item.name} {item.version}", {})[item.filename] = sha256(item.content())
    return found


def source(index: Index, name: str, version: str = "1.0") -> dict[str, dict[str, str]]:
    """Put a source distribution of one module on the index."""
    text = setup_py(name, version, f"py_modules=[{name!r}]")
    files = sdist(name, version, setup__py=text, **{f"{name}__py": "WORD = 'built'\n"})
    index.sdists |= files
    return {f"{name} {version}": {filename: sha256(data) for filename, data in files.items()}}


def request(folder: Path, text: str, python: str = "3.11", **files: str) -> Request:
    folder.mkdir(exist_ok=True)
    for name, content in {"pylock.toml": text, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return Request(link=str(folder), as_of="2024-06-01", python=python)


def lock(folder: Path, text: str, session: Session, python: str = "3.11", **files: str) -> EnvironmentLock:
    return obtain_lock(request(folder, text, python, **files), session, fresh=True).lock


def versions(lock: EnvironmentLock) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in (*lock.wheels, *lock.built)}


def test_the_files_of_a_lock_are_taken_whatever_their_date_and_whatever_is_newer(tmp_path, index, here):
    """A pinned release counts although it came after the cut-off or was withdrawn, and no newer one does."""
    pinned = upload(index, Upload("ichi", "1.0", LATER), Upload("ni", "2.0", "2022-01-01", yanked=True))
    upload(index, Upload("ichi", "1.5", "2022-01-01"), Upload("ni", "3.0", "2022-01-01"))
    made = lock(tmp_path / "a", pylock(pinned), here)
    assert {"ichi": "1.0", "ni": "2.0"}.items() <= versions(made).items()
    taken = {wheel.filename: wheel.sha256 for wheel in made.wheels if wheel.name in {"ichi", "ni"}}
    assert taken == {name: digest for files in pinned.values() for name, digest in files.items()}
    assert [text.partition(":")[0] for text in made.added] == ["ipykernel"]
    assert {"pip", "setuptools", "wheel"}.isdisjoint(versions(made))
    assert not any(rung.reason for rung in made.ladder)


@pytest.mark.engine("bubblewrap")
def test_a_source_distribution_of_a_lock_is_built(tmp_path, index, here):
    """Where the lock has a source only, that is what is built, though the index has a wheel of the same version by now."""
    pinned = source(index, "sanmaru")
    upload(index, Upload("sanmaru", "1.0", LATER), Upload("sanmaru", "2.0", "2022-01-01"))
    made = lock(tmp_path / "a", pylock(pinned), here)
    assert built(made) == {"sanmaru": "1.0"}
    assert made.built[0].origin.sha256 in pinned["sanmaru 1.0"].values()
    assert obtain_image(obtain_lock(request(tmp_path / "a", pylock(pinned)), here), here).layers


@pytest.mark.engine("bubblewrap")
def test_a_folder_and_the_project_itself_are_built(tmp_path, index, here):
    """A directory of the lock and the repository's own package come out of the sandbox, under the lock's pins."""
    pinned = upload(index, Upload("ichi", "1.0", "2022-01-01"))
    upload(index, Upload("ichi", "1.5", "2022-01-01"))
    places = '\n[[packages]]\nname = "lib"\ndirectory = {path = "lib"}\n\n[[packages]]\nname = "own"\ndirectory = {path = ".", editable = true}\n'
    project = '[build-system]\nrequires = ["setuptools"]\n[project]\nname = "own"\nversion = "3"\ndependencies = ["ichi"]\n[tool.setuptools]\npy-modules = []\n'
    made = lock(
        tmp_path / "a", pylock(pinned, places), here,
        **{"lib/setup.py": setup_py("lib", "7", "py_modules=['lib']"), "lib/lib.py": "", "pyproject.toml": project},
    )  # fmt: skip
    assert built(made) == {"lib": "7"}
    assert made.project is not None
    assert (made.project.name, made.project.version) == ("own", "3")
    assert versions(made)["ichi"] == "1.0"


def test_a_file_that_the_index_replaced_is_refused(tmp_path, index, here):
    """The lock's hash decides: other content under the same name is no answer, and the lock is named."""
    upload(index, Upload("ichi", "1.0", "2022-01-01"))
    wrong = {"ichi 1.0": {"ichi-1.0-py3-none-any.whl": "0" * 64}}
    with pytest.raises(LockError, match=r"has a hash that pylock\.toml names") as caught:
        lock(tmp_path / "a", pylock(wrong), here)
    assert caught.value.message.startswith("what pylock.toml pins cannot be had for Python 3.11")
    assert "--ignore pylock.toml" in caught.value.hint
    none = {"nowhere-else 1.0": {"nowhere_else-1.0-py3-none-any.whl": "0" * 64}}
    with pytest.raises(LockError, match="nowhere-else is not in the package index"):
        lock(tmp_path / "b", pylock(none), here)


def test_a_kernel_that_the_pins_do_not_allow_is_explained(tmp_path, index, here):
    """The lock wins over what is added: an old kernel is told of, and none that fits is an error with the demand."""
    old = upload(index, Upload("traitlets", "4.3.3", "2022-01-01"))
    notes = " ".join(lock(tmp_path / "old", pylock(old), here).notes)
    assert "ipykernel went back to" in notes
    pinned = upload(index, Upload("tornado", "4.0", "2022-01-01"))
    with pytest.raises(
        LockError, match=r"pylock\.toml has no kernel, and the one that Reprolake adds"
    ) as caught:
        lock(tmp_path / "a", pylock(pinned), here)
    assert "tornado" in caught.value.message


def test_a_lock_with_a_kernel_gets_nothing_added(tmp_path, index, here):
    """What the lock has is all there is."""
    pinned = upload(index, Upload("ipykernel", "6.0", LATER), Upload("ichi", "1.0", "2022-01-01"))
    made = lock(tmp_path / "a", pylock(pinned), here)
    assert versions(made) == {"ipykernel": "6.0", "ichi": "1.0"}
    assert made.added == ()


def test_a_python_that_a_lock_is_not_for_is_refused(tmp_path, index, here):
    """--python cannot make a lock serve another Python; the error says which it serves."""
    pinned = upload(index, Upload("ichi", "1.0", "2022-01-01"))
    with pytest.raises(LockError, match=r"pylock\.toml was made for other Pythons than 3\.9") as caught:
        lock(tmp_path / "a", pylock(pinned), here, "3.9")
    assert "3.11" in caught.value.hint


def test_a_compiled_set_chooses_the_python_that_it_has_wheels_for(tmp_path, index, here):
    """A lock that does not say its Python says it by its wheels."""
    pinned = upload(index, Upload("ichi", "1.0", "2022-01-01", tag="cp39-cp39-manylinux2014_x86_64"))
    made = lock(tmp_path / "a", pylock(pinned, python=">=3.6"), here, "")
    assert made.interpreter.version.startswith("3.9.")


def test_a_stale_lock_stops_before_anything_is_resolved(tmp_path, index, here):
    """A demand of the project that the lock does not meet is told with exit code 12, and no index is asked."""
    pinned = upload(index, Upload("ichi", "1.0", "2022-01-01"))
    project = '[project]\nname = "own"\nversion = "3"\ndependencies = ["ichi>=2"]\n'
    with pytest.raises(DetectError, match=r"ichi>=2, and pylock\.toml has 1\.0") as caught:
        lock(tmp_path / "a", pylock(pinned), here, **{"pyproject.toml": project})
    assert caught.value.exit_code == 12
    assert not index.asked
