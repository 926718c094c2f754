"""Where the paths of packages lead: always inside the tree, whatever links stand in the way."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprolake_builder.engines.debian_tree import TreeMaker, clean
from reprolake_builder.errors import BuildError
from reprolake_builder.store import Store
from reprolake_builder.trees import Filled, Owned

PARTS = st.sampled_from([b"a", b"b", b"c", b"d"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(b"/".join)
TARGETS = st.builds(
    lambda prefix, path: prefix + path,
    st.sampled_from([b"", b"/", b"../", b"../../../../", b"/../", b"./"]),
    st.one_of(PATHS, st.just(b"")),
).filter(bool)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("folder"), PATHS, st.just(b"")),
        st.tuples(st.just("file"), PATHS, st.just(b"")),
        st.tuples(st.just("link"), PATHS, TARGETS),
        st.tuples(st.just("hard link"), PATHS, PATHS),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_nothing_is_ever_written_outside(tmp_path_factory, steps):
    """Any sequence of folders, files and links stays below the root, and the model agrees with the disk."""
    top = tmp_path_factory.mktemp("top")
    root = top / "deep" / "root"
    root.mkdir(parents=True)
    maker = TreeMaker(root)
    for kind, path, target in steps:
        try:
            match kind:
                case "folder":
                    maker.folder(path)
                case "file":
                    maker.write(path, b"content")
                case "link":
                    maker.link(path, target)
                case _:
                    maker.hard_link(path, target)
        except BuildError:
            continue
    assert os.listdir(top) == ["deep"]
    assert os.listdir(top / "deep") == ["root"]
    on_disk = {os.fsencode(path.relative_to(root)) for path in root.rglob("*")}
    assert on_disk == set(maker.nodes)


@pytest.mark.parametrize("path", ["../a", "a/../../b", "/..", "a/..", b"a\0b"])
def test_paths_that_lead_out_are_refused(path):
    """No package has a reason to write two dots in a path."""
    with pytest.raises(BuildError, match="leads out of it"):
        clean(path)


@given(st.binary(max_size=30))
def test_a_clean_path_is_relative_and_stays_clean(raw):
    """What is not refused has no leading slash, no empty part and no dots, and cleaning it again changes nothing."""
    try:
        path = clean(raw)
    except BuildError:
        return
    assert clean(path) == path
    assert not {b".", b".."} & set(path.split(b"/"))
    assert path == b"" or all(path.split(b"/"))


@pytest.fixture
def maker(tmp_path):
    """An empty tree with a merged /usr."""
    maker = TreeMaker(tmp_path)
    maker.link(b"lib", b"usr/lib")
    return maker


def test_a_package_that_knows_no_merged_usr_is_put_in_it(maker, tmp_path):
    """Files and hard links below /lib lie in /usr/lib, and a folder /lib leaves the link alone."""
    maker.folder(b"lib")
    maker.write("lib/x/one", b"1")
    maker.hard_link(b"lib/two", b"lib/x/one")
    assert (tmp_path / "lib").is_symlink()
    assert (tmp_path / "usr/lib/x/one").samefile(tmp_path / "usr/lib/two")


def test_absolute_links_lead_inside_the_tree(maker, tmp_path):
    """/etc of a link is the image's, not the host's."""
    maker.link(b"conf", b"/etc")
    maker.write("conf/passwd", b"image")
    assert (tmp_path / "etc/passwd").read_bytes() == b"image"
    assert maker.read("conf/passwd") == b"image"


def test_links_in_a_circle_are_an_error(maker):
    """A path that never ends is refused instead of followed for ever."""
    maker.link(b"one", b"two")
    maker.link(b"two", b"one")
    with pytest.raises(BuildError, match="in a circle"):
        maker.write("one/x", b"")


def test_a_file_takes_the_place_of_a_link_without_writing_through_it(maker, tmp_path):
    """The file a link led to keeps its content."""
    maker.write("target", b"kept")
    maker.link(b"name", b"target")
    maker.write("name", b"new")
    assert (tmp_path / "target").read_bytes() == b"kept"
    assert (tmp_path / "name").read_bytes() == b"new"


def test_replacing_one_name_of_a_file_leaves_the_other(maker, tmp_path):
    """A hard-linked file is replaced under one name only."""
    maker.write("one", b"old")
    maker.hard_link(b"two", b"one")
    maker.write("two", b"new")
    assert (tmp_path / "one").read_bytes() == b"old"


def test_folders_and_files_do_not_take_each_others_place(maker):
    """Two packages that disagree on what a path is are an error."""
    maker.folder(b"folder/inside")
    maker.write("file", b"")
    with pytest.raises(BuildError, match="is a folder in one"):
        maker.write("folder", b"")
    with pytest.raises(BuildError, match="is a file in one"):
        maker.folder(b"file")
    with pytest.raises(BuildError, match="is no file of it"):
        maker.hard_link(b"other", b"missing")


def test_the_first_owner_of_a_folder_stays(maker):
    """A folder on the way to something gets the owner that is told first, and keeps it."""
    maker.write("var/mail/x", b"")
    maker.folder(b"var/mail", Owned(0o2775, 0, 8))
    maker.folder(b"var/mail", Owned(0o755))
    assert maker.exceptions() == {b"var/mail": Owned(0o2775, 0, 8)}


def test_an_upper_tree_follows_the_lower_ones_links_and_owners(tmp_path):
    """What lies on a base goes where the base's links lead, and the folders on the way keep their owners."""

    def fill(root: Path):
        lower = TreeMaker(root)
        lower.link(b"lib", b"usr/lib")
        lower.folder(b"usr/lib/x", Owned(0o1777))
        lower.write("usr/lib/x/base", b"base")
        return Filled(lower.exceptions())

    base = Store(tmp_path / "store").make_tree("0" * 64, fill)
    upper = TreeMaker(tmp_path / "upper", base)
    (tmp_path / "upper").mkdir()
    upper.write("lib/x/mine", b"1", Owned(0o4755))
    assert {path.relative_to(tmp_path / "upper").as_posix() for path in (tmp_path / "upper").rglob("*")} == {
        "usr",
        "usr/lib",
        "usr/lib/x",
        "usr/lib/x/mine",
    }
    assert upper.exceptions() == {b"usr/lib/x": Owned(0o1777), b"usr/lib/x/mine": Owned(0o4755)}
    assert upper.read("lib/x/base") == b"base"
