"""The store: whole or absent, safe side by side, clear when the disk is not."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest

from reprolake_builder.documents.base import Document
from reprolake_builder.errors import FetchError, StoreError
from reprolake_builder.store import Store

KEY = "ab" * 32


class Note(Document, frozen=True, kw_only=True):
    text: str


def test_an_archive_with_other_bytes_is_not_kept(tmp_path):
    """What arrives with another hash is refused and leaves nothing behind."""
    store = Store(tmp_path)
    wanted = hashlib.sha256(b"right").hexdigest()
    with pytest.raises(FetchError, match=r"numpy\.whl arrived with SHA-256"):
        store.add_archive(iter([b"wrong"]), wanted, "numpy.whl")
    assert not store.has_archive(wanted)
    assert list((tmp_path / "tmp").glob("*/*")) == []


def test_a_tree_is_made_once(tmp_path):
    """The second call returns the stored tree without making it again."""
    store, made = Store(tmp_path), []

    def fill(root):
        made.append(root)
        (root / "file").write_text("x")

    first, second = store.make_tree(KEY, fill), store.make_tree(KEY, fill)
    assert len(made) == 1
    assert first.entries == second.entries


def test_a_failed_tree_leaves_nothing(tmp_path):
    """When filling fails there is no tree of that key."""
    store = Store(tmp_path)

    def fill(root):
        (root / "file").write_text("x")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.make_tree(KEY, fill)
    assert store.tree(KEY) is None
    assert list((tmp_path / "tmp").glob("*/*")) == []


def test_a_killed_writer_is_swept(tmp_path):
    """What a killed process left is removed by the next one, and its tree was never visible."""
    program = (
        "import sys, time; from pathlib import Path; from reprolake_builder.store import Store\n"
        f"def fill(root): (root / 'big').write_bytes(b'x' * 1000); print('in', flush=True); time.sleep(600)\n"
        f"Store(Path(sys.argv[1])).make_tree({KEY!r}, fill)"
    )
    writer = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"in\n"
    left = list((tmp_path / "tmp").glob("*/*"))
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert left
    store = Store(tmp_path)
    assert store.tree(KEY) is None
    store.put("notes", "n", Note(text="x"))
    assert not any(path.exists() for path in left)


def test_another_process_at_work_is_left_alone(tmp_path):
    """Sweeping never touches what a living process writes."""
    program = (
        "import sys; from pathlib import Path; from reprolake_builder.store import Store\n"
        f"def fill(root): (root / 'file').write_text('y'); print('in', flush=True); sys.stdin.read()\n"
        f"print(Store(Path(sys.argv[1])).make_tree({KEY!r}, fill).size)"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout.readline() == b"in\n"
    Store(tmp_path).put("notes", "n", Note(text="x"))
    out, _ = writer.communicate(b"")
    assert (writer.returncode, out) == (0, b"1\n")


def test_documents_of_another_version_are_none(tmp_path):
    """A document that this version cannot read counts as absent."""
    store = Store(tmp_path)
    store.put("notes", "n", {"text": "x", "more": 1})
    assert store.get("notes", "n", Note) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a read-only file system needs root")
def test_a_read_only_store_says_so(tmp_path):
    """A store that cannot be written is an error that names it and the remedy, not a traceback."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=0755", "tmpfs", str(tmp_path)], check=True)
    try:
        with pytest.raises(StoreError, match="cannot be written") as caught:
            Store(tmp_path).put("notes", "n", Note(text="x"))
        assert "--store" in caught.value.hint
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_says_so(tmp_path):
    """A full disk is an error that names the store, and nothing half-written is visible."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "tmpfs", str(tmp_path)], check=True)
    try:
        store = Store(tmp_path)
        with pytest.raises(StoreError, match="is full"):
            store.make_tree(KEY, lambda root: (root / "big").write_bytes(b"x" * (2 << 20)) and None)
        assert store.tree(KEY) is None
        store.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_two_makers_of_one_tree_agree(tmp_path):
    """Processes that make the same tree at once both end with a whole one."""
    program = (
        "import sys, time; from pathlib import Path; from reprolake_builder.store import Store\n"
        f"def fill(root): time.sleep(0.3); (root / 'file').write_text('same')\n"
        f"print(Store(Path(sys.argv[1])).make_tree({KEY!r}, fill).size)"
    )
    makers = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [maker.communicate()[0] for maker in makers] == [b"4\n"] * 3
    assert [maker.returncode for maker in makers] == [0, 0, 0]


def keep(root):
    """Fill a tree with one file."""
    (root / "file").write_text("kept")


@pytest.mark.parametrize("damage", [b"", b"\x91", b"another"])
def test_a_damaged_index_is_no_tree(tmp_path, damage):
    """A tree whose index was cut short or changed counts as absent, and is made again in its place."""
    store = Store(tmp_path)
    index = store.make_tree(KEY, keep).folder / "index"
    index.write_bytes(damage or index.read_bytes()[:-9])
    assert store.tree(KEY) is None
    again = store.make_tree(KEY, keep)
    assert [entry.path for entry in again.entries] == [b"file"]
    store.close()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_was_never_a_tree_makes_way(tmp_path):
    """A folder or file of another kind that lies where a tree belongs does not keep it from being made."""
    for number, foreign in enumerate(("folder", "file")):
        key = f"{number}{KEY[1:]}"
        place = tmp_path / "trees" / key[:2] / key
        place.parent.mkdir(parents=True)
        if foreign == "folder":
            (place / "root").mkdir(parents=True)
        else:
            place.write_text("mine")
        assert Store(tmp_path).make_tree(key, keep).size == 4


def test_a_file_where_a_folder_belongs_says_so(tmp_path):
    """A store whose folders cannot be made is an error that names the path."""
    (tmp_path / "trees").write_text("mine")
    store = Store(tmp_path)
    assert store.tree(KEY) is None
    with pytest.raises(StoreError, match=r"(?s)failed: .*trees"):
        store.make_tree(KEY, keep)
    assert (tmp_path / "trees").read_text() == "mine"


def test_a_damaged_archive_is_noticed_and_replaced(tmp_path):
    """An archive with other bytes than its name says is not sound; fetching it again mends it."""
    sha256 = hashlib.sha256(b"right").hexdigest()
    Store(tmp_path).add_archive(iter([b"right"]), sha256, "x").write_bytes(b"wrong")
    store = Store(tmp_path)
    assert not store.has_sound_archive(sha256)
    store.add_archive(iter([b"right"]), sha256, "x")
    assert Store(tmp_path).has_sound_archive(sha256)


def test_a_folder_without_its_lock_is_swept(tmp_path):
    """What a program of a killed process wrote after the sweep is removed by the next one; other files stay."""
    (tmp_path / "tmp" / "1-0123456789ab" / "root").mkdir(parents=True)
    (tmp_path / "tmp" / "notes.txt").write_text("mine")
    store = Store(tmp_path)
    store.put("notes", "n", Note(text="x"))
    store.close()
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == ["notes.txt"]


def test_what_another_process_uses_is_not_discarded(tmp_path):
    """A tree is removed only when no living process asked for it; after its end, however it ended, it is."""
    maker = Store(tmp_path)
    maker.make_tree(KEY, keep)
    maker.close()
    program = (
        "import sys, time; from pathlib import Path; from reprolake_builder.store import Store\n"
        f"s = Store(Path(sys.argv[1])); print(s.tree({KEY!r}).size, flush=True); time.sleep(600)"
    )
    user = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert user.stdout.readline() == b"4\n"
    folder = tmp_path / "trees" / KEY[:2] / KEY
    pruner = Store(tmp_path)
    assert not pruner.discard(folder)
    assert pruner.tree(KEY) is not None
    user.kill()
    user.wait()
    user.stdout.close()
    assert pruner.discard(folder)
    assert pruner.tree(KEY) is None
    assert list((tmp_path / "tmp").glob("*/*")) == []


def test_using_and_discarding_at_once_never_leaves_half(tmp_path):
    """Whoever gets a tree while another process discards and makes it over and over finds it whole."""
    program = (
        "import sys; from pathlib import Path; from reprolake_builder.store import Store\n"
        "root, removed = Path(sys.argv[1]), 0\n"
        "while removed < 20:\n"
        f" store, tree = Store(root), root / 'trees' / {KEY[:2]!r} / {KEY!r}\n"
        " removed += tree.exists() and store.discard(tree)\n"
        " store.close()"
    )
    pruner = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    while pruner.poll() is None:
        store = Store(tmp_path)
        tree = store.make_tree(KEY, keep)
        for _ in range(20):
            assert (tree.root / "file").read_text() == "kept"
        store.close()
        time.sleep(0.002)
    assert pruner.returncode == 0


def test_the_last_use_is_noted_once_a_day(tmp_path):
    """Using what was last used long ago sets its time to now; using it again the same day writes nothing."""
    store = Store(tmp_path)
    index = store.make_tree(KEY, keep).folder / "index"
    os.utime(index, (1, 1))
    store.tree(KEY)
    noted = index.stat().st_mtime
    assert noted > 1e9
    os.utime(index, (noted - 3600, noted - 3600))
    store.tree(KEY)
    assert index.stat().st_mtime == noted - 3600


def test_a_new_store_is_for_its_owner_only(tmp_path):
    """Private repositories and the data of runs lie in a store: nobody else can enter one that we made, or its unfinished work."""
    before = os.umask(0)
    try:
        for number, use in enumerate(
            (lambda store: store.put("notes", KEY, Note(text="a")), lambda store: store.cache("git"))
        ):
            store = Store(tmp_path / f"deep/{number}")
            use(store)
            assert store.root.stat().st_mode & 0o777 == 0o700
        (tmp_path / "shared").mkdir(mode=0o755)
        shared = Store(tmp_path / "shared")
        with shared.scratch() as scratch:
            assert scratch.parent.stat().st_mode & 0o777 == 0o700
        assert shared.root.stat().st_mode & 0o777 == 0o755
    finally:
        os.umask(before)


def test_a_store_that_everybody_may_write_to_is_refused(tmp_path):
    """In such a folder another user could have put anything into our images."""
    tmp_path.chmod(0o1777)
    with pytest.raises(StoreError, match="every user of this host may write"):
        Store(tmp_path)
