"""Source distributions made to lead out of their folder, to fill the disk or to confuse: none leaves anything behind."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sdists import archive

from reprolake_builder.documents.lock import SdistOrigin
from reprolake_builder.engines.sdist import sdist_tree
from reprolake_builder.errors import SourceBuildError
from reprolake_builder.store import Store


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def unpacked(content: bytes, store: Store, filename: str = "a-1.tar.gz"):
    sha256 = hashlib.sha256(content).hexdigest()
    store.add_archive([content], sha256, filename)
    return sdist_tree(SdistOrigin(filename=filename, size=len(content), sha256=sha256), store)


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def listed(tree) -> dict[str, str]:
    return {entry.path.decode(): entry.kind for entry in tree.entries}


def test_an_honest_archive_is_unpacked_without_its_top_folder(store):
    """Files, folders and links are there, git's own folder is not; a zip is as good."""
    link = member("a-1/latest", tarfile.SYMTYPE, "setup.py")
    hard = member("a-1/copy.py", tarfile.LNKTYPE, "a-1/setup.py")
    content = archive({"a-1/setup.py": "x", "a-1/src/a.py": "y", "a-1/.git/config": "z"}, link, hard)
    assert listed(unpacked(content, store)) == {
        "build": "d", "build/setup.py": "f", "build/src": "d", "build/src/a.py": "f", "build/latest": "l", "build/copy.py": "f",
    }  # fmt: skip
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as zipped:
        zipped.writestr("a-1/setup.py", "x")
    assert listed(unpacked(stream.getvalue(), store, "a-1.zip")) == {"build": "d", "build/setup.py": "f"}


@pytest.mark.parametrize(
    ("texts", "others"),
    [
        ({"a-1/../../evil": "x"}, ()),
        ({"/etc/evil": "x"}, ()),
        ({"../evil": "x"}, ()),
        ({"a-1/x": "x", "b-1/y": "y"}, ()),
        ({"setup.py": "x"}, ()),
        ({"a-1/x": "x"}, (member("a-1/dev", tarfile.CHRTYPE),)),
        ({"a-1/x": "x"}, (member("a-1/pipe", tarfile.FIFOTYPE),)),
        ({"a-1/x": "x"}, (member("a-1/hard", tarfile.LNKTYPE, "/etc/passwd"),)),
        ({"a-1/x": "x"}, (member("a-1/x", tarfile.SYMTYPE, "/etc/passwd"),)),
    ],
    ids=["up", "absolute", "up first", "two tops", "no top", "device", "pipe", "hard link out", "twice"],
)
def test_what_leads_out_is_refused(store, texts, others):
    """The archive is refused as a whole, and no tree of it is kept."""
    with pytest.raises(SourceBuildError, match=r"a-1\.tar\.gz cannot be unpacked"):
        unpacked(archive(texts, *others), store)
    assert not list((store.root / "trees").glob("*/*/index"))


def test_nothing_is_written_through_a_link(store, tmp_path):
    """A link to a folder of the host, and a file below that name, do not meet."""
    outside = tmp_path / "outside"
    outside.mkdir()
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as stream:
        stream.addfile(member("a-1/way", tarfile.SYMTYPE, str(outside)))
        entry = tarfile.TarInfo("a-1/way/evil")
        entry.size = 1
        stream.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(SourceBuildError):
        unpacked(plain.getvalue(), store)
    assert os.listdir(outside) == []


def test_what_would_fill_the_disk_is_refused_before_anything_is_written(store):
    """Nine gigabytes of zeros are an archive of a few megabytes, and are counted from its headers."""
    entry = tarfile.TarInfo("a-1/zeros")
    entry.size = 9 << 30
    with pytest.raises(SourceBuildError, match="cannot be unpacked"):
        unpacked(entry.tobuf(), store)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=600), st.sampled_from(["a-1.tar.gz", "a-1.zip"]))
def test_noise_is_refused(store, noise, filename):
    """Bytes that are no archive are told as such."""
    with pytest.raises(SourceBuildError, match="cannot be unpacked"):
        unpacked(noise, store, filename)
