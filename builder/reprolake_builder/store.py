"""The local content-addressed store: archives, one unpacked tree per layer, and small documents.

    archives/ab/<sha256>       files as they were downloaded
    trees/ab/<key>/root/       an unpacked tree, mountable
    trees/ab/<key>/index       its entries (MessagePack of trees.Entry, then their CRC-32)
    documents/<kind>/<key>     locks, images, cached answers (JSON)
    git/<sha256 of a URL>/     what was fetched of a repository; hg/ likewise
    uv/                        uv's own cache
    tmp/<session>/             what a process is writing; swept by the next process when its owner is gone
    in-use                     see in_use

Whatever has its final name is whole: everything is written in the session's folder and renamed. What a machine that lost
power left empty or cut short counts as absent. The modification time of an archive, an index, a document or a cache is that
of its last use, to a day.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import itertools
import os
import secrets
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from reprolake_builder.documents import base
from reprolake_builder.documents.base import Sha256
from reprolake_builder.errors import FetchError, StoreError
from reprolake_builder.in_use import Marks
from reprolake_builder.removal import remove_tree
from reprolake_builder.shared import is_plain, shared_stores
from reprolake_builder.trees import Entry, Filled, scan
from reprolake_builder.unfinished import Unfinished

D = TypeVar("D")
_INDEX = msgspec.msgpack.Decoder(list[Entry])
_CHECKSUM = 4  # bytes of the CRC-32 at the end of an index
_PIECE = 1 << 20  # bytes read at a time
_DAY = 86400  # seconds: a last use is told to a day, so that using costs no writing


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
            return _INDEX.decode((self.folder / "index").read_bytes()[:-_CHECKSUM])
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
    """A store below `root` (host path), made when it is missing; safe for several processes at once.

    What lies in it is believed, so whoever may write there decides what runs in every image: nobody but its owner, unless
    the owner says otherwise. It is made for the owner's eyes only, since private repositories lie there, too.
    What it lacks is looked up in the `shared` stores (host paths), see shared.py.
    Raises StoreError for a folder that is another user's, or that every user of the host may write to.
    """

    def __init__(self, root: Path, shared: tuple[Path, ...] = ()) -> None:
        self.root = root.absolute()
        _refuse_strangers(self.root)
        self._shared = tuple(shared_stores(shared, self.root))
        self._unfinished = Unfinished(self.root / "tmp")
        self._marks = Marks(self.root / "in-use")
        self._hashed: set[Sha256] = set()

    # ------------------------------------------------------------------ archives
    def archive(self, sha256: Sha256) -> Path:
        """Host path at which the archive of that hash lies, or would lie."""
        own = self.root / "archives" / sha256[:2] / sha256
        if self._shared and not os.path.isfile(own):
            return next(self._in_shared("archives", sha256[:2], sha256), own)
        return own

    def pieces(self, sha256: Sha256) -> Iterator[bytes]:
        """Yield what the archive of that hash holds. Raises OSError where it is not here."""
        with self.archive(sha256).open("rb") as stream:
            while piece := stream.read(_PIECE):
                yield piece

    def has_archive(self, sha256: Sha256) -> bool:
        """Whether the archive is here; its bytes were right when it arrived."""
        self._marks.mark(f"archives/{sha256[:2]}/{sha256}")
        return os.path.isfile(self.archive(sha256))

    def has_sound_archive(self, sha256: Sha256) -> bool:
        """Whether the archive is here with the right bytes, which are read for that once per process."""
        if not self.has_archive(sha256):
            return False
        if sha256 not in self._hashed:
            path = self.archive(sha256)
            try:
                if base.file_sha256(path) != sha256:
                    return False
            except OSError:
                return False  # what cannot be read is fetched anew
            self._touch(path)
            self._hashed.add(sha256)
        return True

    def add_archive(self, pieces: Iterable[bytes], sha256: Sha256, name: str) -> Path:
        """Store an archive while it arrives and return its host path.

        Raises FetchError when its bytes are not those that `sha256` promises; `name` is for that message.
        """

        def refuse(found: Sha256) -> None:
            if found != sha256:
                raise FetchError(
                    f"{name} arrived with SHA-256 {found}, the lock says {sha256}",
                    hint="the file was changed at its origin or on the way; nothing of it was kept",
                )

        return self.archive(self.keep_archive(pieces, refuse))

    def keep_archive(self, pieces: Iterable[bytes], check: Callable[[Sha256], object]) -> Sha256:
        """Store an archive while it arrives and return its SHA-256, unless `check` raises when it is told that."""
        digest = hashlib.sha256()
        with self._writing() as session:
            partial = session / secrets.token_hex(8)
            try:
                with partial.open("wb") as stream:
                    for piece in pieces:
                        digest.update(piece)
                        stream.write(piece)
                sha256 = digest.hexdigest()
                check(sha256)
                final = self.root / "archives" / sha256[:2] / sha256
                self._mark(final)
                partial.chmod(0o644)
                final.parent.mkdir(parents=True, exist_ok=True)
                partial.replace(final)
            finally:
                partial.unlink(missing_ok=True)
        self._hashed.add(sha256)
        return sha256

    # ------------------------------------------------------------------ trees
    def tree(self, key: Sha256) -> Tree | None:
        """The stored tree of that key, or None when there is none that is whole; nobody removes it while this store is open."""
        folder = self._tree_folder(key)
        self._mark(folder)
        if is_whole(folder):
            self._touch(folder / "index")
            return Tree(key, folder)
        for there in self._in_shared("trees", key[:2], key):
            if is_plain(there / "index") and is_plain(there / "root") and is_whole(there):
                return Tree(key, there)
        return None

    def make_tree(
        self,
        key: Sha256,
        fill: Callable[[Path], Filled | None],
        owner: tuple[int, int] = (0, 0),
    ) -> Tree:
        """Return the tree of that key, made by `fill(folder)` when it is not there yet.

        `fill` may return what it knows of the files; `owner` is the owner of all others.
        """
        if (known := self.tree(key)) is not None:
            return known
        with self._writing() as session:
            partial = session / secrets.token_hex(8)
            (partial / "root").mkdir(parents=True)
            (partial / "root").chmod(0o755)
            try:
                entries = scan(partial / "root", fill(partial / "root"), owner)
                index = msgspec.msgpack.encode(entries)
                (partial / "index").write_bytes(index + zlib.crc32(index).to_bytes(_CHECKSUM))
                (partial / "index").chmod(0o644)
                partial.chmod(0o755)
                self._place_tree(partial, key, session)
            finally:
                remove_tree(partial)
        made = self.tree(key)
        if made is None:
            raise StoreError(f"the tree {key[:12]} vanished from the store {self.root} while it was made")
        return made

    def _tree_folder(self, key: Sha256) -> Path:
        return self.root / "trees" / key[:2] / key

    def _place_tree(self, partial: Path, key: Sha256, session: Path) -> None:
        """Give a tree its final name; when another process was first, its work stays."""
        final = self._tree_folder(key)
        self._mark(final)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.rename(final)
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                raise
            if self.tree(key) is None:  # what lies there is damaged, or was never a tree
                final.rename(session / secrets.token_hex(8))
                partial.rename(final)

    # ------------------------------------------------------------------ documents
    def get(self, kind: str, key: str, of: type[D]) -> D | None:
        """Return the stored document, or None when there is none or it was written by another version."""
        path = self.root / "documents" / kind / key
        for place in itertools.chain((path,), self._in_shared("documents", kind, key)):
            try:
                found = base.decode(place.read_bytes(), of)
            except (FileNotFoundError, msgspec.DecodeError):
                continue
            except OSError as error:
                raise _explained(error, self.root) from error
            self._touch(place)
            return found
        return None

    def keys(self, kind: str, prefix: str = "") -> tuple[str, ...]:
        """Return the keys of the stored documents of a kind that begin with `prefix`."""
        folders = itertools.chain((self.root / "documents" / kind,), self._in_shared("documents", kind))
        return tuple(sorted({path.name for folder in folders for path in folder.glob(f"{prefix}*")}))

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

    def cache(self, name: str) -> Path:
        """Host folder for the cache that another program keeps here under that name; nobody removes it while this store is open."""
        with contextlib.suppress(OSError):  # who then writes there says why it cannot be had
            _make_private(self.root)
        folder = self.root / name
        self._mark(folder)
        self._touch(folder)
        return folder

    def discard(self, path: Path, *, dry_run: bool = False) -> bool:
        """Remove what lies at a path (host) of the store, in one step for who looks for it; whether it was removed.

        It stays when a process uses it or this user may not remove it; a dry run removes nothing. Raises StoreError.
        """
        with self._writing() as session:
            aside = session / secrets.token_hex(8)
            with self._marks.alone(self._name(path)) as alone:
                if not alone or not os.access(path.parent, os.W_OK):
                    return False
                if dry_run:
                    return True
                try:
                    path.rename(aside)
                except FileNotFoundError:
                    return True
                except PermissionError:
                    return False
            remove_tree(aside)
            with contextlib.suppress(OSError):
                aside.unlink()
        return True

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Path]:
        try:
            _make_private(self.root)
            yield self._unfinished.folder()
        except OSError as error:
            raise _explained(error, self.root) from error

    def _in_shared(self, *parts: str) -> Iterator[Path]:
        return (path for store in self._shared if (path := store.find(*parts)) is not None)

    def _touch(self, path: Path) -> None:
        """Note that something of ours was used, once a day; where that cannot be written it is not."""
        with contextlib.suppress(OSError):
            if abs(time.time() - path.stat().st_mtime) > _DAY and path.is_relative_to(self.root):
                os.utime(path)

    def _mark(self, path: Path) -> None:
        self._marks.mark(self._name(path))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def close(self) -> None:
        """Remove this process's folder for unfinished work, and let go of what it used."""
        self._unfinished.close()
        self._marks.close()
        for store in self._shared:
            store.close()


