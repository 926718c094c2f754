"""The local content-addressed store: archives, one unpacked tree per layer, and small documents.

    archives/ab/<sha256>       files as they were downloaded
    trees/ab/<key>/root/       an unpacked tree, mountable
    trees/ab/<key>/index       its entries (MessagePack of trees.Entry)
    documents/<kind>/<key>     locks, images, cached answers (JSON)
    tmp/<session>/             what a process is writing; swept by the next process when its owner is gone

Whatever has its final name is whole: everything is written in the session's folder and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from reprolake_builder.documents import base
from reprolake_builder.documents.base import Sha256
from reprolake_builder.errors import FetchError, StoreError
from reprolake_builder.removal import remove_tree
from reprolake_builder.trees import Entry, Owned, scan

D = TypeVar("D")
_INDEX = msgspec.msgpack.Decoder(list[Entry])


@dataclass(frozen=True)
class Tree:
    """An unpacked tree of the store; `root` is a host path."""

    key: Sha256
    folder: Path

    @property
    def root(self) -> Path:
        """Host folder with the tree's files."""
        return self.folder / "root"

    @functools.cached_property
    def entries(self) -> list[Entry]:
        """The tree's entries in order."""
        try:
            return _INDEX.decode((self.folder / "index").read_bytes())
        except (OSError, msgspec.DecodeError) as error:
            raise StoreError(
                f"the index of the stored tree {self.key[:12]} cannot be read: {error}",
                hint=f"remove {self.folder} and run the command again: it is made anew",
            ) from error

    @property
    def size(self) -> int:
        """Bytes of the files in the tree."""
        return sum(entry.size for entry in self.entries)


