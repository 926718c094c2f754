"""Packages asked for by the address of a wheel or source archive: pinned by what arrived, fetched again from there."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pypi_index_server import Index, Upload, serving
from sdists import sdist, setup_py
from source_builds import built, folder, locked, session_on

from reprolake.pipeline import Session
from reprolake_builder.documents.base import decode, pretty
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.engines.packages import fetch_wheels
from reprolake_builder.errors import FetchError, LockError

WHEEL = Upload("ichi", "1.0", "2022-01-01", requires=("ni>=1",))


@pytest.fixture
def index() -> Iterator[Index]:
    """An index of the test's own, and a server of files that are on no index."""
    with serving(Index(uploads=())) as served:
        yield served.add(Upload("ni", "1.0", "2022-01-01"), Upload("ni", "2.0", "2022-01-01"))


@pytest.fixture
def here(index, session) -> Iterator[Session]:
    """A session on the tests' store with that index."""
    with session_on(session.tools.store.root, index) as opened:
        yield opened


@pytest.fixture
def away() -> Iterator[Index]:
    """A server whose pages nobody asks: only addresses lead to its files."""
    with serving(Index(uploads=(WHEEL,))) as served:
        yield served


def address(server: Index, filename: str) -> str:
    return f"{server.url.removesuffix('simple')}files/{filename}"


def wheels(lock: EnvironmentLock) -> dict[str, tuple[str, str]]:
    return {wheel.name: (wheel.version, wheel.url) for wheel in lock.wheels}


def test_a_wheel_at_an_address_is_pinned_by_what_arrives(tmp_path, index, away, here):
    """What it requires is resolved beside it, and the lock has address and hash; without the server the store serves."""
    url = address(away, WHEEL.filename)
    made = locked(folder(tmp_path / "a", requirements__txt=f"ichi @ {url}\n"), here)
    assert wheels(made)["ichi"] == ("1.0", url)
    assert wheels(made)["ni"] == ("2.0", "")
    (ichi,) = (wheel for wheel in made.wheels if wheel.name == "ichi")
    assert ichi.sha256 == hashlib.sha256(WHEEL.content()).hexdigest()
    assert ichi.requested
    assert decode(pretty(made), EnvironmentLock) == made


def test_the_locked_wheel_is_fetched_from_its_address(tmp_path, index, away, here):
    """Another host takes the same file from where the lock says, and refuses another one of the same name."""
    made = locked(folder(tmp_path / "a", requirements__txt=f"{address(away, WHEEL.filename)}\n"), here)
    chosen = [wheel for wheel in made.wheels if wheel.name == "ichi"]
    with session_on(tmp_path / "fresh", index) as other:
        fetch_wheels(chosen, other.tools)
        assert other.tools.store.has_sound_archive(chosen[0].sha256)
    away.uploads = (dataclasses.replace(WHEEL, requires=("other",)),)
    with session_on(tmp_path / "later", index) as other, pytest.raises(FetchError, match="ichi"):
        fetch_wheels(chosen, other.tools)


@pytest.mark.engine("bubblewrap")
def test_an_archive_of_sources_at_an_address_is_built(tmp_path, index, away, here):
    """Its name comes from its build; the lock has where it came from."""
    files = sdist(
        "sanmaru", "3.0", setup__py=setup_py("sanmaru", "3.0", "py_modules=['sanmaru']"), sanmaru__py=""
    )
    (content,) = files.values()
    away.sdists["v3.tar.gz"] = content
    url = address(away, "v3.tar.gz")
    made = locked(
        folder(tmp_path / "a", requirements__txt=f"{url}#sha256={hashlib.sha256(content).hexdigest()}\n"),
        here,
    )
    assert built(made) == {"sanmaru": "3.0"}
    assert made.built[0].origin.url == url


def test_an_archive_with_another_hash_is_refused(tmp_path, index, away, here):
    """The hash that stands in the repository decides."""
    text = f"{address(away, WHEEL.filename)}#sha256={'0' * 64}\n"
    with pytest.raises(FetchError, match="ichi"):
        locked(folder(tmp_path / "a", requirements__txt=text), here)


def test_a_wheel_for_another_python_at_an_address_is_refused(tmp_path, index, away, here):
    """The file's name tells what it is for; no other is looked for."""
    compiled = dataclasses.replace(WHEEL, tag="cp39-cp39-manylinux2014_x86_64")
    away.uploads = (compiled,)
    with pytest.raises(LockError, match=r"is no wheel for Python 3\.11"):
        locked(folder(tmp_path / "a", requirements__txt=f"{address(away, compiled.filename)}\n"), here)


def test_an_archive_in_a_lock_of_another_tool_is_taken(tmp_path: Path, index, away, here):
    """pylock.toml's archive comes from its address, by its hash."""
    digest = hashlib.sha256(WHEEL.content()).hexdigest()
    url = address(away, WHEEL.filename)
    text = (
        'lock-version = "1.0"\n[[packages]]\nname = "ichi"\nversion = "1.0"\n'
        f'archive = {{url = "{url}", hashes = {{sha256 = "{digest}"}}}}\n'
        '[[packages]]\nname = "ni"\nversion = "1.0"\n'
        f'wheels = [{{name = "ni-1.0-py3-none-any.whl", hashes = {{sha256 = "{hashlib.sha256(index.uploads[0].content()).hexdigest()}"}}}}]\n'
    )
    made = locked(folder(tmp_path / "a", pylock__toml=text), here)
    assert (wheels(made)["ichi"], wheels(made)["ni"]) == (("1.0", url), ("1.0", ""))