def is_whole(folder: Path) -> bool:
    """Whether a tree's index is there as it was written."""
    try:
        index = (folder / "index").read_bytes()
    except OSError:
        return False  # what we may not read is not there
    content, checksum = index[:-_CHECKSUM], index[-_CHECKSUM:]
    return bool(content) and zlib.crc32(content) == int.from_bytes(checksum)


def _make_private(root: Path) -> None:
    with contextlib.suppress(FileExistsError):
        root.mkdir(mode=0o700, parents=True)


def _refuse_strangers(root: Path) -> None:
    try:
        info = root.stat()
    except OSError:
        return  # not there yet, or whoever uses it says what is wrong with it
    if info.st_uid not in {0, os.geteuid()}:
        raise StoreError(
            f"the store {root} belongs to user {info.st_uid}, who decides what is in it",
            hint="choose a folder of your own with --store DIR; a store of the site's can be one of shared_stores",
        )
    if stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_IWOTH:
        raise StoreError(
            f"every user of this host may write to the store {root}, and so decide what is in your images",
            hint=f"if it is yours, run `chmod o-w {root}`; else choose a folder of your own with --store DIR",
        )


def disk_error(words: str) -> OSError | None:
    """Return the error of the disk that a program's last words tell of, None when they tell of none."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        if os.strerror(number) in words:
            return OSError(number, os.strerror(number))
    return None


def _explained(error: OSError, root: Path) -> StoreError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
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
