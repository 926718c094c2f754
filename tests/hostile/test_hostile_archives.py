"""Archives made to lead out of their folder, to fill the disk or to confuse: each is refused by name, nothing is left behind."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile
import tracemalloc
import zipfile

import pytest
from archive_files import Item, Listing, on_disk, tarred, with_flags, writer, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reprolake_builder.archives.members import Limits
from reprolake_builder.archives.unpack import unpack
from reprolake_builder.git_tree import TreeError
from reprolake_builder.process import printable


def refused(content: bytes, folder, limits: Limits | None = None) -> str:
    """Return why the archive is refused, once it is known to have left nothing."""
    path = folder / "content"
    path.write_bytes(content)
    sink = writer(folder / "out")
    with pytest.raises(TreeError, match=r"^bad\.zip cannot be unpacked: ") as caught:
        unpack(path, "bad.zip", sink, limits=limits or Limits())
    assert on_disk(folder / "out") == {}
    (folder / "out").rmdir()
    return str(caught.value)


NAMES = {
    "absolute": (["a", "/etc/evil"], "/etc/evil leads out"),
    "up": (["a/../../evil"], "a/../../evil leads out"),
    "up at once": (["../evil", "a"], "../evil leads out"),
    "up and back": (["a/../b", "c"], "a/../b leads out"),
    "up at the end": (["a/..", "b"], r"a/.. leads out"),
    "twice": (["a/x", "a/x"], "stands in it twice"),
    "twice by dots": (["a/x", "./a//x"], "stands in it twice"),
    "a file and a folder": (["r", "a", "a/x"], "a is a file and a folder"),
    "case": (["r", "a/README", "a/readme"], "a/README and a/readme differ only in case"),
    "case of a folder": (["r", "A/x", "a/y"], "A and a differ only in case"),
    "accents": (["r", "e\u0301", "\u00e9"], "how their accents are written"),
    "a control character": (["a\x1b[31m"], "holds control characters"),
    "a line break": (["a\nb"], "holds control characters"),
    "a long name": (["a" * 300], "too long"),
    "a long path": (["/".join(["abcdefgh"] * 500)], "too long"),
    "a folder alone": (["a/"], "it holds no files"),
    "an absolute link": (["r", Item("a", target="/etc/passwd")], "symbolic link a leads out"),
    "a link up": (["r", Item("a/b", target="../../etc/passwd")], "a/b leads out"),
    "a link up, once the folder is gone": ([Item("t/b", target="../x"), "t/x"], "b leads out"),
    "a link through a link": (
        ["r", "x/y/f", Item("x/y/d", target="."), Item("x/l", target="y/d/../../../..")],
        "x/l leads out",
    ),
    "a file through a link": (["r", Item("a", target="/tmp"), "a/evil"], "a is a file and a folder"),
    "a file through a link inside": (["r/x", Item("a", target="r"), "a/evil"], "a is a file and a folder"),
}  # fmt: skip


@pytest.mark.parametrize(("names", "reason"), NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_entries_without_a_place_are_named(make, names, reason, tmp_path):
    """The archive is refused as a whole before anything is written, and the failure names the entry."""
    if make is zipped and any(names.count(name) > 1 for name in names):
        with pytest.warns(UserWarning, match="Duplicate name"):
            content = make(*names)
    else:
        content = make(*names)
    assert reason in refused(content, tmp_path)


def test_names_that_are_no_text_are_refused(tmp_path):
    """A tree's names are UTF-8."""
    assert r"a\xff" in refused(_renamed(b"a\xff"), tmp_path)


def _renamed(name: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(
        fileobj=stream, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape"
    ) as archive:
        archive.addfile(tarfile.TarInfo(name.decode("utf-8", "surrogateescape")))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.LNKTYPE, "a/evil is a hard link"),
        (tarfile.CHRTYPE, "a/evil is a character device"),
        (tarfile.BLKTYPE, "a/evil is a block device"),
        (tarfile.FIFOTYPE, "a/evil is a named pipe"),
        (tarfile.GNUTYPE_SPARSE, "a/evil is a sparse file"),
        (b"M", "a/evil is the rest of a file"),
        (b"?", "a/evil is of the unknown kind ?"),
    ],
)
def test_kinds_that_no_tree_holds(kind, reason, tmp_path):
    """Devices, pipes, hard links and the like are named with what they are."""
    info = tarfile.TarInfo("a/evil")
    info.type, info.linkname = kind, "a/x"
    assert reason in refused(
        tarred("a/x")[: -1024 * 9].rstrip(b"\0").ljust(1024, b"\0") + info.tobuf() + bytes(1024), tmp_path
    )


