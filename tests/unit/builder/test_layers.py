"""Layers: few, in one order, with the same winner in a run and in an exported image."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from reprolake_builder.documents.base import content_hash
from reprolake_builder.engines.layers import (
    MAX_LAYERS,
    OWN_LAYER,
    Part,
    conflicts,
    make_layers,
    order_packages,
)
from reprolake_builder.progress import SILENT
from reprolake_builder.store import Store
from reprolake_builder.trees import merge


class Sized:
    """A tree of which only the size matters."""

    def __init__(self, size: int) -> None:
        self.size = size


SIZES = st.dictionaries(st.text("abcdef", min_size=1), st.integers(0, 2 * OWN_LAYER), max_size=150)


@settings(deadline=None)
@given(SIZES, st.sets(st.text("abc", max_size=2)), st.randoms())
def test_the_order_does_not_depend_on_how_packages_come(sizes, requested, random):
    """However the packages come, they are grouped the same, each once, within the limit."""
    parts = [Part(name, Sized(size)) for name, size in sizes.items()]
    shuffled = list(parts)
    random.shuffle(shuffled)
    groups = order_packages(parts, requested)
    again = order_packages(shuffled, requested)
    assert [[p.name for p in g] for g in groups] == [[p.name for p in g] for g in again]
    assert sorted(part.name for group in groups for part in group) == sorted(sizes)
    assert len(groups) <= MAX_LAYERS + 1


def test_what_changes_least_lies_lowest():
    """Dependencies lie below what was asked for, large packages below smaller ones, and the small ones on top together."""
    sizes = {"a": 2, "b": 3, "numpy": 70 << 20, "pandas": 65 << 20, "scipy": 90 << 20, "six": 2 << 20}
    parts = [Part(name, Sized(size)) for name, size in sizes.items()]
    groups = order_packages(parts, {"pandas"})
    assert [[p.name for p in g] for g in groups] == [["numpy"], ["scipy"], ["six"], ["pandas"], ["a", "b"]]


def tree(store: Store, number: int, files: dict[str, str]):
    def fill(root):
        for name, text in files.items():
            (root / name).write_text(text)

    return store.make_tree(f"{number:064x}", fill)


def test_conflicts_name_the_file_and_the_winner(tmp_path):
    """Of two packages that hold one path with different content, the later wins, and both are named."""
    store = Store(tmp_path)
    parts = (Part("one", tree(store, 1, {"same": "1"})), Part("two", tree(store, 2, {"same": "2"})))
    assert conflicts((parts,)) == ("one and two both hold same; that of two is used",)
    merged, _ = merge((part.tree.root, part.tree.entries) for part in parts)
    assert merged[0].root == parts[1].tree.root


def test_equal_files_are_no_conflict(tmp_path):
    """Two packages may hold the same file."""
    store = Store(tmp_path)
    parts = (Part("one", tree(store, 1, {"same": "1"})), Part("two", tree(store, 2, {"same": "1"})))
    assert conflicts((parts,)) == ()


def test_a_layer_is_hashed_once(tmp_path):
    """The second time a layer's digest is remembered, and it is the same."""
    store = Store(tmp_path)
    group = (Part("one", tree(store, 1, {"a": "1"})), Part("two", tree(store, 2, {"b": "2"})))
    first = make_layers((group,), store, SILENT)
    assert len(list((tmp_path / "documents/layers").iterdir())) == 1
    assert make_layers((group,), store, SILENT) == first


def test_of_many_shared_files_the_first_are_named(tmp_path):
    """Two packages that claim many files are told of in a few sentences."""
    store = Store(tmp_path / "store")

    def filled(text):
        def fill(root):
            for number in range(9):
                (root / f"f{number}").write_text(text)

        return fill

    one, two = (
        Part(name, store.make_tree(content_hash({"many": name}), filled(name))) for name in ("one", "two")
    )
    assert conflicts(((one,), (two,))) == (
        *(f"one and two both hold f{number}; that of two is used" for number in range(3)),
        "one and two both hold 6 more files; those of two are used",
    )


@given(SIZES, st.integers(1, 40))
def test_layers_can_be_kept_for_others(sizes, most):
    """No more packages have a layer of their own than that, and those are the largest."""
    groups = order_packages([Part(name, Sized(size)) for name, size in sizes.items()], (), most)
    alone = [group[0].tree.size for group in groups if len(group) == 1 and group[0].tree.size >= OWN_LAYER]
    assert len(groups) <= most + 1
    assert sum(len(group) for group in groups) == len(sizes)
    shared = [part.tree.size for group in groups if len(group) > 1 for part in group]
    assert not alone or not shared or min(alone) >= max(shared)
