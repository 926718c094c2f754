"""What is not any more as it was written is found, and nothing else is."""

from __future__ import annotations

import hashlib
import os
import shutil

import pytest
from small_image import base, small_image, top

from reprolake_builder.damage import find_damage
from reprolake_builder.image import Image
from reprolake_builder.progress import SILENT
from reprolake_builder.stock import take_stock
from reprolake_builder.store import Store

ARCHIVE = b"an archive" * 1000


@pytest.fixture
def store(tmp_path):
    """A store with an image's trees, an archive and a document."""
    opened = Store(tmp_path / "store")
    image = small_image(opened, base, top)
    opened.add_archive([ARCHIVE], hashlib.sha256(ARCHIVE).hexdigest(), "an archive")
    opened.put("images", "0" * 64, image)
    opened.root.joinpath("git/" + "0" * 64).mkdir(parents=True)
    yield opened
    opened.close()


def found(store) -> list[str]:
    """Return what is wrong, in words."""
    return [damage.why for damage in find_damage(take_stock(store), SILENT)]


def in_tree(store, path: str):
    """Return the host path of a file of the lower tree."""
    return next(store.root.glob(f"trees/*/*/root/{path}"))


def rewrite(path, data: bytes) -> None:
    """Change a file in its place."""
    path.write_bytes(data)


def unlink_twice(path) -> None:
    """Make two files of two names of one."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


def test_a_whole_store_has_no_damage(store):
    """Trees with links, owners and names in no encoding, archives and documents are as they were written."""
    assert found(store) == []
    assert store.get("images", "0" * 64, Image) is not None


@pytest.mark.parametrize(
    ("path", "change", "why"),
    [
        ("etc/passwd", lambda path: rewrite(path, b"x" * path.stat().st_size), "etc/passwd has other bytes"),
        ("etc/passwd", lambda path: rewrite(path, b""), "etc/passwd has other bytes"),
        ("empty", lambda path: path.unlink(), "empty is missing"),
        ("empty", lambda path: path.with_name("more").write_text(""), "more was added"),
        ("empty", lambda path: (path.unlink(), path.mkdir()), "empty is of another kind"),
        ("secret", lambda path: (path.unlink(), path.symlink_to("/etc/hosts")), "secret leads elsewhere"),
        ("usr/bin/su-again", unlink_twice, "usr/bin/su-again is no link to its other name any more"),
        ("home/jovyan", lambda path: shutil.rmtree(path.parent), "home is missing"),
        (
            "../index",
            lambda path: rewrite(path, path.read_bytes()[:-1]),
            "its index is not as it was written",
        ),
        ("../index", lambda path: path.unlink(), "its index is not as it was written"),
    ],
)
def test_what_changed_in_a_tree_is_named(store, path, change, why):
    """The first file that differs, and how."""
    change(in_tree(store, path))
    assert found(store) == [why]


def test_a_changed_archive_is_told_by_its_hash(store):
    """One byte, and it is not what its name says."""
    rewrite(store.archive(hashlib.sha256(ARCHIVE).hexdigest()), b"A" + ARCHIVE[1:])
    assert found(store) == [f"its bytes have the SHA-256 {hashlib.sha256(b'A' + ARCHIVE[1:]).hexdigest()}"]


@pytest.mark.parametrize("data", [b"", b"{", b"\0", b"[" * 100_000])
def test_a_document_that_is_none_is_told(store, data):
    """A file that a power cut left empty or half-written is no document."""
    rewrite(store.root / "documents/images" / ("0" * 64), data)
    assert found(store) == ["it is no JSON"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_told(store):
    """A file that nobody may read is as good as lost."""
    store.archive(hashlib.sha256(ARCHIVE).hexdigest()).chmod(0)
    assert found(store) == ["it cannot be read: Permission denied"]
