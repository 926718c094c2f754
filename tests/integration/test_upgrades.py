"""A lock that lies there already: what it has stays, what has to change does, and `--upgrade` renews."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pypi_index_server import Index, Upload, serving
from sdists import sdist, setup_py
from source_builds import built, session_on

from reprolake.keeping import lock_again
from reprolake.lock_file import write_lock
from reprolake.options import UsageError
from reprolake.pipeline import Request, Session
from reprolake_builder.documents.lock import EnvironmentLock


@pytest.fixture
def index() -> Iterator[Index]:
    """An index of the test's own, which stands before the configured one."""
    with serving(Index(uploads=())) as served:
        yield served.add(
            Upload("ichi", "1.0", "2022-01-01"), Upload("ni", "1.0", "2022-01-01", requires=("ichi",))
        )


@pytest.fixture
def here(index, session) -> Iterator[Session]:
    """A session on the tests' store with that index."""
    with session_on(session.tools.store.root, index) as opened:
        yield opened


class Place:
    """A folder with requirements, and the lock beside it."""

    def __init__(self, folder: Path, session: Session) -> None:
        self.folder, self.file, self.session = folder / "work", folder / "reprolake.lock", session
        self.folder.mkdir()
        (self.folder / "runtime.txt").write_text("python-3.11\n")

    def lock(self, requirements: str, **asked) -> tuple[EnvironmentLock, tuple[str, ...]]:
        (self.folder / "requirements.txt").write_text(requirements)
        made, changes = lock_again(Request(link=str(self.folder), **asked), self.file, self.session)
        write_lock(made, self.file)
        return made, changes


@pytest.fixture
def place(tmp_path, here) -> Place:
    return Place(tmp_path, here)


def versions(lock: EnvironmentLock) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in lock.wheels if wheel.name in {"ichi", "ni", "san"}}


def told(changes: tuple[str, ...]) -> list[str]:
    return [line for line in changes if " python " in line]


def test_a_lock_stays_while_nothing_asks_for_anything_else(index, place):
    """Newer releases change nothing, not one byte; a new demand comes in beside what was there."""
    first, none = place.lock("ni\n")
    assert none == ()
    before = place.file.read_bytes()
    index.add(Upload("ichi", "2.0", "2022-02-01"), Upload("ni", "2.0", "2022-02-01", requires=("ichi",)))
    again, changes = place.lock("ni\n")
    assert (again, place.file.read_bytes()) == (first, before)
    assert "stays as it was" in changes[0]
    index.add(Upload("san", "1.0", "2022-03-01", requires=("ichi",)))
    more, changes = place.lock("ni\nsan\n")
    assert versions(more) == {"ichi": "1.0", "ni": "1.0", "san": "1.0"}
    assert told(changes) == ["changed     python      + san (asked for) 1.0"]
    assert more.debian == first.debian


def test_what_has_to_change_changes_alone(index, place):
    """A demand that the locked version does not meet moves that package, and what hangs on it."""
    place.lock("ni\n")
    index.add(
        Upload("ichi", "2.0", "2022-02-01"), Upload("ichi", "3.0", "2022-02-02"),
        Upload("ni", "2.0", "2022-02-01", requires=("ichi>=2,<3",)),
    )  # fmt: skip
    made, changes = place.lock("ni>=2\n")
    assert versions(made) == {"ichi": "2.0", "ni": "2.0"}
    assert told(changes) == [
        "changed     python      ~ ichi: 1.0 -> 2.0",
        "changed     python      ~ ni (asked for): 1.0 -> 2.0",
    ]


