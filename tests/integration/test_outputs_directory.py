"""`dir:` unpacks an image into a new folder, as it is in the image, and never anywhere else."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from published import Notes
from small_image import base, small_image, top

from reprolake_builder.errors import PublishError
from reprolake_builder.progress import SILENT
from reprolake_builder.publish import check_destination, parse_destination, publish
from reprolake_builder.publishers import directory
from reprolake_builder.store import Store
from reprolake_builder.trees import MTIME

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture
def place():
    """A folder that an ordinary user can reach, too."""
    folder = Path(tempfile.mkdtemp(prefix="reprolake-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def store(place):
    (place / "store").mkdir()
    (place / "store").chmod(0o755)
    opened = Store(place / "store")
    yield opened
    opened.close()


@pytest.fixture
def image(store):
    return small_image(store, base, top)


def unpack(image, store, to, progress=SILENT):
    destination = parse_destination(f"dir:{to}", "lab/x:1", {})
    check_destination(destination)
    return publish(image, destination, store, progress)


@contextlib.contextmanager
def ordinary_user():
    """Be nobody where we are root."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@needs_root
def test_everything_is_as_in_the_image(image, store, place):
    """Modes with their set-uid bits, owners, links of both kinds, dates and contents are those of the image."""
    unpack(image, store, place / "root")
    root = place / "root"
    su = (root / "usr/bin/su").stat()
    assert (stat.S_IMODE(su.st_mode), su.st_nlink, su.st_size, su.st_mtime) == (0o4755, 2, 100_002, MTIME)
    assert (root / "usr/bin/su-again").stat().st_ino == su.st_ino
    home = (root / "home/jovyan").stat()
    assert (stat.S_IMODE(home.st_mode), home.st_uid, home.st_gid, home.st_mtime) == (0o2700, 1000, 100, MTIME)
    assert os.readlink(root / "secret") == "/etc/shadow"
    assert os.lstat(root / "secret").st_mtime == MTIME
    assert (root / "etc/passwd").read_text().startswith("jovyan")
    assert stat.S_IMODE((root / "etc/passwd").stat().st_mode) == 0o644
    assert os.listdir(os.fsencode(root / "etc")) in ([b"passwd", b"\xff"], [b"\xff", b"passwd"])
    assert stat.S_IMODE(root.stat().st_mode) == 0o755
    assert sorted(os.listdir(place)) == ["root", "store"]


def test_the_store_is_never_shared_with_the_output(image, store, place):
    """Writing to an unpacked file leaves the store as it is."""
    unpack(image, store, place / "root")
    stored = {path.stat().st_ino for path in (place / "store").rglob("*") if not path.is_symlink()}
    assert not stored & {path.lstat().st_ino for path in (place / "root").rglob("*")}


def test_an_ordinary_user_gets_what_is_possible_and_is_told(image, store, place):
    """Without root all belongs to the writer, no program is set-uid, and a note says so."""
    (place / "mine").mkdir()
    (place / "mine").chmod(0o777)
    notes = Notes()
    with ordinary_user():
        unpack(image, store, place / "mine/root", notes)
        owners = {path.lstat().st_uid for path in (place / "mine/root").rglob("*")}
        mode = stat.S_IMODE((place / "mine/root/usr/bin/su").stat().st_mode)
        me = os.geteuid()
    assert (owners, mode) == ({me}, 0o755)
    assert any("nothing in it is set-uid" in note for note in notes.notes)


def test_an_empty_folder_is_filled(image, store, place):
    """A folder that is there and empty becomes the root."""
    (place / "root").mkdir()
    unpack(image, store, place / "root")
    assert (place / "root/empty").is_file()


def test_a_folder_with_things_in_it_stays_as_it_is(image, store, place):
    """What is in a folder is neither mixed with the image nor replaced."""
    (place / "root").mkdir()
    (place / "root/thesis.tex").write_text("important")
    with pytest.raises(PublishError, match="other things"):
        unpack(image, store, place / "root")
    assert os.listdir(place / "root") == ["thesis.tex"]


@pytest.mark.parametrize("kind", ["link to a folder", "link to nothing", "file", "no parent"])
def test_what_is_no_new_folder_is_refused(image, store, place, kind):
    """Links, even to empty folders, files and places in folders that are not there are refused before any work."""
    (place / "other").mkdir()
    to = place / "root"
    if kind == "file":
        to.write_text("")
    elif kind == "no parent":
        to = place / "no/root"
    else:
        to.symlink_to(place / ("other" if kind == "link to a folder" else "nothing"))
    with pytest.raises(PublishError):
        unpack(image, store, to)
    assert os.listdir(place / "other") == []
    assert sorted(os.listdir(place)) == sorted(
        {"other", "store", "root"} - ({"root"} if kind == "no parent" else set())
    )


def test_a_link_in_a_lower_layer_is_never_written_through(store, place):
    """A layer that puts a file below another layer's link to the outside is refused, and the outside stays as it was."""
    outside = place / "outside"
    outside.mkdir()

    def linked(root):
        (root / "data").symlink_to(outside)

    def below(root):
        (root / "data").mkdir()
        (root / "data/x").write_text("x")

    image = small_image(store, linked, below)
    unpack(image, store, place / "root")
    assert (place / "root/data/x").is_file()
    assert not (place / "root/data").is_symlink()
    assert os.listdir(outside) == []


def test_a_store_that_was_changed_is_noticed(image, store, place):
    """A stored file with other bytes of the same length is found when the output is read back, and nothing is left."""
    stored = next(path for path in (place / "store").rglob("etc/passwd") if "jovyan" in path.read_text())
    stored.write_text(stored.read_text().replace("jovyan", "mallet"))
    with pytest.raises(PublishError, match=r"layer 2 of 2 \(top\): /etc/passwd: has the SHA-256"):
        unpack(image, store, place / "root")
    assert os.listdir(place) == ["store"]


def test_without_copying_in_the_kernel_the_bytes_are_the_same(image, store, place, monkeypatch):
    """File systems that cannot copy by themselves get the same files."""

    def refuse(*_):
        raise OSError(directory.errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    unpack(image, store, place / "root")
    assert (place / "root/usr/bin/su").stat().st_size == 100_002
