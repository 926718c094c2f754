"""Archives as trees: every layout and compression that records have, and the commit that archives name."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest
from archive_files import Item, Listing, tarred, with_flags, zipped
from git_repositories import Repository

from reprolake_builder.archives.formats import commit_named, folder_name, is_archive
from reprolake_builder.archives.unpack import Unpacked, unpack
from reprolake_builder.git_tree import TreeHasher


def unpacked(content: bytes, folder: Path, name: str = "a.zip") -> tuple[dict[str, bytes], Unpacked]:
    path = folder / "content"
    path.write_bytes(content)
    listing = Listing()
    told = unpack(path, name, listing)
    return listing.held, told


LAYOUTS = {
    "files without a folder": (["a.py", "b/c.py"], {"a.py", "b/c.py"}, ""),
    "one folder with all": (["top/", "top/a.py", "top/b/c.py"], {"a.py", "b/c.py"}, "top"),
    "a folder that holds one of its own name": (["a/", "a/a/", "a/a/x.txt"], {"a/x.txt"}, "a"),
    "a single file": (["x.txt"], {"x.txt"}, ""),
    "a folder and Apple's attributes": (["top/a.py", "__MACOSX/top/._a.py"], {"a.py"}, "top"),
    "files and Apple's attributes": (["a.py", "__MACOSX/._a.py"], {"a.py"}, ""),
    "a folder and what a file manager leaves": (["top/a.py", ".DS_Store", "._top"], {"a.py"}, "top"),
    "what a file manager leaves, inside": (["top/a.py", "top/.DS_Store"], {"a.py", ".DS_Store"}, "top"),
    "a folder and a file": (["top/a.py", "README"], {"top/a.py", "README"}, ""),
    "two folders": (["a/x", "b/y"], {"a/x", "b/y"}, ""),
    "dots before the names": (["./", "./top/", "./top/a.py"], {"a.py"}, "top"),
    "git's own folder": (["top/a.py", "top/.git/config", "top/sub/.git"], {"a.py"}, "top"),
    "an empty folder": (["top/a.py", "top/empty/"], {"a.py"}, "top"),
    "names that are no ASCII": (["größe/é.txt"], {"é.txt"}, "größe"),
}


@pytest.mark.parametrize(("names", "held", "top"), LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_layouts(make, names, held, top, tmp_path):
    """Nothing is lost, whatever lies at the top: the one folder that holds all gives way to what is in it."""
    found, told = unpacked(make(*names), tmp_path)
    assert (set(found), told.top) == (held, top)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_what_is_left_out_is_told(make, tmp_path):
    """Git's own folder, a file manager's leavings and empty folders are named in notes."""
    _, told = unpacked(make("t/a", "t/.git/x", "t/data/", "__MACOSX/t/._a"), tmp_path)
    assert len(told.notes) == 3
    assert "t/data" in told.notes[-1]
    assert unpacked(make("t/", "t/a"), tmp_path)[1].notes == ()


@pytest.mark.parametrize("make", [zipped, tarred])
def test_what_files_are_is_kept(make, tmp_path):
    """Executable bits, symbolic links and contents arrive as they were packed."""
    names = (
        Item("t/run.sh", b"#!", executable=True),
        Item("t/d/latest", target="../run.sh"),
        Item("t/empty", b""),
    )
    assert unpacked(make(*names), tmp_path)[0] == {"run.sh*": b"#!", "d/latest": b"->../run.sh", "empty": b""}


def _zstandard(data: bytes) -> bytes:
    from backports import zstd

    return zstd.compress(data)


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, bz2.compress, lzma.compress, _zstandard],
    ids=["plain", "gzip", "bzip2", "xz", "zstd"],
)
def test_compressions(compress, tmp_path):
    """The first bytes tell how a tar archive is compressed; one in several streams is read to its end."""
    content = tarred(Item("a", b"a" * 3_000_000), "b")
    halves = content[:700_000], content[700_000:]
    for packed in (compress(content), b"".join(map(compress, halves))):
        found, _ = unpacked(packed, tmp_path, "a.tar.something")
        assert {name: len(text) for name, text in found.items()} == {"a": 3_000_000, "b": 1}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_methods_of_zip(method, tmp_path):
    """Deflate and bzip2 are read."""
    assert unpacked(zipped(Item("a", b"a" * 100_000), method=method), tmp_path)[0] == {"a": b"a" * 100_000}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_forms_of_tar(form, tmp_path):
    """Long names and targets are read in every form that tar has for them."""
    long = (
        "/".join(["folder"] * 20) if form != tarfile.USTAR_FORMAT else "/".join(["folder"] * 20)[:140] + "/x"
    )
    names = ["r", f"t/{long}/file", Item("t/link", target="../r" if form == tarfile.USTAR_FORMAT else long)]
    found, _ = unpacked(tarred(*names, form=form), tmp_path)
    assert set(found) == {"r", f"t/{long}/file", "t/link"}


def test_odd_times_and_owners_do_not_matter(tmp_path):
    """A file from before 1970, and one whose owner is no number, are read as any other."""
    info = tarfile.TarInfo("a")
    info.mtime, info.uid = -1, -2
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[116:124] = b"nogroup\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert unpacked(bytes(header) + bytes(1024), tmp_path, "a.tar")[0] == {"a": b""}


@pytest.mark.parametrize(("outer", "inner"), [(zipped, zipped), (zipped, tarred), (tarred, zipped)])
def test_an_archive_alone_in_an_archive_is_unpacked_too(outer, inner, tmp_path):
    """What is in the inner one counts, whether it lies in a folder or not; one more level is left as it is."""
    core = inner("top/a.py", "top/b.py")
    name = "r.zip" if inner is zipped else "r.tar"
    for path in (name, f"O/{name}"):
        found, told = unpacked(outer(Item(path, core)), tmp_path)
        assert (set(found), told.top) == ({"a.py", "b.py"}, "top")
    deeper = zipped(Item("two.zip", zipped(Item("one.zip", zipped("a.py")))))
    assert set(unpacked(deeper, tmp_path)[0]) == {"one.zip"}


def test_an_archive_beside_files_is_a_file(tmp_path):
    """A notebook's own data.zip stays what it is."""
    found, _ = unpacked(zipped("t/a.ipynb", Item("t/data.zip", zipped("x"))), tmp_path)
    assert set(found) == {"a.ipynb", "data.zip"}


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_what_git_packs_is_the_tree_of_the_commit(form, tmp_path):
    """The tree's hash is that of the commit, and the commit itself is told."""
    repository = Repository(tmp_path / "repo")
    repository.write(run__sh="#!/bin/sh\n", a___a___x="x")
    (repository.folder / "run.sh").chmod(0o755)
    (repository.folder / "latest").symlink_to("a/a/x")
    commit = repository.commit()
    packed = tmp_path / f"r.{form}"
    repository.git("archive", f"--format={form}", "--prefix=O-R-abc/", "-o", str(packed), commit)
    hasher = TreeHasher()
    told = unpack(packed, packed.name, hasher)
    assert hasher.tree_hash == repository.git("rev-parse", f"{commit}^{{tree}}")
    assert (told.commit, told.top, commit_named(packed)) == (commit, "O-R-abc", commit)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_other_archives_name_no_commit(make, tmp_path):
    """What somebody wrote into a comment is believed only if it has the form of a commit."""
    assert unpacked(make("a"), tmp_path)[1].commit == ""


