"""Images that were built before: of the store by their ids, and where they were written."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from reprolake.options import UsageError
from reprolake.pipeline import Session
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.errors import PublishError
from reprolake_builder.image import Image
from reprolake_builder.layouts import WrittenImage, images_in, lock_in
from reprolake_builder.process import printable

_ID = re.compile(r"sha256:[0-9a-f]*|[0-9a-f]{6,64}")
_SHORTEST = 6
_MADE_BY = "the id that `reprolake build` printed"


def is_image_id(what: str) -> bool:
    """Whether `what` has the form of an image's id, or of its first characters, and is no file or folder here."""
    return _ID.fullmatch(what) is not None and not os.path.lexists(what)


def find_image(what: str, session: Session, *, instead: str = "") -> Image:
    """Return the image of the store whose id begins with `what`; `instead` says in a hint what else could be given.

    Raises UsageError.
    """
    digits = what.removeprefix("sha256:")
    wanted = len(digits) >= _SHORTEST and digits.isalnum()
    names = session.tools.store.keys("images-by-id", digits) if wanted else ()
    if len(names) != 1:
        many = f"{len(names)} images of the store begin with {printable(what)}"
        raise UsageError(
            many if names else f"{printable(what)} is not here",
            hint=f"give {instead}, or {_MADE_BY}" if instead else f"give {_MADE_BY}",
        )
    image = session.tools.store.get("images-by-id", names[0], Image)
    if image is None:
        raise another_version(what)
    return image


def another_version(image: str) -> UsageError:
    """Return the error for an image (id) of the store whose documents this version does not read."""
    return UsageError(
        f"the image {image} was made by another version", hint="build it again: `reprolake build`"
    )


def is_written(path: Path) -> bool:
    """Whether a host path looks like that of an OCI layout or of an archive for `docker load`."""
    return os.path.isfile(path / "oci-layout") or (os.path.isfile(path) and path.suffix == ".tar")


def written_images(path: Path) -> tuple[WrittenImage, ...]:
    """Return the images in an OCI layout or an archive for `docker load` (host path). Raises UsageError for what is none."""
    with _given():
        return images_in(path)


def written_lock(image: WrittenImage) -> EnvironmentLock:
    """Return the lock that such an image carries. Raises UsageError where it has none that can be read."""
    with _given():
        return lock_in(image)


@contextlib.contextmanager
def _given() -> Iterator[None]:
    """Tell of what is wrong with an image as of a mistake of whoever gave it: nothing is published here."""
    try:
        yield
    except PublishError as error:
        raise UsageError(error.message, hint=error.hint) from error
