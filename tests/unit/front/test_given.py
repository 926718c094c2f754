"""What commands are given in the place of a link: a vendored folder, an image of another version."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hostile_locks import LOCK
from small_image import small_image

from reprolake.inspection import inspect
from reprolake.options import Options, UsageError
from reprolake.pipeline import Request, Session, obtain_lock
from reprolake.sides import side
from reprolake_builder.documents.base import pretty
from reprolake_builder.download import Downloader
from reprolake_builder.image import LOCK_IN_IMAGE
from reprolake_builder.site import Site
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools


@pytest.fixture
def session(tmp_path):
    site = Site(archives={})
    tools = Tools(Store(tmp_path / "store"), site, Downloader(site))
    yield Session(Options(tmp_path / "store", site, {}, {}, {}), tools, datetime.now(UTC))
    tools.store.close()


def test_a_vendored_folder_stands_for_its_lock(tmp_path, session):
    """`inspect` shows the lock in a vendored folder, as all other commands take it."""
    for name, data in (("reprolake.lock", pretty(LOCK)), ("VENDORED.md", b""), ("SHA256SUMS", b"")):
        (tmp_path / name).write_bytes(data)
    assert inspect(str(tmp_path), session).document == LOCK


def test_an_image_is_no_repository(tmp_path, session):
    """A layout is not locked as if it were a folder with notebooks: that would say nothing of the image."""
    (tmp_path / "oci-layout").write_text("{}")
    with pytest.raises(UsageError, match="an image, and no repository") as caught:
        obtain_lock(Request(link=str(tmp_path)), session)
    assert "reprolake inspect" in caught.value.hint


def test_the_lock_of_another_version_is_told_of(session):
    """An image that an older version left in the store has a lock that is not read any more; that is no mistake of ours."""
    place = LOCK_IN_IMAGE.lstrip("/")

    def older(root):
        (root / place).parent.mkdir(parents=True)
        (root / place).write_bytes(pretty(LOCK).replace(b'"layout": 4', b'"layout": 3'))

    store = session.tools.store
    image = small_image(store, older)
    store.put("images-by-id", image.id.removeprefix("sha256:"), image)
    with pytest.raises(UsageError, match="made by another version") as caught:
        side(image.id, session)
    assert "reprolake build" in caught.value.hint
