"""What a store holds, and what is removed from it when."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reprolake_builder.documents.base import Document
from reprolake_builder.stock import Unwanted, prune, take_stock
from reprolake_builder.store import Store

NOW = datetime.now(UTC).replace(microsecond=0)
URL = "https://example.org/lab/a.git"


class Names(Document, frozen=True, kw_only=True):
    trees: tuple[str, ...]
    url: str = ""


def key(letter: str) -> str:
    return letter * 64


def add_tree(store: Store, letter: str, *, days: int, path: str = "file", size: int = 100) -> Path:
    """Store a tree with one file that was last used so many days before NOW."""

    def fill(root):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(bytes(size))

    folder = store.make_tree(key(letter), fill).folder
    when = (NOW - timedelta(days=days)).timestamp()
    os.utime(folder / "index", (when, when))
    return folder


def add_archive(store: Store, content: bytes, *, days: int) -> str:
    """Store an archive that was last used so many days before NOW and return its hash."""
    sha256 = hashlib.sha256(content).hexdigest()
    when = (NOW - timedelta(days=days)).timestamp()
    os.utime(store.add_archive(iter([content]), sha256, "x"), (when, when))
    return sha256


@pytest.fixture
def store(tmp_path) -> Store:
    """A store whose contents no process uses."""
    maker = Store(tmp_path)
    add_tree(maker, "a", days=1)
    add_tree(maker, "b", days=20)
    add_tree(maker, "c", days=40, path="repo/notebook.ipynb")
    add_archive(maker, b"mentioned in the image's lock", days=40)
    add_archive(maker, b"mentioned nowhere", days=5)
    lock = hashlib.sha256(b"mentioned in the image's lock").hexdigest().encode()

    def fill(root):
        (root / "opt/reprolake").mkdir(parents=True)
        (root / "opt/reprolake/reprolake.lock").write_bytes(b'{"sha256": "' + lock + b'"}')

    maker.make_tree(key("d"), fill)
    maker.put("images-by-id", key("e"), Names(trees=(key("a"), key("d"))))
    maker.put("locks", key("f"), Names(trees=(), url=URL))
    maker.put("layers", key("f"), Names(trees=()))
    for url in (URL, "https://example.org/other.git"):
        (tmp_path / "git" / hashlib.sha256(url.encode()).hexdigest() / "objects").mkdir(parents=True)
    (tmp_path / "hg" / hashlib.sha256(b"https://hg.example.org/other").hexdigest() / ".hg").mkdir(
        parents=True
    )
    maker.close()
    return Store(tmp_path)


def kinds(items) -> dict[str, int]:
    counted: dict[str, int] = {}
    for item in items:
        counted[item.kind] = counted.get(item.kind, 0) + 1
    return counted


def test_everything_is_counted_by_kind(store):
    """Trees with nothing but the repository are sources; documents are images, locks and answers; foreign files are left out."""
    (store.root / "notes.txt").write_text("mine")
    (store.root / "archives" / "ab").mkdir(exist_ok=True)
    (store.root / "archives" / "ab" / "notes.txt").write_text("mine")
    assert kinds(take_stock(store)) == {
        "archives": 2,
        "layers": 3,
        "sources": 1,
        "images": 1,
        "locks": 1,
        "answers": 1,
        "git caches": 2,
        "hg caches": 1,
    }


def test_what_images_and_locks_mention_is_not_unused(store):
    """Unused is what neither an image, nor the lock in it, nor a remembered lock refers to."""
    gone = prune(store, take_stock(store), Unwanted(unused=True), NOW).removed
    assert kinds(gone) == {"archives": 1, "layers": 1, "sources": 1, "git caches": 1, "hg caches": 1}
    assert store.tree(key("a")) is not None
    assert store.tree(key("b")) is None
    assert store.has_archive(hashlib.sha256(b"mentioned in the image's lock").hexdigest())
    assert [path.name for path in (store.root / "git").iterdir()] == [
        hashlib.sha256(URL.encode()).hexdigest()
    ]


def test_all_conditions_must_hold(store):
    """With an age and `unused` only what is both goes."""
    asked = Unwanted(unused=True, older_than=timedelta(days=30))
    assert [item.path.name for item in prune(store, take_stock(store), asked, NOW).removed] == [key("c")]


def test_the_longest_unused_goes_first_until_the_store_is_small(store):
    """To fit a size no more is removed than needed, in the order of last use."""
    items = take_stock(store)
    room = sum(item.size for item in items) - 50
    gone = prune(store, items, Unwanted(max_size=room), NOW).removed
    assert [item.used for item in gone] == [NOW - timedelta(days=40)] * len(gone)
    assert [item.kind for item in gone] == ["archives", "sources"]
    assert sum(item.size for item in take_stock(store)) <= room


def test_a_dry_run_removes_nothing(store):
    """What a dry run names is what the real one then removes."""
    asked = Unwanted(older_than=timedelta(days=10))
    named = prune(store, take_stock(store), asked, NOW, dry_run=True).removed
    assert len(take_stock(store)) == 12
    assert prune(store, take_stock(store), asked, NOW).removed == named


def test_what_is_used_stays_and_is_told(store):
    """A tree that another session asked for is kept, whatever is asked for."""
    user = Store(store.root)
    assert user.tree(key("b")) is not None
    done = prune(store, take_stock(store), Unwanted(older_than=timedelta(0)), NOW + timedelta(days=1))
    assert [item.path.name for item in done.kept] == [key("b")]
    assert (store.root / "trees" / "bb" / key("b") / "root" / "file").is_file()
    user.close()


def test_damaged_trees_are_unused(store):
    """A tree whose index is lost or cut short is of no use to anybody and goes with what is unused."""
    index = store.root / "trees" / "aa" / key("a") / "index"
    index.write_bytes(index.read_bytes()[:5])
    (store.root / "trees" / "dd" / key("d") / "index").unlink()
    gone = prune(store, take_stock(store), Unwanted(unused=True), NOW).removed
    assert kinds(gone)["damaged"] == 2
    assert not index.parent.exists()


def test_an_empty_place_holds_nothing(tmp_path):
    """A store that was never written to holds nothing, and looking does not make it."""
    assert take_stock(Store(tmp_path / "none")) == ()
    assert not (tmp_path / "none").exists()
