"""Images that anybody may have written: nothing of them costs more than it is worth, or leads elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_locks import LOCK
from memory import little_memory

from reprolake_builder.documents.base import pretty
from reprolake_builder.errors import PublishError
from reprolake_builder.image import LOCK_IN_IMAGE
from reprolake_builder.layouts import images_in, lock_in


def _layout(folder: Path, layer: bytes = b"", manifests: int = 1, layers: int = 1) -> Path:
    """Write a layout with one image of these bytes as its layer."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def add(data: bytes) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"digest": f"sha256:{name}", "size": len(data)}

    manifest = add(json.dumps({"config": add(b"{}"), "layers": [add(layer)] * layers}).encode())
    (folder / "oci-layout").write_text("{}")
    (folder / "index.json").write_text(json.dumps({"manifests": [manifest] * manifests}))
    return folder


def _header(kind: bytes, size: int, name: str = "x") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def _archive_of(layout: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        for name in ("oci-layout", "index.json", "blobs"):
            archive.add(layout / name, name)
    return path


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_layer_with_an_endless_header_is_refused(tmp_path, kind):
    """A header of gigabytes, packed to a megabyte, is not unpacked into memory."""
    bomb = gzip.compress(_header(kind, 1 << 30), 1) + gzip.compress(bytes(1 << 28), 1) * 4
    (image,) = images_in(_layout(tmp_path / "image", bomb))
    with little_memory(600), pytest.raises(PublishError, match="a header of"):
        lock_in(image)


def test_an_archive_with_an_endless_header_is_refused(tmp_path):
    """The archive's own headers are read with a limit, too, though it is a file with holes."""
    path = tmp_path / "image.tar"
    with path.open("wb") as stream:
        stream.write(_header(tarfile.XHDTYPE, 1 << 40))
        stream.truncate(1 << 41)
    with little_memory(600), pytest.raises(PublishError, match="a header of"):
        images_in(path)


@pytest.mark.parametrize(("manifests", "layers"), [(101, 1), (1, 1001)])
def test_lists_without_end_are_refused(tmp_path, manifests, layers):
    """A small file that names one blob again and again makes nobody read that again and again."""
    with pytest.raises(PublishError, match="length <="):
        images_in(_layout(tmp_path / "image", manifests=manifests, layers=layers))


def test_an_archive_of_links_alone_is_refused(tmp_path):
    """An index that is a link to a link to itself is none."""
    path = tmp_path / "image.tar"
    with tarfile.open(path, "w") as archive:
        for name, target in (("index.json", "a"), ("a", "index.json")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    with pytest.raises(PublishError, match="not in the archive"):
        images_in(path)


@pytest.mark.parametrize("place", ["blobs", "blobs/sha256"])
def test_blobs_behind_links_are_refused(tmp_path, place):
    """A layout's folders lie in it: nothing outside is opened."""
    layout = _layout(tmp_path / "image")
    (layout / place).rename(tmp_path / "outside")
    (layout / place).symlink_to(tmp_path / "outside")
    with pytest.raises(PublishError, match="Not a directory"):
        images_in(layout)


@pytest.mark.parametrize("written", [lambda layout, _: layout, _archive_of])
def test_a_folder_and_an_archive_are_the_same_image(tmp_path, written: Callable[[Path, Path], Path]):
    """A blob has the same bytes from either, whole and in pieces."""
    layer = bytes(range(256)) * 1000
    (image,) = images_in(written(_layout(tmp_path / "image", layer), tmp_path / "image.tar"))
    with image.blob(image.manifest.layers[0].digest) as stream:
        assert stream.read(100) + stream.read() == layer


def test_a_layer_named_again_and_again_is_read_within_one_limit(tmp_path, monkeypatch):
    """The layers that are searched for the lock have one limit together, whatever their number."""
    monkeypatch.setattr("reprolake_builder.layouts.MOST_BYTES", 40 << 20)
    layer = gzip.compress(_header(tarfile.REGTYPE, 1 << 20) + bytes(1 << 21))
    (few,) = images_in(_layout(tmp_path / "few", layer, layers=3))
    with pytest.raises(PublishError, match="carries no lock"):
        lock_in(few)
    (many,) = images_in(_layout(tmp_path / "many", layer, layers=100))
    with pytest.raises(PublishError, match="unpacks to more than"):
        lock_in(many)


def test_long_names_in_an_archive_take_no_memory(tmp_path):
    """Of an archive's members only those are remembered that a layout has, however many and long the others' names are."""
    path = tmp_path / "image.tar"
    with path.open("wb") as stream:
        for number in range(500):  # a megabyte each, on disk a hole
            name = b"1048570 path=%d" % number
            stream.write(_header(tarfile.XHDTYPE, 1048570))
            start = stream.tell()
            stream.write(name)
            stream.seek(start + 1048569)
            stream.write(b"\n")
            stream.seek(start + (1 << 20))
            stream.write(_header(tarfile.REGTYPE, 0))
        stream.write(bytes(1024))
    with little_memory(200), pytest.raises(PublishError, match="not in the archive"):
        images_in(path)


def _with_lock(folder: Path) -> Path:
    info = tarfile.TarInfo(LOCK_IN_IMAGE.lstrip("/"))
    info.size = len(pretty(LOCK))
    content = info.tobuf(tarfile.USTAR_FORMAT) + pretty(LOCK) + bytes(-info.size % 512) + bytes(1024)
    return _layout(folder, gzip.compress(content, 9))


def test_the_lock_of_an_image_is_read(tmp_path):
    """The lock that lies in a layer is what the image was made from."""
    (image,) = images_in(_with_lock(tmp_path / "image"))
    assert lock_in(image) == LOCK


@pytest.mark.parametrize("what", ["layer", "manifest"])
def test_a_lock_behind_another_digest_is_refused(tmp_path, what):
    """What an image says is not believed when the bytes that say it are not those of their digests."""
    (image,) = images_in(_with_lock(tmp_path / "image"))
    digest = image.manifest.layers[0].digest if what == "layer" else image.digest
    blob = tmp_path / "image/blobs/sha256" / digest.removeprefix("sha256:")
    data = blob.read_bytes()
    blob.write_bytes(gzip.compress(gzip.decompress(data), 1) if what == "layer" else data + b" ")
    (image,) = images_in(tmp_path / "image")
    with pytest.raises(PublishError, match=f"{digest[:19]}.*other bytes"):
        lock_in(image)
