"""The root file system of an image is what its layers make when they are laid over each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from reprolake_builder.errors import PublishError
from reprolake_builder.rootfs import flatten
from reprolake_builder.trees import Entry, Placed

ONE, TWO = Path("/one"), Path("/two")


def layer(root, *entries):
    return [Placed(entry, root) for entry in sorted(entries, key=lambda entry: entry.path)]


def folder(path, mode=0o755):
    return Entry(path, "d", mode)


def file(path, content=b"x", mode=0o644):
    return Entry(path, "f", mode, size=len(content), sha256=content.ljust(32, b"\0"))


def at(items):
    return {item.entry.path: item for item in items}


def test_a_later_file_wins_and_tells_its_layer():
    """A file of the upper layer takes the place of the lower one's, whose neighbours stay."""
    found = at(flatten([layer(ONE, file(b"a"), file(b"b")), layer(TWO, file(b"a", b"new"))]))
    assert (found[b"a"].content, found[b"a"].layer, found[b"a"].entry.size) == (b"/two/a", 1, 3)
    assert (found[b"b"].content, found[b"b"].layer) == (b"/one/b", 0)


def test_a_file_over_a_folder_removes_what_was_in_it():
    """What lay in a folder is gone when an upper layer has a file in its place; names that only begin alike stay."""
    lower = layer(ONE, folder(b"a"), file(b"a/b"), file(b"a-b"))
    assert sorted(at(flatten([lower, layer(TWO, file(b"a"))]))) == [b"a", b"a-b"]


def test_a_hard_link_keeps_the_content_of_its_layer():
    """Where only one of two links is replaced above, the other one is a file with the old content."""
    lower = layer(ONE, file(b"a", b"old", 0o755), Entry(b"b", "h", 0o755, target=b"a"))
    found = at(flatten([lower, layer(TWO, file(b"a", b"newer"))]))
    assert (found[b"b"].entry.kind, found[b"b"].entry.size, found[b"b"].content) == ("f", 3, b"/one/a")
    assert found[b"a"].content == b"/two/a"


def test_hard_links_share_mode_and_owner():
    """The first link in order is the file, the others point to it, and all have what the last link says."""
    lower = layer(ONE, file(b"a"), Entry(b"b", "h", 0o4755, 5, 6, target=b"a"))
    found = at(flatten([lower]))
    assert (found[b"b"].entry.kind, found[b"b"].entry.target) == ("h", b"a")
    assert [(e.entry.mode, e.entry.uid, e.entry.gid) for e in found.values()] == [(0o4755, 5, 6)] * 2


@pytest.mark.parametrize(
    "entries",
    [
        [Entry(b"lib", "l", 0o777, target=b"/etc"), file(b"lib/passwd")],
        [file(b"a/b")],
        [file(b"a"), file(b"a/b")],
        [folder(b".."), file(b"../x")],
        [file(b"..")],
        [file(b"/etc/passwd")],
        [folder(b"a"), file(b"a/")],
        [folder(b"a"), file(b"a/.wh.b")],
        [file(b".wh..wh..opq")],
        [file(b"a\0b")],
        [Entry(b"b", "h", 0o644, target=b"../../etc/passwd")],
        [folder(b"a"), Entry(b"b", "h", 0o644, target=b"a")],
    ],
)
def test_what_no_root_file_system_can_hold_is_refused(entries):
    """A path below a link, above the root, without its folder or with a meaning of its own stops the output."""
    with pytest.raises(PublishError):
        flatten([layer(ONE, *entries)])


def test_a_path_below_a_link_of_a_lower_layer_is_refused():
    """An upper layer cannot reach through a lower one's symbolic link."""
    with pytest.raises(PublishError, match="below /lib, which is no folder"):
        flatten([layer(ONE, Entry(b"lib", "l", 0o777, target=b"/etc")), layer(TWO, file(b"lib/passwd"))])