def test_one_package_or_all_are_upgraded(index, place):
    """--upgrade NAME moves that one and leaves the others, --upgrade moves all, each with what it was before."""
    place.lock("ni\nichi\n")
    index.add(Upload("ichi", "2.0", "2022-02-01"), Upload("ni", "2.0", "2022-02-01", requires=("ichi",)))
    one, changes = place.lock("ni\nichi\n", upgrade=("ni",))
    assert versions(one) == {"ichi": "1.0", "ni": "2.0"}
    assert told(changes) == ["changed     python      ~ ni (asked for): 1.0 -> 2.0"]
    whole, changes = place.lock("ni\nichi\n", upgrade=("",))
    assert versions(whole) == {"ichi": "2.0", "ni": "2.0"}
    assert whole.as_of_is == "--as-of now"
    assert "changed     python      ~ ichi (asked for): 1.0 -> 2.0" in changes


def test_a_date_that_was_given_stays(index, place):
    """The cut-off of the earlier lock counts again, for a new demand as well; an upgraded package may be younger."""
    place.lock("ni\n", as_of="2024-06-01")
    index.add(
        Upload("san", "1.0", "2024-01-01"),
        Upload("san", "2.0", "2025-01-01"),
        Upload("ni", "2.0", "2025-01-01"),
    )
    made, _ = place.lock("ni\nsan\n")
    assert (versions(made), made.as_of_is) == (
        {"ichi": "1.0", "ni": "1.0", "san": "1.0"},
        "--as-of 2024-06-01",
    )
    younger, _ = place.lock("ni\nsan\n", upgrade=("ni",))
    assert versions(younger) == {"ni": "2.0", "san": "1.0"}


@pytest.mark.engine("bubblewrap")
def test_what_was_built_stays_at_its_version(index, place):
    """A source distribution is taken at the version that was built, until it is upgraded."""
    index.uploads = tuple(item for item in index.uploads if item.name not in {"setuptools", "wheel"})
    for version in ("1.0", "2.0"):
        files = sdist(
            "sanmaru",
            version,
            setup__py=setup_py("sanmaru", version, "py_modules=['sanmaru']"),
            sanmaru__py="",
        )
        if version == "1.0":
            index.sdists |= files
            assert built(place.lock("sanmaru\n")[0]) == {"sanmaru": "1.0"}
    index.sdists |= files
    assert built(place.lock("sanmaru\nni\n")[0]) == {"sanmaru": "1.0"}
    assert built(place.lock("sanmaru\nni\n", upgrade=("sanmaru",))[0]) == {"sanmaru": "2.0"}


def test_mistakes_of_an_upgrade_are_explained(index, place, tmp_path):
    """A name that the lock does not have, a lock that is not there, and a file that is none."""
    with pytest.raises(UsageError, match="there is no lock to upgrade it in"):
        place.lock("ni\n", upgrade=("ni",))
    place.lock("ni\n")
    with pytest.raises(UsageError, match="no package of that name") as caught:
        place.lock("ni\n", upgrade=("nii",))
    assert "ni" in caught.value.hint
    place.file.write_text("something else")
    with pytest.raises(UsageError, match="nothing of it can be kept"):
        place.lock("ni\n")
    assert versions(place.lock("ni\n", upgrade=("",))[0])["ni"] == "1.0"


def test_a_package_that_another_lock_pins_is_upgraded_there(index, place):
    """Where a lock of another tool is obeyed its pins are not ours to move."""
    file = index.uploads[0]
    digest = hashlib.sha256(file.content()).hexdigest()
    (place.folder / "pylock.toml").write_text(
        'lock-version = "1.0"\n[[packages]]\nname = "ichi"\nversion = "1.0"\n'
        f'wheels = [{{name = "{file.filename}", hashes = {{sha256 = "{digest}"}}}}]\n'
    )
    place.lock("ichi\n")
    with pytest.raises(UsageError, match=r"its version is what pylock\.toml says"):
        place.lock("ichi\n", upgrade=("ichi",))
    index.add(Upload("ipykernel", "99.0", "2022-02-01"))
    made, changes = place.lock("ichi\n", upgrade=("ipykernel",))
    assert {wheel.version for wheel in made.wheels if wheel.name == "ipykernel"} == {"99.0"}
    assert versions(made) == {"ichi": "1.0"}
    assert any("ipykernel" in line for line in changes)