class Store:
    """A store below `root` (host path), made when it is missing; safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._session: Path | None = None
        self._held: int | None = None
        self._opening = threading.Lock()

    # ------------------------------------------------------------------ archives
    def archive(self, sha256: Sha256) -> Path:
        """Host path at which the archive of that hash lies, or would lie."""
        return self.root / "archives" / sha256[:2] / sha256

    def has_archive(self, sha256: Sha256) -> bool:
        """Whether the archive is here; what has its final name was verified when it arrived."""
        return os.path.isfile(self.archive(sha256))

    def add_archive(self, pieces: Iterable[bytes], sha256: Sha256, name: str) -> Path:
        """Store an archive while it arrives and return its host path.

        Raises FetchError when its bytes are not those that `sha256` promises; `name` is for that message.
        """
        final = self.archive(sha256)
        digest = hashlib.sha256()
        with self._writing() as session:
            partial = session / secrets.token_hex(8)
            with partial.open("wb") as stream:
                for piece in pieces:
                    digest.update(piece)
                    stream.write(piece)
            if digest.hexdigest() != sha256:
                partial.unlink()
                raise FetchError(
                    f"{name} arrived with SHA-256 {digest.hexdigest()}, the lock says {sha256}",
                    hint="the file was changed at its origin or on the way; nothing of it was kept",
                )
            partial.chmod(0o644)
            _publish(partial, final)
        return final

    # ------------------------------------------------------------------ trees
    def tree(self, key: Sha256) -> Tree | None:
        """The stored tree of that key, or None."""
        folder = self.root / "trees" / key[:2] / key
        return (
            Tree(key, folder) if os.path.isfile(folder / "index") else None
        )  # what we may not read is not there

    def make_tree(
        self,
        key: Sha256,
        fill: Callable[[Path], Mapping[bytes, Owned] | None],
        owner: tuple[int, int] = (0, 0),
    ) -> Tree:
        """Return the tree of that key, made by `fill(folder)` when it is not there yet.

        `fill` may return modes and owners that differ from the rule; `owner` is the rule's own.
        """
        if (known := self.tree(key)) is not None:
            return known
        with self._writing() as session:
            partial = session / secrets.token_hex(8)
            (partial / "root").mkdir(parents=True)
            (partial / "root").chmod(0o755)
            try:
                exceptions = fill(partial / "root")
                entries = scan(partial / "root", exceptions, owner)
                (partial / "index").write_bytes(msgspec.msgpack.encode(entries))
                (partial / "index").chmod(0o644)
                partial.chmod(0o755)
                _publish(partial, self.root / "trees" / key[:2] / key)
            finally:
                remove_tree(partial)
        made = self.tree(key)
        if made is None:
            raise StoreError(f"the tree {key[:12]} vanished from the store {self.root} while it was made")
        return made

    # ------------------------------------------------------------------ documents
    def get(self, kind: str, key: str, of: type[D]) -> D | None:
        """Return the stored document, or None when there is none or it was written by another version."""
        path = self.root / "documents" / kind / key
        try:
            return base.decode(path.read_bytes(), of)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            return None
        except OSError as error:
            raise _explained(error, self.root) from error

    def put(self, kind: str, key: str, document: object) -> None:
        """Store a document under a key, whole or not at all; an older one is replaced."""
        with self._writing() as session:
            partial = session / secrets.token_hex(8)
            partial.write_bytes(base.encode(document))
            partial.chmod(0o644)
            final = self.root / "documents" / kind / key
            final.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(final)

    # ------------------------------------------------------------------ writing
    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield an empty host folder on the store's file system that is gone afterwards."""
        with self._writing() as session:
            folder = session / secrets.token_hex(8)
            folder.mkdir()
            try:
                yield folder
            finally:
                remove_tree(folder)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Path]:
        try:
            yield self._open_session()
        except OSError as error:
            raise _explained(error, self.root) from error

    def _open_session(self) -> Path:
        """Return this process's folder for unfinished work; sweep those of processes that are gone."""
        with self._opening:
            if self._session is None or not self._session.name.startswith(f"{os.getpid()}-"):
                tmp = self.root / "tmp"
                tmp.mkdir(parents=True, exist_ok=True)
                for lock in tmp.glob("*.lock"):
                    _sweep(lock)
                self._session, self._held = _new_session(tmp)
            return self._session

    def close(self) -> None:
        """Remove this process's folder for unfinished work."""
        if (
            self._session is None
            or self._held is None
            or not self._session.name.startswith(f"{os.getpid()}-")
        ):
            return
        remove_tree(self._session)
        self._session.with_suffix(".lock").unlink(missing_ok=True)
        os.close(self._held)
        self._session = self._held = None


def _new_session(tmp: Path) -> tuple[Path, int]:
    """Return a new folder below `tmp` and the descriptor whose lock says that its owner lives."""
    while True:
        session = tmp / f"{os.getpid()}-{secrets.token_hex(6)}"
        try:
            held = _lock(session.with_suffix(".lock"))
        except BlockingIOError:
            continue  # another process swept it between its making and its locking
        if os.fstat(held).st_nlink:
            session.mkdir()
            return session, held
        os.close(held)


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _sweep(lock: Path) -> None:
    """Remove the session of a lock that nobody holds any more."""
    try:
        descriptor = _lock(lock)
    except OSError:
        return  # its owner lives, or it belongs to another user
    remove_tree(lock.with_suffix(""))
    lock.unlink(missing_ok=True)
    os.close(descriptor)


def _publish(partial: Path, final: Path) -> None:
    """Give what was written its final name; when another process was first, its work stays."""
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.rename(final)
    except OSError as error:
        if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
            raise


def _explained(error: OSError, root: Path) -> StoreError:
    if error.errno == errno.ENOSPC:
        return StoreError(
            f"the disk of the store {root} is full", hint="free some space, or choose another --store"
        )
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return StoreError(
            f"the store {root} cannot be written: {error.strerror}",
            hint="choose a folder of your own with --store DIR",
        )
    return StoreError(
        f"the store {root} failed: {error.strerror or error}: {error.filename or ''}".rstrip(": "),
        hint="choose another place for it with --store DIR",
    )
