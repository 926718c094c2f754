"""How much a run has written so far, counted in small steps while it writes: what lies there is hostile and may be endless."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 128
_BLOCK = 512
_NODE = 1 << 10  # bytes that a name and what is known of it may take, also where there is nothing in it
_PAUSE = 1.0  # seconds between two counts, at least
_SHARE = 20  # a count may take a twentieth of the time
_LEAST_NODES = 1000


class UncountableError(Exception):
    """What a run wrote cannot be counted; the text says why."""


class DiskUse:
    """Counts what lies in `folders` (host paths), again and again."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._walk: Iterator[int] | None = None
        self._next = 0.0
        self._spent = 0.0
        self._counted = 0
        self.bytes = 0

    def look(self, seconds: float) -> int:
        """Go on counting for so long at most, and return the bytes that are known to be there. Raises UncountableError."""
        begun = now = time.monotonic()
        if self._walk is None:
            if now < self._next:
                return self.bytes
            self._walk, self._spent, self._counted = self._sizes(), 0.0, 0
        for size in self._walk:
            self._counted += size
            now = time.monotonic()
            if now > begun + seconds:
                break
        else:
            self.bytes, self._walk = self._counted, None
            self._next = now + max(_PAUSE, _SHARE * (self._spent + now - begun))
        self._spent += now - begun
        return max(self.bytes, self._counted)

    def _sizes(self) -> Iterator[int]:
        """Yield the bytes on disk of one entry after the other; what vanishes or cannot be read meanwhile is passed over."""
        for folder in self._folders:
            try:
                yield from self._below(os.open(folder, _OPEN))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except PermissionError as error:
                raise UncountableError(
                    "it closed a folder, so that nobody can count what is in it"
                ) from error

    def _below(self, top: int) -> Iterator[int]:
        waiting = [(top, self._entries(top))]
        try:
            while waiting:
                at, entries = waiting[-1]
                entry = next(entries, None)
                if entry is None:
                    os.close(waiting.pop()[0])
                    continue
                with contextlib.suppress(
                    FileNotFoundError, NotADirectoryError
                ):  # gone, or exchanged, meanwhile
                    info = entry.stat(follow_symlinks=False)
                    is_folder = stat.S_ISDIR(info.st_mode)
                    # a file of many names is met once for each of them
                    yield _NODE + info.st_blocks * _BLOCK // (1 if is_folder else max(1, info.st_nlink))
                    if is_folder:
                        inside = self._opened(entry.name, at, len(waiting))
                        waiting.append((inside, self._entries(inside)))
        finally:
            for descriptor, _ in waiting:
                os.close(descriptor)

    @staticmethod
    def _opened(name: str, at: int, depth: int) -> int:
        if depth == _DEEPEST:
            raise UncountableError(f"its folders lie deeper than {_DEEPEST} in one another")
        return os.open(name, _OPEN, dir_fd=at)

    @staticmethod
    def _entries(folder: int) -> Iterator[os.DirEntry[str]]:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            yield from entries


def lacks_room(folder: Path, free_bytes: int) -> bool:
    """Whether the disk that a host folder lies on has less than that free for everybody, or hardly room for another file."""
    info = os.statvfs(folder)
    return info.f_bavail * info.f_frsize < free_bytes or (info.f_files > 0 and info.f_favail < _LEAST_NODES)
