"""Images without byte code: the lock says so, the packages have none, and they work."""

from __future__ import annotations

import dataclasses

import pytest
from conftest import SAMPLES

from reprolake.lock_file import write_lock
from reprolake.options import UsageError
from reprolake.pipeline import Request, obtain_image, obtain_lock

REQUEST = Request(link=str(SAMPLES / "no-parameters"), byte_code=False)


@pytest.mark.engine("bubblewrap")
def test_an_image_without_byte_code(session, built_image, tmp_path):
    """No package has byte code, in the tree and in its RECORD; all else is as in the image that has it."""
    obtained = obtain_lock(REQUEST, session)
    assert not obtained.lock.byte_code
    assert "--no-byte-code" in obtained.lock.overrides
    image = obtain_image(obtained, session)
    assert image.id != built_image.id

    def packages(of):
        trees = [session.tools.store.tree(key) for key in of.trees]
        found = [(entry, tree) for tree in trees for entry in tree.entries if entry.kind == "f"]
        return {
            entry.path: entry.sha256 for entry, _ in found if entry.path.startswith(b"opt/env/lib/")
        }, found

    without, found = packages(image)
    with_it, _ = packages(built_image)
    assert not [path for path in without if path.endswith(b".pyc")]
    records = [(e, tree) for e, tree in found if e.path.endswith(b"dist-info/RECORD")]
    assert records
    assert not [e.path for e, tree in records if b".pyc" in (tree.root / e.path.decode()).read_bytes()]
    same = {path for path in with_it if not path.endswith((b".pyc", b"/RECORD"))}
    assert {path: without.get(path) for path in same} == {path: with_it[path] for path in same}


def test_a_lock_decides_about_byte_code(session, tmp_path):
    """The option belongs to locking: together with a lock it is refused."""
    path = tmp_path / "reprolake.lock"
    write_lock(obtain_lock(dataclasses.replace(REQUEST, byte_code=True), session).lock, path)
    with pytest.raises(UsageError, match="--no-byte-code cannot change it"):
        obtain_lock(Request(link=str(path), byte_code=False), session)
