"""An image that was built before, by its id."""

from __future__ import annotations

import os
import re

from reprolake.options import UsageError
from reprolake.pipeline import Session
from reprolake_builder.image import Image
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
        raise UsageError(
            f"the image {what} was made by another version", hint="build it again: `reprolake build`"
        )
    return image
