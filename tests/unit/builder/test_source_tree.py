"""Files of a source are read without ever leaving it."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_trees import Link, source_tree

from reprolake_builder.errors import DetectError


def test_links_inside_the_tree_are_followed(tmp_path):
    """Links to files and folders of the tree lead there, also upwards inside it and through each other."""
    tree = source_tree(
        tmp_path,
        {
            "env/base.txt": "numpy\n",
            "requirements.txt": Link("env/base.txt"),
            "binder": Link("env"),
            "env/up": Link("../requirements.txt"),
            "dangling": Link("nowhere"),
            "here": Link("."),
        },
    )
    for path in (
        "requirements.txt",
        "binder/base.txt",
        "env/up",
        "binder/up",
        "./env//base.txt",
        "here/env/base.txt",
    ):
        assert tree.read_text(path) == "numpy\n"
        assert tree.sha256(path) == tree.sha256("env/base.txt")
    assert tree.is_folder("binder")
    assert tree.names("binder") == ("base.txt", "up")
    assert [tree.read_text(path) for path in ("dangling", "binder", "none", "env/base.txt/x")] == [None] * 4


@pytest.mark.parametrize("target", ["/etc/passwd", "../x", "../../../etc/passwd", "a/../../x", "loop"])
def test_links_out_of_the_tree_are_refused(tmp_path, target):
    """A link that leads out, or round in circles, is an error and never a way to the host's files."""
    tree = source_tree(tmp_path, {"loop": Link(target), "a/b": "x"})
    with pytest.raises(DetectError, match="leads out"):
        tree.read_text("loop")


def test_only_text_of_a_sensible_size_is_read(tmp_path):
    """UTF-8 with or without mark and UTF-16 with one are text; other bytes and more than 4 MiB are refused."""
    tree = source_tree(
        tmp_path,
        {
            "bom": b"\xef\xbb\xbfa",
            "wide": "a".encode("utf-16"),
            "bytes": b"a\nb\xff\n",
            "large": b"a" * ((4 << 20) + 1),
        },
    )
    assert (tree.read_text("bom"), tree.read_text("wide")) == ("a", "a")
    with pytest.raises(DetectError, match="bytes:2 is no UTF-8 text"):
        tree.read_text("bytes")
    with pytest.raises(DetectError, match="too large"):
        tree.read_text("large")


PATHS = st.lists(st.sampled_from(["..", ".", "a", "b", "l", "out", "", "etc", "passwd"]), max_size=8).map(
    "/".join
)


@settings(max_examples=150, deadline=None)
@given(PATHS, PATHS, PATHS)
def test_whatever_is_asked_for_stays_inside(path, first, second):
    """For any links and any path, what is read is a file of the tree, or nothing, or an error."""
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "passwd").write_text("secret")
        tree = source_tree(
            Path(temporary), {"a/b": "inside", "l": Link(first or "/"), "a/out": Link(second or "..")}
        )
        with contextlib.suppress(DetectError):
            assert tree.read_text(path) in {None, "inside"}
