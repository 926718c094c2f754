"""Where inputs lie in the sandbox: names are safe, unique and stay below /data/in."""

from __future__ import annotations

import posixpath

from hypothesis import given
from hypothesis import strategies as st

from reprolake_runner.documents.basket import Basket, BasketItem
from reprolake_runner.placement import Names, place, safe_name

names = st.text(max_size=400) | st.sampled_from(
    ["", ".", "..", "../../etc/passwd", "-rf", "a/b", "CON", "~root"]
)


def basket(*named):
    items = (BasketItem(id=str(n), name=name, url=f"file:///x/{n}") for n, name in enumerate(named))
    return Basket(items=tuple(items))


@given(st.lists(names, max_size=8))
def test_no_name_leads_out_of_the_inputs_folder(given_names):
    """Whatever an item is called, its path is a direct child of /data/in, and no two items share one."""
    paths = [item.path for item in place(basket(*given_names)).items]
    for path in paths:
        assert posixpath.dirname(posixpath.normpath(path)) == "/data/in"
        assert len(posixpath.basename(path).encode()) <= 255
        assert path.isprintable()
    assert len({path.casefold() for path in paths}) == len(paths)


@given(st.binary(min_size=1, max_size=255))
def test_names_of_any_bytes_become_text(raw):
    """A file name need not be text; its safe form is, and it neither hides an option nor a separator."""
    safe = safe_name(raw)
    assert safe.isprintable()
    assert "/" not in safe
    assert safe not in {"", ".", ".."}
    assert not safe.startswith("-")
    assert len(safe.encode()) <= 255


def test_usual_names_stay_as_they_are():
    """A name without anything odd is not touched, nor one in another script."""
    for name in ("events.fits.gz", "Größe 3.ecsv", "видимость.fits", ".hidden", "a-b_c+d,e.txt"):
        assert safe_name(name) == name


def test_a_long_name_keeps_its_suffix():
    """Programs go by suffixes: a name that is cut keeps .fits.gz."""
    assert safe_name("x" * 500 + ".fits.gz").endswith(".fits.gz")


def test_the_file_name_of_the_url_helps_a_name_without_suffix():
    """An item called "events" whose file is events.fits lies at events.fits."""
    items = (BasketItem(id="1", name="events", url="file:///x/ev.fits"),)
    assert place(Basket(items=items)).items[0].path == "/data/in/ev.fits"


def test_items_without_bytes_have_no_path():
    """What cannot be fetched lies nowhere."""
    assert place(Basket(items=(BasketItem(id="1", name="x"),))).items[0].path == ""


def test_many_equal_names_take_linear_time():
    """A hundred thousand items of one name are numbered without a search through all of them."""
    given_out = Names()
    assert len({given_out.unique("a.fits") for _ in range(100_000)}) == 100_000
