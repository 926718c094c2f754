"""Taking files out of folders that a notebook wrote: nothing is followed, nothing is run, nothing has to be believed.

Every name is opened as a mere handle (O_PATH) that does not follow links and cannot act; only what then proves to be a
plain file or a folder is opened for reading, through that same handle, so that nothing can be swapped in between.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from reprolake_runner.placement import Names

_PIECE = 1 << 20
_ZEROS = bytes(_PIECE)
_NAMED = 5
_SHOWN = 100
_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DELETED = "deleted from the repository by the notebook"
_LEFT_BEHIND = {b"__pycache__", b".ipynb_checkpoints"}

State = Literal["output", "created", "changed"]
"""Written to the output folder · new in the repository · a file of the repository with other bytes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a run is kept: bytes in total (as files say, holes included), entries in total, depth of folders.

    `path` is the length of a path in the result, in bytes: half of what Linux takes, as it has yet to lie in some folder.
    """

    total_bytes: int = 50 << 30
    entries: int = 100_000
    depth: int = 64
    path: int = 2000


@dataclass(frozen=True, slots=True)
class CollectedFile:
    """A file that was copied: `path` is relative to the result, `original` the name it had when that was another one."""

    path: str
    size: int
    sha256: str
    state: State
    original: str = ""


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder being walked.

    `handle` and `pristine` are descriptors of it and of what was there before the run; `path` is its safe path in the
    result, of which the first `root` characters are not the notebook's; `original` its true path below that.
    """

    handle: int
    pristine: int | None
    path: str
    root: int
    original: bytes
    depth: int
    state: State


