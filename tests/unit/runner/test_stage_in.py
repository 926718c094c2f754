"""Staging in: inputs arrive verified, under their sandbox names, and nothing odd is opened."""

from __future__ import annotations

import hashlib
import json
import os
import zlib

import pytest

from reprolake_builder.documents.base import decode
from reprolake_builder.progress import SILENT
from reprolake_runner.basket import read_basket
from reprolake_runner.documents.basket import Basket
from reprolake_runner.errors import StageInError
from reprolake_runner.placement import place
from reprolake_runner.stage_in import stage_in

DATA = b"SIMPLE  =                    T" * 1000


def staged(tmp_path, *items, needed=frozenset()):
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    basket = place(read_basket(json.dumps(items).encode(), "b", home))
    return stage_in(basket, needed, tmp_path / "data", SILENT)


def refused(tmp_path, *items, **options):
    with pytest.raises(StageInError) as caught:
        staged(tmp_path, *items, **options)
    return f"{caught.value.message} | {caught.value.hint}"


@pytest.fixture
def events(tmp_path):
    (tmp_path / "home").mkdir()
    path = tmp_path / "home" / "events.fits"
    path.write_bytes(DATA)
    return path


def test_files_arrive_with_their_hash_and_the_basket_beside_them(tmp_path, events):
    """The file lies where its sandbox path says, and basket.json tells that path."""
    sums = {"md5": hashlib.md5(DATA).hexdigest(), "adler32": f"{zlib.adler32(DATA):x}"}
    found = staged(tmp_path, {"url": "file:events.fits", "size": len(DATA), "checksums": sums})
    (one,) = found.inputs
    assert (tmp_path / "data" / "in" / "events.fits").read_bytes() == DATA
    assert (one.path, one.size, one.sha256) == (
        "/data/in/events.fits",
        len(DATA),
        hashlib.sha256(DATA).hexdigest(),
    )
    basket = decode((tmp_path / "data" / "basket.json").read_bytes(), Basket)
    assert basket == found.basket
    assert basket.items[0].path == "/data/in/events.fits"
    assert found.env == {"REPROLAKE_BASKET": "/data/basket.json"}


def test_a_copy_is_no_link(tmp_path, events):
    """What the run could reach is a copy: the user's file is not it."""
    staged(tmp_path, "file:events.fits")
    assert os.stat(tmp_path / "data" / "in" / "events.fits").st_ino != events.stat().st_ino


def test_no_host_path_reaches_the_notebook(tmp_path, events):
    """Neither the normalised basket nor the record of inputs tells where the file was."""
    found = staged(tmp_path, {"name": "e", "url": events.as_uri(), "also": [events.as_uri()]})
    text = (tmp_path / "data" / "basket.json").read_text()
    assert str(tmp_path) not in text
    assert "file:events.fits" in text
    assert found.inputs[0].source == "file:events.fits"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": 3}, f"size {len(DATA)} bytes, promised 3 bytes"),
        ({"sha256": "0" * 64}, f"sha256 {hashlib.sha256(DATA).hexdigest()}, promised {'0' * 64}"),
        ({"md5": "0" * 32}, "md5"),
        ({"adler32": "1"}, "promised 00000001"),
    ],
)
def test_another_file_than_promised_is_refused_with_both_values(tmp_path, events, change, said):
    """A wrong size or checksum names what was found and what was promised."""
    assert said in refused(tmp_path, {"url": "file:events.fits"} | change)


def test_a_missing_file_is_answered_with_the_nearest(tmp_path, events):
    """A typo in the basket is easy to find."""
    said = refused(tmp_path, "file:event.fits")
    assert "which does not exist" in said
    assert "did you mean events.fits?" in said


def test_links_of_the_user_are_followed(tmp_path, events):
    """Data sets are often links to a big disk: the user's own are followed."""
    (tmp_path / "home" / "link.fits").symlink_to(events)
    assert staged(tmp_path, "file:link.fits").inputs[0].size == len(DATA)
    assert not (tmp_path / "data" / "in" / "link.fits").is_symlink()


def test_pipes_devices_and_folders_are_not_opened(tmp_path, events):
    """A pipe would wait for ever, a device could act, a folder is no file."""
    os.mkfifo(tmp_path / "home" / "pipe")
    (tmp_path / "home" / "zero").symlink_to("/dev/zero")
    assert "no plain file" in refused(tmp_path, "file:pipe")
    assert "no plain file" in refused(tmp_path, "file:zero")
    assert "is a folder" in refused(tmp_path, "file:.")


def test_a_file_that_is_longer_than_it_says_is_refused(tmp_path):
    """Files of /proc have no size and no end that could be relied on."""
    (tmp_path / "home").mkdir()
    assert "changed while it was read" in refused(tmp_path, "file:/proc/self/status")


def test_items_of_later_transports_are_left_out_unless_needed(tmp_path, events):
    """What cannot be fetched yet stays in the basket without a path; a parameter that needs it stops the run."""
    web = {"name": "w", "url": "https://example.org/w.fits"}
    found = staged(tmp_path, "file:events.fits", web)
    assert [item.path for item in found.basket.items] == ["/data/in/events.fits", ""]
    (wanted,) = (item.id for item in found.basket.items if item.name == "w")
    assert "https: URLs cannot be fetched" in refused(tmp_path, web, needed=frozenset({wanted}))


def test_two_items_of_one_name_both_arrive(tmp_path, events):
    """Files of one name from two folders do not overwrite each other."""
    (tmp_path / "home" / "b").mkdir()
    (tmp_path / "home" / "b" / "events.fits").write_bytes(b"other")
    found = staged(tmp_path, "file:events.fits", "file:b/events.fits")
    assert [one.path for one in found.inputs] == ["/data/in/events.fits", "/data/in/events~2.fits"]


def test_an_unwritable_folder_is_explained(tmp_path, events):
    """When the copies cannot be written, the message says where and what to do."""
    (tmp_path / "data").write_text("in the way")
    assert "could not be written to" in refused(tmp_path, "file:events.fits")
