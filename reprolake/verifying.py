"""From a lock or an image to a verdict: made once more, is it the same to the last byte?"""

from __future__ import annotations

import time
from pathlib import Path

from reprolake.pipeline import Session
from reprolake.sides import side
from reprolake_builder.build import build
from reprolake_builder.compare import compare_blobs
from reprolake_builder.documents.base import Digest, Document
from reprolake_builder.fetch import fetch
from reprolake_builder.image import Image
from reprolake_builder.inventory import fetched
from reprolake_builder.verify import first_difference, rebuild


class Verdict(Document, frozen=True, kw_only=True):
    """What `reprolake verify --json` prints: the image's id, that of the one built again, and the first difference, "" for none.

    `archives` is how many it was made from, `seconds` how long that took.
    """

    image: Digest
    rebuilt: Digest
    difference: str
    archives: int
    seconds: float


def verify(what: str, session: Session, *, source_dir: Path | None = None) -> Verdict:
    """Return whether what `what` names is what its lock gives, built again from nothing but archives.

    A lock names an image of the store, which is built first when it is not there.
    """
    one = side(what, session)
    tools = session.tools
    tree = fetch(one.lock.source, tools, source_dir=source_dir).tree
    image = one.image or build(one.lock, tree, tools)
    started = time.monotonic()
    with tools.store.scratch() as folder:
        again = rebuild(one.lock, tree, folder, tools)
        try:
            if isinstance(image, Image):
                difference = first_difference(image, tools.store, again)
            else:
                difference = compare_blobs(again.image, image.digest, image.blob, again.store, tools.progress)
        finally:
            again.store.close()
    return Verdict(
        image=image.id,
        rebuilt=again.image.id,
        difference=str(difference or ""),
        archives=len(fetched(one.lock)),
        seconds=round(time.monotonic() - started, 2),
    )
