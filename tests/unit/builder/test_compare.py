"""Reading an output back finds the first difference and says it in words."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile

import pytest
from memory import little_memory
from small_image import base, small_image, top

from reprolake_builder import oci
from reprolake_builder.compare import LayerReader, compare_blobs, compare_diff_ids
from reprolake_builder.plain_files import open_below
from reprolake_builder.progress import SILENT
from reprolake_builder.publishers.oci_layout import write_blobs
from reprolake_builder.store import Store


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def image(store):
    return small_image(store, base, top)


class Layout:
    """A layout whose layers can be tampered with; the manifest always fits the blobs."""

    def __init__(self, image, folder, store):
        self.image, self.folder, self.store = image, folder, store
        self.manifest = write_blobs(image, folder, store, SILENT)

    def open(self, digest):
        return open_below(self.folder, oci.blob_path(digest))

    def layer(self, number):
        return self.folder / oci.blob_path(json.loads(self.manifest)["layers"][number]["digest"])

    def replace(self, number, blob):
        listed = json.loads(self.manifest)
        listed["layers"][number]["digest"] = self.put(blob)
        self.manifest = json.dumps(listed).encode()
        self.put(self.manifest)

    def put(self, blob):
        digest = "sha256:" + hashlib.sha256(blob).hexdigest()
        (self.folder / oci.blob_path(digest)).write_bytes(blob)
        return digest

    def rewrite(self, number, change, *added):
        """Write a layer's archive anew, with each member as `change` returns it (None leaves it out), and more."""
        out = io.BytesIO()
        with (
            tarfile.open(self.layer(number)) as old,
            tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as new,
        ):
            for member in old:
                content = old.extractfile(member) if member.isreg() else None
                changed = change(member, content)
                if changed is not None:
                    new.addfile(*changed)
            for member in added:
                new.addfile(member)
        self.replace(number, gzip.compress(out.getvalue()))

    def difference(self):
        digest = oci.digest_of(self.manifest)
        return str(compare_blobs(self.image, digest, self.open, self.store, SILENT) or "")


@pytest.fixture
def layout(image, store, tmp_path):
    return Layout(image, tmp_path / "layout", store)


def test_what_was_written_is_found_the_same(layout):
    """A layout as it was written has no difference."""
    assert layout.difference() == ""


def with_attribute(path, **values):
    def change(member, content):
        if member.name == path:
            for name, value in values.items():
                setattr(member, name, value)
        return member, content

    return change


@pytest.mark.parametrize(
    ("path", "values", "said"),
    [
        ("etc/passwd", {"mode": 0o666}, "/etc/passwd: has mode 0666, expected 0640"),
        ("etc/passwd", {"gid": 0}, "/etc/passwd: belongs to 0:0, expected 0:42"),
        ("etc/passwd", {"mtime": 5}, "/etc/passwd: is dated 5 seconds after 1970, expected 315532800"),
        ("bin", {"linkname": "sbin"}, "/bin: links to sbin, expected usr/bin"),
        ("empty", {"type": tarfile.DIRTYPE}, "/empty: is a folder, expected a file"),
        (
            "empty",
            {"type": tarfile.FIFOTYPE},
            "it cannot be read after 1 of 11 entries: empty is a named pipe",
        ),
        ("empty", {"name": "emptied"}, "/empty: expected here, found /emptied"),
    ],
)
def test_a_changed_entry_is_named_with_its_layer(layout, path, values, said):
    """The first differing layer, the path in it and what differs are told."""
    layout.rewrite(0, with_attribute(path, **values))
    assert layout.difference() == f"layer 1 of 2 (base): {said}"


def test_changed_content_is_named(layout):
    """A file of the same size with other bytes is told by its hashes."""

    def change(member, content):
        return member, io.BytesIO(b"J" + content.read()[1:]) if member.name == "etc/passwd" else content

    layout.rewrite(1, change)
    assert layout.difference().startswith("layer 2 of 2 (top): /etc/passwd: has the SHA-256 ")


def test_a_missing_entry_and_one_too_many_are_named(layout):
    """What is no longer there is told, and what was added after the rest."""
    kept = layout.manifest
    layout.rewrite(
        0, lambda member, content: None if member.name == "usr/bin/su-again" else (member, content)
    )
    assert layout.difference() == "layer 1 of 2 (base): /usr/bin/su-again: is missing"
    layout.manifest = kept
    layout.rewrite(0, lambda member, content: (member, content), tarfile.TarInfo("usr/bin/zz"))
    assert layout.difference() == "layer 1 of 2 (base): /usr/bin/zz: is there, and should not be"


def test_another_form_of_the_same_entries_is_told(layout):
    """Where all entries are the same, it is said that only their form differs."""
    layer = layout.layer(0).read_bytes()
    layout.replace(0, gzip.compress(gzip.decompress(layer) + bytes(10240)))
    assert layout.difference().endswith(
        "(base): all entries are as expected, and only the form of the tar stream differs"
    )


