"""Files that the user brings along lie in the repository, wherever its links lead."""

from __future__ import annotations

import os

import pytest

from reprolake_runner.added import add_files
from reprolake_runner.errors import StageInError


@pytest.fixture
def places(tmp_path):
    """A repository, a file to bring along, where it is laid out, and a folder of the host."""
    for name in ("repository/real", "laid", "host"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "mine.py").write_text("1")
    return tmp_path


@pytest.mark.parametrize("target", ["{host}", "../host", "..", "/", "real/../../host"])
@pytest.mark.parametrize("folder", ["link", "link/deeper", "real/../link"])
def test_a_link_of_the_repository_puts_no_file_elsewhere(places, target, folder):
    """A working folder that a link leads out of the repository is refused, and nothing is written."""
    (places / "repository/link").symlink_to(target.format(host=places / "host"))
    before = sorted(places.rglob("*"))
    with pytest.raises(StageInError, match="leads out of the repository"):
        add_files([places / "mine.py"], places / "repository", folder, places / "laid")
    assert sorted(places.rglob("*")) == before


def test_a_link_within_the_repository_is_followed(places):
    """What a link leads to in the repository is the working folder, as the program will have it."""
    (places / "repository/link").symlink_to("real")
    (added,) = add_files([places / "mine.py"], places / "repository", "link/sub", places / "laid")
    assert added.path == "real/sub/mine.py"
    assert (places / "laid/real/sub/mine.py").read_text() == "1"


def test_a_name_that_no_record_can_hold_is_refused(places):
    """A file whose name is no UTF-8 is told of, not brought along and then missed when the record is written."""
    odd = places / os.fsdecode(b"mine\xff.py")
    odd.write_text("1")
    with pytest.raises(StageInError, match="no UTF-8"):
        add_files([odd], places / "repository", "", places / "laid")
