"""A file on a server, of which only the parts are fetched that are looked at."""

from __future__ import annotations

import io
from typing import IO, cast

from reprolake_builder.download import Downloader
from reprolake_builder.errors import FetchError

_WINDOW = 1 << 16  # bytes fetched at least
_MOST = 12 << 20  # bytes of one file in all: who needs more fetches the whole
_MOST_QUESTIONS = 60


class RemoteFile(io.RawIOBase):
    """A file of `size` bytes behind an address, for readers that seek. Reading raises FetchError."""

    def __init__(self, url: str, size: int, downloader: Downloader) -> None:
        super().__init__()
        self._url = url
        self._size = size
        self._downloader = downloader
        self._at = 0
        self._window = (0, b"")
        self._fetched = 0
        self._questions = 0

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def seekable(self) -> bool:
        """Whether places in it can be chosen: always."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place and return it. Raises OSError for one before the beginning."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError("a place before the file's beginning")
        self._at = start + offset
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, all that are left for -1, fewer at the end."""
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        found = self._part(wanted) if wanted else b""
        self._at += len(found)
        return found

    def _part(self, length: int) -> bytes:
        first, data = self._window
        if not first <= self._at <= self._at + length <= first + len(data):
            # What follows the end is read from back to front by zip's readers: one window holds it.
            start = max(0, min(self._at, self._size - _WINDOW))
            whole = min(max(self._at + length - start, _WINDOW), self._size - start)
            self._fetched += whole
            self._questions += 1
            if self._fetched > _MOST or self._questions > _MOST_QUESTIONS:
                raise FetchError(f"{self._url} would have to be fetched in too many parts")
            first, data = start, self._downloader.part(self._url, start, whole)
            self._window = (first, data)
        return data[self._at - first : self._at - first + length]


def opened_remotely(url: str, size: int, downloader: Downloader) -> IO[bytes]:
    """Return a file on a server as one that is open here."""
    return cast("IO[bytes]", RemoteFile(url, size, downloader))