def test_a_damaged_blob_is_told(layout):
    """A flipped byte, a blob cut short and a missing blob are differences, not tracebacks."""
    blob = layout.layer(0)
    whole = blob.read_bytes()
    blob.write_bytes(whole[: len(whole) // 2])
    assert (
        layout.difference()
        == "layer 1 of 2 (base): it cannot be decompressed: the compressed data ends too early"
    )
    blob.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    assert layout.difference().startswith("layer 1 of 2 (base): ")
    blob.unlink()
    assert layout.difference() == f"layer 1 of 2 (base): its blob sha256:{blob.name} is missing"


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_a_blob_that_is_no_file_is_told(layout, tmp_path, kind):
    """A link, a folder or a pipe in the place of a layer's blob is a difference, and is not waited for."""
    blob = layout.layer(0)
    blob.rename(tmp_path / "aside")
    if kind == "link":
        blob.symlink_to(tmp_path / "aside")
    elif kind == "folder":
        blob.mkdir()
    else:
        os.mkfifo(blob)
    assert layout.difference().startswith("layer 1 of 2 (base): its blob")
    assert " cannot be read: " in layout.difference()


def header(kind, size=0, content=b"", name="x"):
    info = tarfile.TarInfo(name)
    info.size, info.type = size or len(content), kind
    info.mode, info.linkname = 0o777, "usr/bin" if kind == tarfile.SYMTYPE else ""
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def record(name, value):
    text = f" {name}={value}\n"
    return f"{len(text) + 2}{text}".encode()


@pytest.mark.parametrize(
    "layer",
    [
        header(tarfile.XHDTYPE, 1 << 40),
        header(tarfile.GNUTYPE_LONGNAME, 1 << 40),
        header(tarfile.GNUTYPE_SPARSE, 1 << 40),
        header(tarfile.XHDTYPE, content=record("mtime", "nan")) + header(tarfile.SYMTYPE, name="bin"),
        header(tarfile.XHDTYPE, content=record("mtime", "inf")) + header(tarfile.SYMTYPE, name="bin"),
        header(tarfile.XHDTYPE, content=record("GNU.sparse.major", "1")) + header(tarfile.REGTYPE),
        header(tarfile.GNUTYPE_LONGNAME, content=b"x") * 5000,
        header(tarfile.REGTYPE, 1 << 40, name="bin"),
        b"no tar at all" * 100,
        b"",
    ],
    ids=["pax", "long name", "sparse", "nan", "inf", "pax sparse", "chain", "huge", "text", "nothing"],
)
def test_a_hostile_layer_is_a_difference(layout, layer):
    """Headers without end, times that are no numbers and the like are told of in words, and take no memory."""
    layout.replace(0, gzip.compress(layer + bytes(1 << 20), 1))
    assert layout.difference().startswith("layer 1 of 2 (base): ")


def test_a_header_without_end_takes_no_memory(layout):
    """A header of a gigabyte, packed to a megabyte, is not unpacked into memory."""
    bomb = gzip.compress(header(tarfile.XHDTYPE, 1 << 30), 1) + gzip.compress(bytes(1 << 28), 1) * 4
    layout.replace(0, bomb)
    with little_memory(900):  # the threads' stacks among it
        assert "a header of 1073741824 bytes" in layout.difference()


def test_an_endless_layer_is_not_read_to_its_end(layout):
    """Of a layer that is longer than the image's no more is unpacked than tells that."""
    bomb = gzip.compress(gzip.decompress(layout.layer(0).read_bytes()) + bytes(64 << 20), 1)
    layout.replace(0, bomb)
    with layout.layer(0).open("rb") as stream:
        reader = LayerReader(stream)
        reader.drain(1 << 20)
        assert stream.tell() < len(bomb)
    assert layout.difference().endswith("only the form of the tar stream differs")


def test_a_layer_is_unpacked_piece_by_piece(tmp_path):
    """Zeros, a thousandth when packed, are never all in memory: not even those of one piece of the blob."""
    path = tmp_path / "blob"
    path.write_bytes(gzip.compress(bytes(1 << 26)))
    with path.open("rb") as stream, little_memory(40):
        reader = LayerReader(stream)
        reader.drain(1 << 30)
    assert reader.plain == "sha256:" + hashlib.sha256(bytes(1 << 26)).hexdigest()


def test_another_compression_is_noticed(layout):
    """A blob that has the right content and not the manifest's bytes is a difference."""
    blob = layout.layer(0)
    blob.write_bytes(gzip.compress(gzip.decompress(blob.read_bytes()), 9))
    assert ", and the manifest says sha256:" in layout.difference()


def test_a_layer_need_not_be_compressed(layout):
    """A layer as `docker save` writes it is compared as any other."""
    plain = gzip.decompress(layout.layer(0).read_bytes())
    layout.replace(0, plain)
    assert layout.difference() == ""
    layout.replace(0, plain.replace(b"0000640\0", b"0000666\0", 1))
    assert layout.difference().startswith("layer 1 of 2 (base): ")


def test_a_foreign_configuration_is_noticed(layout, image):
    """The configuration, whose hash is the image's id, is read back as well."""
    (layout.folder / oci.blob_path(image.id)).write_bytes(b"{}")
    assert layout.difference().startswith("configuration: its blob is sha256:")


def test_lists_of_layers_are_compared_from_below(image):
    """The lowest differing, missing or additional layer is told."""
    ids = [layer.diff_id for layer in image.layers]
    other = "sha256:" + os.urandom(32).hex()
    assert compare_diff_ids(image, ids) is None
    assert f"layer 1 of 2 (base): its content is {other}" in str(compare_diff_ids(image, [other, other]))
    assert "layer 2 of 2 (top): missing" in str(compare_diff_ids(image, ids[:1]))
    assert "3 layers are there, expected 2" in str(compare_diff_ids(image, [*ids, other]))
