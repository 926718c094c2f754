"""What `diff` and `verify` are given: a lock, an image of the store, or one that was written somewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from reprolake.images import (
    another_version,
    find_image,
    is_image_id,
    is_written,
    written_images,
    written_lock,
)
from reprolake.lock_file import read_lock
from reprolake.options import UsageError
from reprolake.pipeline import Request, Session, obtain_lock
from reprolake_builder.documents.base import decode
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.image import LOCK_IN_IMAGE, Image
from reprolake_builder.layouts import WrittenImage
from reprolake_builder.process import printable

_TAKEN = "a lock, an image's id, an OCI layout, an archive for `docker load`, or the link of a repository"


@dataclass(frozen=True, slots=True)
class Side:
    """A lock, and the image that it came out of: one of the store, one that was written somewhere, or none."""

    lock: EnvironmentLock
    image: Image | WrittenImage | None = None


def side(what: str, session: Session) -> Side:
    """Return what `what` names; a link is locked, or was before. Raises UsageError and LockError."""
    path = Path(what)
    if is_image_id(what):
        image = find_image(what, session, instead=_TAKEN)
        return Side(_lock_of(image, session), image)
    if is_written(path):
        written = written_images(path)
        if len(written) != 1:
            names = ", ".join(printable(one.name or one.digest) for one in written) or "none"
            raise UsageError(f"{path} holds {len(written)} images ({names}), and one is wanted")
        return Side(written_lock(written[0]), written[0])
    if os.path.isfile(path):
        return Side(read_lock(path))
    return Side(obtain_lock(Request(link=what), session).lock)


def _lock_of(image: Image, session: Session) -> EnvironmentLock:
    """Return the lock that an image of the store carries: its uppermost tree with one, as in the image itself."""
    for key in reversed(image.trees):
        tree = session.tools.store.tree(key)
        inside = LOCK_IN_IMAGE.lstrip("/")
        if tree is not None and any(entry.path == inside.encode() for entry in tree.entries):
            try:
                return decode((tree.root / inside).read_bytes(), EnvironmentLock)
            except msgspec.DecodeError as error:
                raise another_version(image.id) from error
    raise UsageError(
        f"the store lacks the lock of image {image.id[:19]}", hint="build the image again: `reprolake build`"
    )