def test_zips_of_windows(tmp_path):
    """Backslashes of Windows's own programs part folders; names in the code page of old are read as the standard has it."""
    old = zipped("t/a").replace(b"t/a", b"t\\a")
    system = bytearray(old)
    system[old.find(b"PK\x01\x02") + 5] = 0
    assert set(unpacked(bytes(system), tmp_path)[0]) == {"a"}
    assert set(unpacked(zipped("e.txt").replace(b"e.txt", b"\x82.txt"), tmp_path)[0]) == {"é.txt"}
    assert set(unpacked(with_flags(zipped("a"), 0), tmp_path)[0]) == {"a"}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("a.zip", "a"),
        ("O/R-v1.2.ZIP", "O/R-v1.2"),
        ("a.tar.gz", "a"),
        ("a.tgz", "a"),
        ("a.tar.bz2", "a"),
        ("a.tar.xz", "a"),
        ("a.tar.zst", "a"),
        ("a.tar", "a"),
        ("a.csv.gz", ""),
        ("a.whl", ""),
        ("zip", ""),
        (".zip", ""),
        ("a/.zip", ""),
    ],
)
def test_names_of_archives(name, folder):
    """The suffix tells which files are meant to be unpacked, and what is left of the name."""
    assert is_archive(name) == bool(folder)
    if folder:
        assert folder_name(name) == folder
