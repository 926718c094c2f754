"""Files on servers, read in parts."""

from __future__ import annotations

import io
import random
import zipfile

import pytest
from record_server import Site, serving_records

from reprolake_builder.download import Downloader
from reprolake_builder.errors import FetchError
from reprolake_builder.providers.records import remote_file
from reprolake_builder.providers.records.remote_file import opened_remotely
from reprolake_builder.site import Site as Settings

CONTENT = random.Random(0).randbytes(300_000)


@pytest.fixture
def site():
    with serving_records(Site()) as served:
        yield served


def remote(site, content):
    site.files[("5", "x.zip")] = content
    url = f"{site.url}/api/records/5/files/x.zip/content"
    return opened_remotely(url, len(content), Downloader(Settings(archives={})))


def test_parts_are_those_of_the_file(site):
    """Reading, seeking and telling give what a local file gives, also at and beyond its end."""
    here, there = io.BytesIO(CONTENT), remote(site, CONTENT)
    for offset, whence, size in ((0, 0, 10), (-22, 2, 22), (-70_000, 2, 70_000), (5, 0, 100_000), (3, 1, 7), (0, 2, 9),
                                 (10, 2, 1), (299_990, 0, 100), (0, 0, -1)):  # fmt: skip
        assert here.seek(offset, whence) == there.seek(offset, whence)
        assert here.read(size) == there.read(size)
        assert here.tell() == there.tell()
    with pytest.raises(OSError, match="before"):
        there.seek(-1)


def test_of_a_large_zip_only_the_ends_are_fetched(site):
    """A member of a zip archive is read without the rest of it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("top/data.bin", CONTENT * 10)
        archive.writestr("top/codemeta.json", "{}")
    with zipfile.ZipFile(remote(site, buffer.getvalue())) as archive:
        assert archive.read("top/codemeta.json") == b"{}"
    spans = [part.removeprefix("bytes=").split("-") for _, part, _ in site.asked]
    assert sum(int(last) - int(first) + 1 for first, last in spans) < 200_000


def test_no_archive_makes_us_fetch_without_end(site, monkeypatch):
    """A directory of entries that claims to be endless is not followed."""
    monkeypatch.setattr(remote_file, "_MOST", 100_000)
    with pytest.raises(FetchError, match="too many parts"):
        remote(site, CONTENT).read()


def test_a_server_that_gives_other_parts(site):
    """A part that is not the one asked for, or none, is an error and never content."""
    there = remote(site, CONTENT)
    site.ranges = False
    with pytest.raises(FetchError, match="not given in parts"):
        there.read(10)
    site.ranges = True
    site.files[("5", "x.zip")] = CONTENT[:100]
    with pytest.raises(FetchError, match="less than the part"):
        there.read(10)
