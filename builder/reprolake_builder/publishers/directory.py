"""An unpacked root file system in a new folder."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from reprolake_builder.compare import compare_root
from reprolake_builder.errors import PublishError
from reprolake_builder.image import Image
from reprolake_builder.progress import Progress, Step
from reprolake_builder.publishers.interface import Destination, Publication
from reprolake_builder.removal import remove_tree
from reprolake_builder.rootfs import Item, flatten, layer_entries
from reprolake_builder.store import Store
from reprolake_builder.trees import MTIME

_NO_COPY_HERE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_ONE_CALL = 1 << 30  # bytes
_SHARE = 200  # files that one thread copies at a time


class Directory:
    """Writes to `dir:ROOTFS`, a folder that is not there yet or empty."""

    def check(self, to: Destination) -> None:
        """Raise PublishError for what is no new folder, and for a place that is not ours to write to."""
        try:
            found = os.lstat(to.path)
        except FileNotFoundError:
            found = None
        except OSError as error:
            raise PublishError(f"{to.path} cannot be written: {error.strerror}") from error
        if found is not None:
            if not stat.S_ISDIR(found.st_mode):
                raise PublishError(f"{to.path} is no folder; dir: wants a new one")
            if os.listdir(to.path):
                raise PublishError(
                    f"{to.path} is a folder with other things in it",
                    hint="name a new folder, or remove this one",
                )
        if not os.path.isdir(to.path.parent):
            raise PublishError(f"{to.path} cannot be written: there is no folder {to.path.parent}")
        if not os.access(to.path.parent, os.W_OK | os.X_OK):
            raise PublishError(
                f"{to.path} cannot be written: the folder {to.path.parent} is not yours to write to"
            )

    def publish(self, image: Image, to: Destination, store: Store, progress: Progress) -> Publication:
        """Unpack the image beside its place, read it back and rename it."""
        self.check(to)
        owners = os.geteuid() == 0
        items = flatten([layer_entries(image, layer, store) for layer in image.layers])
        if not owners:
            items = [_as_user(item) for item in items]
            progress.note(
                f"{to.path}: everything in it is yours, and nothing in it is set-uid: only root can give files to others"
            )
        path = Path(os.path.abspath(to.path))  # so that "." has a name beside which to write
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            partial.mkdir(mode=0o700)
            root = os.fsencode(partial)
            with progress.step("Unpacking", sum(item.entry.size for item in items)) as step:
                _unpack(items, root, step, owners=owners)
            difference = compare_root(image, items, root, owners=owners)
            if difference is not None:
                raise PublishError(
                    f"{to.path} is not what was written there: {difference}",
                    hint="its disk or the store's is faulty, or another program writes there; nothing was kept",
                )
            partial.chmod(0o755)
            partial.rename(path)
        except OSError as error:
            raise PublishError(f"{to.path} cannot be written: {error.strerror or error}") from error
        finally:
            remove_tree(partial)
        return Publication(reference=f"dir:{to.path}", image=image.id)


def _as_user(item: Item) -> Item:
    """Return the item as its writer may have it: a set-uid mark would make others run the program as the writer."""
    entry = item.entry
    if entry.kind == "l":
        return item
    mode = entry.mode & 0o1777 | (0o700 if entry.kind == "d" else 0o400)
    return Item(msgspec.structs.replace(entry, mode=mode), item.content, item.layer)


def _unpack(items: Sequence[Item], root: bytes, step: Step, *, owners: bool) -> None:
    """Write the items below `root` (host path), a folder that nobody else can enter.

    Each path is made once, exclusively, in a folder made before it: no link is ever written through.
    """
    folders = [item for item in items if item.entry.kind == "d"]
    files = [item for item in items if item.entry.kind == "f"]
    for item in folders:
        os.mkdir(root + b"/" + item.entry.path, 0o700)

    def copy(some: Sequence[Item]) -> None:
        for item in some:
            _copy(item, root + b"/" + item.entry.path, owners=owners)
        step.advance(sum(item.entry.size for item in some))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(copy, (files[at : at + _SHARE] for at in range(0, len(files), _SHARE))):
            pass
    for item in items:
        path = root + b"/" + item.entry.path
        if item.entry.kind == "h":
            os.link(root + b"/" + item.entry.target, path, follow_symlinks=False)
        elif item.entry.kind == "l":
            os.symlink(item.entry.target, path)
            if owners:
                os.lchown(path, item.entry.uid, item.entry.gid)
            os.utime(path, (MTIME, MTIME), follow_symlinks=False)
    for item in reversed(folders):  # last: what is put into a folder changes its date
        path = root + b"/" + item.entry.path
        if owners:
            os.chown(path, item.entry.uid, item.entry.gid)
        os.chmod(path, item.entry.mode)
        os.utime(path, (MTIME, MTIME))


def _copy(item: Item, path: bytes, *, owners: bool) -> None:
    """Write one file; its bytes are compared with the index when all is read back."""
    source = os.open(item.content, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            left = item.entry.size
            while left and (done := _transfer(source, target, min(left, _ONE_CALL))):
                left -= done
            if owners and (item.entry.uid or item.entry.gid):
                os.fchown(target, item.entry.uid, item.entry.gid)
            os.fchmod(target, item.entry.mode)
            os.utime(target, (MTIME, MTIME))
        finally:
            os.close(target)
    finally:
        os.close(source)


def _transfer(source: int, target: int, size: int) -> int:
    """Copy in the kernel, where the file system can do so by sharing blocks."""
    try:
        return os.copy_file_range(source, target, size)
    except OSError as error:
        if error.errno not in _NO_COPY_HERE:
            raise
        return os.sendfile(target, source, None, size)
