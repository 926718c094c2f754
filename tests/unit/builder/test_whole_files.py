"""A file is written whole or not at all."""

from __future__ import annotations

import pytest

from reprolake_builder.whole_files import replacing, write_whole


def test_a_file_takes_the_place_of_another(tmp_path):
    """What was there is replaced, and nothing else is left in the folder, however long the name."""
    path = tmp_path / ("x" * 255)
    path.write_text("before")
    write_whole(path, b"after")
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    """Where a link lies the file takes its place: what it led to stays as it is."""
    (tmp_path / "other").write_text("untouched")
    (tmp_path / "file").symlink_to("other")
    write_whole(tmp_path / "file", b"after")
    assert (tmp_path / "other").read_text() == "untouched"
    assert (tmp_path / "file").read_bytes() == b"after"


def test_an_error_leaves_what_was_there(tmp_path):
    """When writing fails the old file stays, and the half-written one goes."""
    path = tmp_path / "file"
    path.write_text("before")

    def fail_halfway() -> None:
        with replacing(path) as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_the_error_itself(tmp_path):
    """Without the folder, the error of writing is what is told."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_whole(tmp_path / "nowhere" / "file", b"")
