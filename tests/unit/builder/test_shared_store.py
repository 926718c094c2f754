"""Stores that others keep: looked up, never written, and believed only where nobody else could have written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from reprolake_builder.documents.base import Document
from reprolake_builder.errors import StoreError
from reprolake_builder.store import Store

KEY = "ab" * 32
SHA256 = hashlib.sha256(b"right").hexdigest()
STRANGER = 4242

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving files to another user needs root")


class Note(Document, frozen=True, kw_only=True):
    text: str


@pytest.fixture
def site(tmp_path) -> Path:
    """A store with one archive, tree and document."""
    store = Store(tmp_path / "site")
    store.add_archive(iter([b"right"]), SHA256, "x")
    store.make_tree(KEY, lambda root: (root / "file").write_text("kept") and None)
    store.put("notes", "n", Note(text="site"))
    store.close()
    return tmp_path / "site"


def snapshot(folder: Path) -> dict[str, tuple[int, float]]:
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime)
        for path in folder.rglob("*")
        if "in-use" not in path.name
    }


def never(root: Path) -> None:
    raise AssertionError("made anew")


def test_what_a_shared_store_holds_is_not_made_again(site, tmp_path):
    """Archives, trees and documents of a shared store are found; it stays as it was, however old its contents are."""
    for path in site.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    before = snapshot(site)
    store = Store(tmp_path / "own", (site,))
    assert store.has_sound_archive(SHA256)
    assert store.archive(SHA256).read_bytes() == b"right"
    tree = store.make_tree(KEY, never)
    assert (tree.root / "file").read_text() == "kept"
    assert tree.entries
    assert store.get("notes", "n", Note) == Note(text="site")
    assert store.keys("notes") == ("n",)
    store.put("notes", "n", Note(text="own"))
    assert store.get("notes", "n", Note) == Note(text="own")
    store.close()
    assert snapshot(site) == before


def test_a_damaged_archive_of_a_shared_store_is_fetched_into_ones_own(site, tmp_path):
    """An archive with other bytes than its name says is not used, whoever keeps it."""
    (site / "archives" / SHA256[:2] / SHA256).write_bytes(b"wrong")
    store = Store(tmp_path / "own", (site,))
    assert not store.has_sound_archive(SHA256)
    store.add_archive(iter([b"right"]), SHA256, "x")
    assert store.archive(SHA256).is_relative_to(tmp_path / "own")
    assert store.has_sound_archive(SHA256)


def test_a_store_that_is_not_mounted_is_no_error(tmp_path):
    """All that a shared store would have can be had otherwise."""
    assert Store(tmp_path / "own", (tmp_path / "absent",)).tree(KEY) is None


@pytest.mark.parametrize("place", [".", "..", "trees", "trees/ab", f"trees/ab/{KEY}", f"trees/ab/{KEY}/root"])
def test_what_others_may_write_is_not_believed(site, tmp_path, place):
    """A store below a folder that others can write to is refused; a tree below such a folder in it is as if it were not there."""
    folder = tmp_path / "open" / "site"
    folder.parent.mkdir()
    site.rename(folder)
    (folder / place).resolve().chmod(0o775)
    if place in {".", ".."}:
        with pytest.raises(StoreError, match=r"is writable by others \(mode 0775\)") as refused:
            Store(tmp_path / "own", (folder,))
        assert str((folder / place).resolve()) in refused.value.message
    else:
        assert Store(tmp_path / "own", (folder,)).tree(KEY) is None


@needs_root
@pytest.mark.parametrize(
    "place", [".", f"trees/ab/{KEY}", f"trees/ab/{KEY}/index", "documents/notes", "documents/notes/n"]
)
def test_what_a_stranger_owns_is_not_believed(site, tmp_path, place):
    """Trees and documents are taken from root and oneself only."""
    os.chown(site / place, STRANGER, STRANGER)
    if place == ".":
        with pytest.raises(StoreError, match="belongs to user 4242"):
            Store(tmp_path / "own", (site,))
        with pytest.raises(StoreError, match="belongs to user 4242"):
            Store(site)
        return
    store = Store(tmp_path / "own", (site,))
    assert (store.tree(KEY) is None) == place.startswith("trees")
    assert (store.get("notes", "n", Note) is None) == place.startswith("documents")


def test_links_in_a_shared_store_lead_nowhere(site, tmp_path):
    """A link in the place of a tree could lead to what others can change."""
    tree = site / "trees" / "ab" / KEY
    tree.rename(tmp_path / "elsewhere")
    tree.symlink_to(tmp_path / "elsewhere")
    assert Store(tmp_path / "own", (site,)).tree(KEY) is None


def test_the_keeper_cannot_remove_what_a_reader_uses(site, tmp_path):
    """A reader marks what it uses in the shared store, and the keeper's pruning leaves that alone."""
    reader = Store(tmp_path / "own", (site,))
    tree = reader.tree(KEY)
    keeper = Store(site)
    assert tree is not None
    assert not keeper.discard(tree.folder)
    reader.close()
    assert keeper.discard(tree.folder)
