"""The archive in a record that its repository was published as: what its ends tell, what is in it, and all of it."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from reprolake_builder.archives.formats import is_archive
from reprolake_builder.archives.tars import pax_comment
from reprolake_builder.archives.zips import TAIL, is_readable, zip_comment_commit
from reprolake_builder.download import Offer
from reprolake_builder.errors import FetchError
from reprolake_builder.git_tree import TreeError
from reprolake_builder.providers.records.candidates import repository_name
from reprolake_builder.providers.records.record import Record, RecordFile
from reprolake_builder.providers.records.remote_file import opened_remotely
from reprolake_builder.tools import Tools

_HEAD = 1 << 13  # bytes: a tar's first headers, also compressed
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LARGEST_MEMBER = 1 << 20  # bytes of a file that describes a project
_DESCRIBING = (".zenodo.json", "CITATION.cff", "codemeta.json", ".escape.yml", "pyproject.toml")
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, KeyError)


class RecordArchive:
    """The one archive of a record, of which as little is fetched as will do.

    Up to `most` bytes it is fetched whole where the server gives no parts.
    """

    def __init__(self, file: RecordFile, most: int, tools: Tools) -> None:
        self.file = file
        self.most = most
        self._tools = tools

    @functools.cached_property
    def commit(self) -> str:
        """The commit that the archive itself says it was made of (git's and GitHub's do), "" for none.

        Raises FetchError when its ends cannot be had.
        """
        if self.file.key.lower().endswith(".zip"):
            length = min(TAIL, self.file.size)
            return zip_comment_commit(self._part(self.file.size - length, length))
        head = self._part(0, min(_HEAD, self.file.size))
        stream = gzip.GzipFile(fileobj=io.BytesIO(head)) if head.startswith(b"\x1f\x8b") else io.BytesIO(head)
        with contextlib.suppress(TreeError, *_UNREADABLE):
            comment = pax_comment(stream)  # type: ignore[arg-type]
            return comment if _COMMIT.fullmatch(comment) else ""
        return ""

    @functools.cached_property
    def top(self) -> str:
        """The folder at a zip archive's top, "" when its first entry lies in none. Raises FetchError."""
        head = self._part(0, min(_HEAD, self.file.size))
        if not head.startswith(b"PK\x03\x04"):
            return ""
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")].decode("utf-8", "replace")
        return name.partition("/")[0] if "/" in name and name.isprintable() else ""

    def _part(self, first: int, length: int) -> bytes:
        try:
            return self._tools.downloader.part(self.file.url, first, length) if length else b""
        except FetchError as error:
            if error.transient or self.file.size > self.most:
                raise
        with self.fetched().open("rb") as stream:
            stream.seek(first)
            return stream.read(length)

    def describing(self) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of the files at the top that describe the project; nothing for other archives than zip.

        Raises FetchError when the server gives no parts of files.
        """
        if not self.file.key.lower().endswith(".zip"):
            return
        with (
            contextlib.suppress(*_UNREADABLE),
            zipfile.ZipFile(
                opened_remotely(self.file.url, self.file.size, self._tools.downloader)
            ) as archive,
        ):
            for item in _at_the_top(archive):
                with archive.open(item) as stream:
                    content = stream.read(_LARGEST_MEMBER + 1)
                if len(content) <= _LARGEST_MEMBER:
                    yield item.filename, content

    def fetched(self) -> Path:
        """Return the host path of the archive, brought whole and checked. Raises FetchError."""
        return self._whole

    @functools.cached_property
    def _whole(self) -> Path:
        file, tools = self.file, self._tools
        offer = Offer(file.key, file.url, size=file.size, md5=file.md5)
        arrived = tools.downloader.receive(offer, tools.store, tools.progress)
        return tools.store.archive(arrived.sha256)


def main_archive(
    record: Record, repositories: Iterable[str], most: int, tools: Tools
) -> RecordArchive | None:
    """Return the archive that holds what was published; None when there is none, or no telling which.

    Of several it is the one named as GitHub's are, OWNER/REPO-TAG.zip, or after the first of the repositories (URLs).
    """
    archives = [file for file in record.files if is_archive(file.key)]
    names = [repository_name(url) for url in repositories][:1]
    choices = [
        archives,
        [file for file in archives if "/" in file.key],
        *([file for file in archives if file.key.lower().startswith(f"{name}-")] for name in names),
    ]
    return next((RecordArchive(choice[0], most, tools) for choice in choices if len(choice) == 1), None)


def _at_the_top(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the describing files that lie highest, in the order in which they are believed."""
    found: dict[str, zipfile.ZipInfo] = {}
    for item in archive.infolist():
        *folders, name = item.filename.split("/")
        small = 0 < item.file_size <= _LARGEST_MEMBER
        if name in _DESCRIBING and len(folders) <= 1 and small and is_readable(item):
            known = found.get(name)
            if known is None or known.filename.count("/") > len(folders):
                found[name] = item
    return [found[name] for name in _DESCRIBING if name in found]