@dataclass
class Collector:
    """Copies files below `target` (host folder of ours) within limits that hold for all of it."""

    target: Path
    limits: Limits
    files: list[CollectedFile] = field(default_factory=list)
    exceeded: bool = False
    _is_whole: bool = False
    _bytes: int = 0
    _entries: int = 0
    _notes: dict[str, list[str]] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _names: dict[str, Names] = field(default_factory=dict)

    def collect(self, folder: Path, prefix: str) -> None:
        """Copy what lies below `folder` (host path) to `prefix` of the target."""
        self._start(folder, None, prefix, "output")

    def collect_changes(self, upper: Path, pristine: Path, prefix: str, *, is_whole: bool) -> None:
        """Copy what an overlay's upper folder adds to, or changes in, `pristine` (host paths).

        Without an overlay it `is_whole`: what is not in it any more was deleted.
        """
        self._is_whole = is_whole
        self._start(upper, pristine, prefix, "created")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was not kept as it was, a sentence for each reason."""
        found = []
        for reason, names in self._notes.items():
            more = self._counts[reason] - len(names)
            found.append(f"{reason}: {', '.join(names)}" + (f" and {more} more" if more else ""))
        return tuple(found)

    def _note(self, reason: str, name: str) -> None:
        self._counts[reason] = self._counts.get(reason, 0) + 1
        names = self._notes.setdefault(reason, [])
        if len(names) < _NAMED:
            names.append(name)

    def _start(self, folder: Path, pristine: Path | None, prefix: str, state: State) -> None:
        parent, _, name = prefix.rpartition("/")
        self._safe(parent, name.encode())  # nothing of the notebook's may have this name beside it
        with _opened(os.fsencode(folder)) as handle, _opened_if(pristine) as before:
            if handle is not None and stat.S_ISDIR(os.fstat(handle).st_mode):
                self._walk(_Folder(handle, before, prefix, len(prefix) + 1, b"", 0, state))

    def _walk(self, folder: _Folder) -> None:
        try:
            readable = _reopen(folder.handle, os.O_DIRECTORY)
        except OSError as error:
            self._note(f"not collected, cannot be read ({error.strerror})", folder.path)
            return
        try:
            names = self._listing(readable)
            if folder.pristine is not None and (self._is_whole or _is_anew(readable)):
                self._tell_deleted(folder, folder.pristine, names)
            for name in names:
                if self._full(folder):
                    return
                self._visit(folder, name)
        finally:
            os.close(readable)

    def _tell_deleted(self, folder: _Folder, pristine: int, names: list[bytes]) -> None:
        """Note what was in a folder before the run, and is not among the `names` that are."""
        if len(names) > self.limits.entries or not stat.S_ISDIR(os.fstat(pristine).st_mode):
            return  # there are more of them; it was no folder
        before = _reopen(pristine, os.O_DIRECTORY)
        try:
            gone = {os.fsencode(name) for name in os.listdir(before)} - {*names, *_LEFT_BEHIND}
        finally:
            os.close(before)
        for name in sorted(gone):
            if not name.endswith(b".pyc"):
                self._note(_DELETED, f"{folder.path}/{_text(name)}")

    def _listing(self, readable: int) -> list[bytes]:
        """Return the names in a folder, sorted; not many more of them than the limit, whatever is there."""
        with os.scandir(readable) as entries:
            names = [os.fsencode(entry.name) for entry in itertools.islice(entries, self.limits.entries + 1)]
        return sorted(names)

    def _full(self, folder: _Folder) -> bool:
        self._entries += 1
        if self._entries <= self.limits.entries:
            return False
        if not self._counts.get(self._too_many):
            self._note(self._too_many, folder.path)
        self.exceeded = True
        return True

    @property
    def _too_many(self) -> str:
        return f"not collected any further, there are more than {self.limits.entries} files and folders, in"

    def _visit(self, folder: _Folder, name: bytes) -> None:
        original = folder.original + b"/" + name if folder.original else name
        shown = f"{folder.path}/{_text(name)}"
        with _opened(name, folder.handle) as handle:
            if handle is None:
                return  # gone meanwhile
            info = os.fstat(handle)
            overlaid = folder.state == "created"
            if overlaid and (name in _LEFT_BEHIND or name.endswith(b".pyc")):
                return  # Python's and Jupyter's own traces
            if overlaid and stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
                self._note(_DELETED, shown)  # an overlay's whiteout
                return
            if stat.S_ISDIR(info.st_mode):
                self._descend(folder, name, handle, original)
            elif stat.S_ISREG(info.st_mode):
                self._take(folder, name, handle, original)
            else:
                self._note(f"not collected, {_kind(info.st_mode)}", shown)

    def _descend(self, folder: _Folder, name: bytes, handle: int, original: bytes) -> None:
        path = f"{folder.path}/{self._safe(folder.path, name)}"
        if folder.depth + 1 >= self.limits.depth:
            self.exceeded = True
            self._note(f"not collected, deeper than {self.limits.depth} folders", path)
            return
        if self._is_too_long(path):
            return
        with _opened_if(name, folder.pristine) as before:
            self._walk(_Folder(handle, before, path, folder.root, original, folder.depth + 1, folder.state))

    def _is_too_long(self, path: str) -> bool:
        """Whether there is no place for the file or folder at a path of the result; then it is noted."""
        if len(path.encode()) <= self.limits.path:
            return False
        self.exceeded = True
        self._note(f"not collected, its path has more than {self.limits.path} bytes", f"{path[:_SHOWN]}…")
        return True

    def _take(self, folder: _Folder, name: bytes, handle: int, original: bytes) -> None:
        """Copy one file unless it equals what was there before the run."""
        size = os.fstat(handle).st_size
        path = f"{folder.path}/{self._safe(folder.path, name)}"
        if self._is_too_long(path):
            return
        if size > self.limits.total_bytes - self._bytes:
            self.exceeded = True
            self._note(f"not collected, beyond the limit of {self.limits.total_bytes} bytes in all", path)
            return
        with _opened_if(name, folder.pristine) as before:
            existed = before is not None and stat.S_ISREG(os.fstat(before).st_mode)
            known = _digest(before, size) if existed and before is not None else ""
        sha256 = self._copy(handle, size, path)
        if not sha256:
            return
        if sha256 == known:
            self._remove(path)  # copied for its mode or date only, or because everything was
            return
        self._bytes += size
        renamed = path[folder.root :].encode() != original
        if renamed:
            self._note("collected under a safe name", f"{path} (was {_text(original)!r})")
        state: State = "changed" if existed else folder.state
        self.files.append(CollectedFile(path, size, sha256, state, _text(original) if renamed else ""))

    def _copy(self, handle: int, size: int, path: str) -> str:
        """Copy a file to its place and return its SHA-256, "" when it cannot be read."""
        target = self.target / path
        try:
            readable = _reopen(handle, 0)
        except OSError as error:
            self._note(f"not collected, cannot be read ({error.strerror})", path)
            return ""
        target.parent.mkdir(parents=True, exist_ok=True)
        return copy_plain(readable, size, target)

    def _remove(self, path: str) -> None:
        """Remove a file that was copied, and the folders that were made for nothing else."""
        (self.target / path).unlink()
        with suppress(OSError):  # something else is in that one
            for parent in PurePosixPath(path).parents[:-1]:
                (self.target / parent).rmdir()

    def _safe(self, folder: str, name: bytes) -> str:
        return self._names.setdefault(folder, Names()).unique(name)


def copy_plain(readable: int, size: int, target: Path) -> str:
    """Copy the first `size` bytes of an open file, which is closed, to `target` (host path); return their SHA-256.

    Holes stay holes: a file that claims terabytes does not take them.
    """
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(readable, "rb", buffering=0) as source, open(descriptor, "wb") as copy:
        left = size  # what it was at first: a file that still grows is not followed
        while left and (piece := source.read(min(_PIECE, left))):
            digest.update(piece)
            if piece == _ZEROS:
                copy.seek(len(piece), os.SEEK_CUR)
            else:
                copy.write(piece)
            left -= len(piece)
        copy.truncate(size - left)
    return digest.hexdigest()


def open_left(path: Path) -> int:
    """Return a descriptor for reading the plain file that a run left at a host path, whatever its mode. Raises OSError."""
    with _opened(os.fsencode(path)) as handle:
        if handle is None:
            raise FileNotFoundError(path)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise IsADirectoryError(path)
        return _reopen(handle, 0)


@contextmanager
def _opened(name: bytes, folder: int | None = None) -> Iterator[int | None]:
    """Yield a handle of what has this name (in an open folder), links not followed; None when there is nothing."""
    try:
        handle = os.open(name, _HANDLE, dir_fd=folder)
    except OSError:
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _opened_if(name: Path | bytes | None, folder: int | None = None) -> Iterator[int | None]:
    """Yield a handle like _opened where there is something to open: a path, or a name in an open folder."""
    if name is None or (isinstance(name, bytes) and folder is None):
        yield None
        return
    with _opened(os.fsencode(name), folder) as handle:
        yield handle


def _reopen(handle: int, flags: int) -> int:
    """Return a descriptor for reading what a handle of a plain file or a folder stands for."""
    path = f"/proc/self/fd/{handle}"
    wanted = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | flags
    try:
        return os.open(path, wanted)
    except PermissionError:
        # The notebook took the permissions of its own file away; that inode, and no other, gets ours back.
        os.chmod(path, 0o700)
        return os.open(path, wanted)


def _is_anew(folder: int) -> bool:
    """Whether an overlay has a folder in place of the one that was there. Source: Linux, overlayfs.rst, "whiteouts and opaque directories"."""
    with suppress(OSError):
        return os.getxattr(folder, "user.overlay.opaque") == b"y"
    return False


def _digest(handle: int, size: int) -> str:
    """Return the SHA-256 of the plain file behind a handle, "" when it has not this size."""
    if os.fstat(handle).st_size != size:
        return ""
    with open(_reopen(handle, 0), "rb", buffering=0) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _text(name: bytes) -> str:
    """Return a name in one printable line; what is not printable is written as Python would escape it."""
    text = name.decode("utf-8", "surrogateescape")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "symbolic link"
    if stat.S_ISFIFO(mode):
        return "pipe"
    return "socket" if stat.S_ISSOCK(mode) else "device"
