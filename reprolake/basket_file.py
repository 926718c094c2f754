"""The file of a basket, as the user named it, read."""

from __future__ import annotations

from pathlib import Path

from reprolake_builder.denied import denied
from reprolake_builder.process import printable
from reprolake_runner.basket import read_basket
from reprolake_runner.documents.basket import Basket
from reprolake_runner.errors import BasketError

_LIMIT = 16 << 20  # bytes


def basket_in(path: Path) -> Basket:
    """Return the basket in a file (host path). Raises BasketError."""
    try:
        if path.stat().st_size > _LIMIT:
            raise BasketError(f"{path} is larger than {_LIMIT >> 20} MiB, which no basket is")
        return read_basket(path.read_bytes(), str(path), path.absolute().parent)
    except OSError as error:
        raise BasketError(
            f"the basket {printable(str(path))} cannot be read: {denied(path) or error.strerror}",
            hint="--basket takes the JSON file of a basket as it was exported, which this user must be able to read",
        ) from error