@pytest.mark.parametrize(
    "mode", [0o010644, 0o020644, 0o060644, 0o140644], ids=["pipe", "character", "block", "socket"]
)
def test_kinds_in_zip(mode, tmp_path):
    """A zip's mode may say that an entry is a device, too."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("a/evil")
        info.external_attr = mode << 16
        archive.writestr(info, b"")
    assert "a/evil is neither a file" in refused(stream.getvalue(), tmp_path)


def test_encrypted_archives_are_named(tmp_path):
    """There is nobody to ask for a password."""
    assert "a is encrypted" in refused(with_flags(zipped("a"), 1), tmp_path)


def test_unknown_compression_is_named(tmp_path):
    """Deflate64 and the like are told by number."""
    content = bytearray(zipped("a"))
    content[content.find(b"PK\x01\x02") + 10] = 9
    assert "(number 9)" in refused(bytes(content), tmp_path)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress])
def test_bombs_of_tar(compress, tmp_path):
    """What unpacks to very much more than it is, is stopped while its headers are read, before anything is written."""
    content = compress(tarred(Item("a", bytes(1 << 20)), Item("b", bytes(1 << 20))))
    assert "unpacks to more than 1048576 bytes" in refused(content, tmp_path, Limits(size=1 << 20))
    if compress is lzma.compress:
        assert "unpacks to more than" in refused(content, tmp_path, Limits(ratio=100, free=1 << 10))


def test_bombs_of_zip(tmp_path):
    """Declared sizes are added up first; one that lies about its own is damaged."""
    content = zipped(Item("a", bytes(1 << 20)), Item("b", bytes(1 << 20)), method=zipfile.ZIP_DEFLATED)
    assert "would unpack to 2097152 bytes" in refused(content, tmp_path, Limits(size=1 << 20))
    assert "would unpack to 2097152 bytes" in refused(content, tmp_path, Limits(ratio=100, free=1 << 10))


def test_an_archive_in_an_archive_has_no_room_of_its_own(tmp_path):
    """Packing a bomb twice does not multiply what it may unpack to."""
    inner = zipped(Item("zeros", bytes(8 << 20)), method=zipfile.ZIP_DEFLATED)
    outer = zipped(Item("inner.zip", inner), method=zipfile.ZIP_DEFLATED)
    assert "would unpack to 8388608 bytes" in refused(outer, tmp_path, Limits(ratio=250, free=1 << 10))


@pytest.mark.parametrize("make", [zipped, tarred])
def test_too_many_entries(make, tmp_path):
    """Entries are counted, files or not."""
    assert "more than 10 entries" in refused(
        make(*(f"{n}/" for n in range(11)), "a"), tmp_path, Limits(entries=10)
    )


def test_headers_without_end_are_not_held_in_memory(tmp_path):
    """An extended header of gigabytes is refused by what it says of itself."""
    header = tarfile.TarInfo("x")
    header.type, header.size = b"x", 4 << 30
    tracemalloc.start()
    assert "it has a header of 4294967296 bytes" in refused(header.tobuf() + bytes(1024), tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def test_links_that_stand_for_endless_ways_end(tmp_path):
    """Links that lead through each other many times cost no more than their number."""
    deep = [Item(f"l{n}", target="/".join([f"l{n + 1}"] * 100)) for n in range(3000)]
    content = tarred("r", *deep)
    assert "through each other without end" in refused(content, tmp_path)


def test_circles_of_links_are_kept(tmp_path):
    """A link to itself leads nowhere, and so not out."""
    path = tmp_path / "a"
    path.write_bytes(tarred("r", Item("a", target="b"), Item("b", target="a"), Item("c", target="c/x")))
    listing = Listing()
    unpack(path, "a", listing)
    assert set(listing.held) == {"r", "a", "b", "c"}


@pytest.mark.parametrize("cut", [600, 1025, 2048])
def test_a_tar_that_ends_early_is_damaged(cut, tmp_path):
    """Half an archive is none."""
    assert "ends too early" in refused(tarred(Item("a", bytes(1500)), "b")[:cut], tmp_path)


def test_a_zip_whose_content_was_changed_is_damaged(tmp_path):
    """Its checksums tell."""
    path = tmp_path / "bad.zip"
    path.write_bytes(zipped(Item("a", b"precious")).replace(b"precious", b"worthles"))
    with pytest.raises(
        TreeError, match=r"bad\.zip cannot be unpacked: it is damaged: Bad CRC-32 for file 'a'"
    ):
        unpack(path, "bad.zip", Listing())


@pytest.mark.parametrize(
    "content", [b"", b"<html>not found</html>", gzip.compress(b"text", mtime=0), b"PK\x03\x04", bytes(2000)]
)
def test_other_files_are_no_archives(content, tmp_path):
    """A page that says that there is nothing, and whatever else is no archive, is told as such."""
    assert refused(content, tmp_path)


NAME = st.text(
    st.sampled_from("ab./\\\0\n\u00e9\udc80 ~-") | st.characters(exclude_categories=()), max_size=12
)
ENTRIES = st.lists(
    st.tuples(NAME, st.sampled_from(["file", "link", "folder", "hard", "pipe"]), NAME), max_size=8
)


def _tar_of(entries) -> bytes:
    stream = io.BytesIO()
    kinds = {"file": b"0", "link": b"2", "folder": b"5", "hard": b"1", "pipe": b"6"}
    with tarfile.open(
        fileobj=stream, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogatepass"
    ) as archive:
        for name, kind, target in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kinds[kind], target
            archive.addfile(info)
    return stream.getvalue()


def _zip_of(entries) -> bytes:
    stream = io.BytesIO()
    modes = {"file": 0o100644, "link": 0o120777, "folder": 0o040755, "hard": 0, "pipe": 0o010644}
    with zipfile.ZipFile(stream, "w") as archive:
        for number, (_, kind, target) in enumerate(entries):
            info = zipfile.ZipInfo(f"{number:012}")
            info.external_attr = modes[kind] << 16
            archive.writestr(info, target.encode("utf-8", "surrogatepass"))
    content = stream.getvalue()
    for number, (name, _, _) in enumerate(entries):
        # Written by ourselves: Python's module would clean the name.
        content = content.replace(
            b"%012d" % number, name.encode("utf-8", "surrogatepass")[:12].ljust(12, b"_")
        )
    return content


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(ENTRIES, st.sampled_from([_tar_of, _zip_of]))
def test_no_archive_writes_outside_its_folder(tmp_path_factory, entries, make):
    """Whatever the entries are: all or nothing lies in the folder, nothing beside it, and no link leads out."""
    place = tmp_path_factory.mktemp("archive")
    path = place / "content"
    path.write_bytes(make(entries))
    sink = writer(place / "out")
    try:
        unpack(path, "a", sink)
    except TreeError:
        assert on_disk(place / "out") == {}
    assert {entry.name for entry in os.scandir(place)} == {"content", "out"}
    inside = os.path.realpath(place / "out")
    for name, kind in on_disk(place / "out").items():
        if kind == "link":
            assert os.path.realpath(place / "out" / name).startswith(inside)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_damage_is_told_or_does_no_harm(tmp_path_factory, data):
    """Bytes changed anywhere in an archive give our own error, or an archive like any other."""
    make = data.draw(st.sampled_from([zipped, tarred]))
    content = bytearray(
        make(Item("t/a", b"text"), Item("t/l", target="a"), Item("t/x", b"y", executable=True))
    )
    del content[4096:]
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    place = tmp_path_factory.mktemp("archive")
    (place / "content").write_bytes(content)
    try:
        unpack(place / "content", "a", writer(place / "out"))
    except TreeError as error:
        told = str(error)
    else:
        told = ""
    assert told == printable(told)
    assert {entry.name for entry in os.scandir(place)} == {"content", "out"}
