"""What a build needs may have no wheel either: it is built before, pinned, and built again elsewhere from the lock."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from pypi_index_server import Index, Upload, serving
from sdists import sdist, setup_py
from source_builds import session_on

from reprolake.describe import lock_lines
from reprolake.pipeline import Request, Session, obtain_image, obtain_lock
from reprolake_builder.debs.signed_base import base_key
from reprolake_builder.documents.base import decode, pretty
from reprolake_builder.documents.lock import BuiltWheelLock, EnvironmentLock
from reprolake_builder.engines.packages import wheel_key
from reprolake_builder.engines.workshop import DEEPEST
from reprolake_builder.errors import BuildError, LockError, SourceBuildError

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


def asked(folder: Path, requirements: str) -> Request:
    folder.mkdir()
    (folder / "requirements.txt").write_text(requirements)
    return Request(link=str(folder), as_of="2024-06-01", python="3.11")


def needing(name: str, *others: str, head: str = "") -> dict[str, bytes]:
    """Return a source distribution of one module, whose build needs others."""
    table = f"[build-system]\nrequires = {['setuptools', *others]}\nbuild-backend = 'setuptools.build_meta'\n"
    module = name.replace("-", "_")
    text = head + setup_py(name, "1.0", f"py_modules=[{module!r}]")
    return sdist(name, "1.0", pyproject__toml=table, setup__py=text, **{f"{module}__py": "WORD = 'deep'\n"})


def forget(wheel: BuiltWheelLock, lock: EnvironmentLock, session: Session) -> None:
    """Remove a built wheel, what it was built with, and what was made of them, from the store."""
    store = session.tools.store
    for needed in wheel.built_requirements:
        forget(needed, lock, session)
    tree = store.tree(wheel_key(wheel, lock.interpreter, base_key(lock.debian.base), store))
    for path in (store.archive(wheel.sha256), *((tree.folder,) if tree else ())):
        store.discard(path)


def test_what_builds_a_package_is_built_before_it(tmp_path, here, index):
    """Over two steps; the lock pins all of it, the image holds none of it, and from the lock the same bytes come again."""
    head = "import rl_two\nassert rl_two.WORD == 'deep'\n"
    index.sdists |= needing("rl-one", "rl-two", head=head)
    index.sdists |= needing("rl-two", "rl-three", head="import rl_three\n") | needing("rl-three")
    obtained = obtain_lock(asked(tmp_path / "r", "rl-one\n"), here, fresh=True)
    lock = obtained.lock
    assert decode(pretty(lock), EnvironmentLock) == lock
    (one,) = lock.built
    (two,) = one.built_requirements
    (three,) = two.built_requirements
    assert [wheel.name for wheel in (one, two, three)] == ["rl-one", "rl-two", "rl-three"]
    assert "setuptools" in {wheel.name for wheel in three.build_requirements}
    assert "built       rl-one 1.0 from rl-one-1.0.tar.gz, after rl-two 1.0" in lock_lines(lock)
    first = obtain_image(obtained, here)
    forget(one, lock, here)
    for path in (here.tools.store.root / "documents" / "images").iterdir():
        path.unlink()
    assert obtain_image(obtained, here).id == first.id
    other = msgspec.structs.replace(two, sha256="0" * 64)
    changed = msgspec.structs.replace(
        lock, built=(msgspec.structs.replace(one, built_requirements=(other,)),)
    )
    forget(one, lock, here)
    with pytest.raises(
        BuildError, match=r"rl_two-1\.0-py3-none-any\.whl was built to other bytes than the lock"
    ):
        obtain_image(dataclasses.replace(obtained, lock=changed), here)


def test_what_only_a_build_needs_is_not_offered_to_the_set(tmp_path, here, index):
    """A tool that was built for a build does not change which release the repository gets."""
    index.sdists |= needing("rl-one", "rl-two") | needing("rl-two")
    index.add(Upload("rl_two", "0.9", "2024-01-01"))
    lock = obtain_lock(asked(tmp_path / "r", "rl-one\nrl-two\n"), here, fresh=True).lock
    assert [wheel.name for wheel in lock.built] == ["rl-one"]
    assert {wheel.version for wheel in lock.wheels if wheel.name == "rl-two"} == {"0.9"}


def test_packages_that_need_each_other_are_refused(tmp_path, here, index):
    """A circle of builds is named with all who are in it."""
    index.sdists |= (
        needing("rl-one", "rl-two") | needing("rl-two", "rl-three") | needing("rl-three", "rl-one")
    )
    with pytest.raises(SourceBuildError, match="rl-one needs rl-two needs rl-three needs rl-one"):
        obtain_lock(asked(tmp_path / "r", "rl-one\n"), here, fresh=True)


def test_a_chain_of_builds_has_an_end(tmp_path, here, index):
    """More packages than anybody chains in earnest are refused before any of them is built."""
    names = [f"rl-n{number}" for number in range(DEEPEST + 3)]
    for name, needed in itertools.pairwise(names):
        index.sdists |= needing(name, needed)
    with pytest.raises(SourceBuildError, match=f"more than {DEEPEST} packages would have to be built"):
        obtain_lock(asked(tmp_path / "r", f"{names[0]}\n"), here, fresh=True)


def test_a_failing_build_of_a_build_requirement_is_told_as_such(tmp_path, here, index):
    """The words are those of the one that failed."""
    index.sdists |= needing("rl-one", "rl-two") | needing("rl-two", head="raise SystemExit('no moon')\n")
    with pytest.raises(SourceBuildError, match=r"could not build rl-two-1\.0\.tar\.gz[\s\S]*no moon"):
        obtain_lock(asked(tmp_path / "r", "rl-one\n"), here, fresh=True)


# ---------------------------------------------------------------------- hashes
def hash_of(index: Index, filename: str) -> str:
    content = index.file(filename)
    assert content is not None
    return hashlib.sha256(content).hexdigest()


def test_the_archive_with_the_named_hash_is_taken(tmp_path, here, index):
    """Among several wheels that fit the one counts whose hash the requirement names, not the best one."""
    best = Upload("rl_one", "1.0", "2020-01-01", tag="cp311-cp311-manylinux_2_17_x86_64")
    plain = Upload("rl_one", "1.0", "2020-01-01")
    index.add(best, plain)
    text = f"rl-one==1.0 --hash=sha256:{64 * '0'} --hash=sha256:{hash_of(index, plain.filename)}\n"
    lock = obtain_lock(asked(tmp_path / "r", text), here, fresh=True).lock
    assert [wheel.filename for wheel in lock.wheels if wheel.name == "rl-one"] == [plain.filename]
    free = obtain_lock(asked(tmp_path / "free", "rl-one==1.0\n"), here, fresh=True).lock
    assert [wheel.filename for wheel in free.wheels if wheel.name == "rl-one"] == [best.filename]


def test_a_wheel_without_the_named_hash_is_refused(tmp_path, here, index):
    """The error names package, place and reason."""
    index.add(Upload("rl_one", "1.0", "2020-01-01"))
    text = f"rl-one==1.0 --hash=sha256:{64 * '0'}\n"
    words = r"no wheel of rl-one 1\.0 for Python 3\.11 has a hash that requirements\.txt:1 names"
    with pytest.raises(LockError, match=words):
        obtain_lock(asked(tmp_path / "r", text), here, fresh=True)


def test_a_source_distribution_has_to_have_the_named_hash(tmp_path, here, index):
    """What is built counts as what it was built from."""
    index.sdists |= needing("rl-one")
    good = f"rl-one==1.0 --hash=sha256:{hash_of(index, 'rl-one-1.0.tar.gz')}\n"
    assert obtain_lock(asked(tmp_path / "good", good), here, fresh=True).lock.built[0].name == "rl-one"
    bad = f"rl-one==1.0 --hash=sha256:{64 * '0'}\n"
    with pytest.raises(
        LockError, match=r"rl-one-1\.0\.tar\.gz has none of the hashes that requirements\.txt:1 names"
    ):
        obtain_lock(asked(tmp_path / "bad", bad), here, fresh=True)
