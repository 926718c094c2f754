"""Outputs of a cell beside those that it was saved with."""

from __future__ import annotations

import base64
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.notebooknode import from_dict
from PIL import Image

from reprolake_runner.documents.run import CheckSpec
from reprolake_runner.driver.check import SavedCell, check_cell

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


def checked(saved, new, count=1, **how):
    cell = from_dict({"outputs": new})
    return check_cell(3, SavedCell(cell, saved, count), CheckSpec(**how), NOW)


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def shown(**data):
    named = {kind.replace("__", "+").replace("_", "/"): value for kind, value in data.items()}
    return {"output_type": "display_data", "data": named, "metadata": {}}


def error(name, value, *lines):
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": list(lines)}


@pytest.mark.parametrize(
    ("saved", "new", "verdict"),
    [
        ([], [], "same"),
        ([stream("a\n")], [stream("a\n")], "same"),
        ([stream(["a\n", "b"])], [stream("a\n"), stream("b")], "same"),
        ([stream("a")], [stream("a"), stream("warning!", "stderr")], "same"),
        ([stream("0x7f0000000001")], [stream("0x7f0000000002")], "close"),
        ([stream("a")], [stream("b")], "differs"),
        ([stream("a")], [], "differs"),
        ([], [stream("a")], "differs"),
        ([stream("a")], [shown(text_plain="a")], "differs"),
        ([shown(text_plain="1.0")], [shown(text_plain="1.00000001")], "close"),
        ([shown(text_plain="1", text_html="<b>1</b>")], [shown(text_plain="1", text_html="<b>2</b>")], "differs"),
        ([shown(text_plain="1", text_html="x")], [shown(text_plain="1")], "same"),
        ([shown(text_latex="x")], [shown(text_plain="x")], "differs"),
        ([shown(**{"application_vnd.jupyter.widget-view__json": {"model_id": "a"}})], [shown(**{"application_vnd.jupyter.widget-view__json": {"model_id": "b"}})], "same"),
        ([error("E", "x", "1")], [error("E", "x", "2")], "same"),
        ([error("E", "x")], [error("E", "y")], "differs"),
    ],
)  # fmt: skip
def test_outputs_are_compared_one_by_one(saved, new, verdict):
    """Standard error, tracebacks, pieces of a stream and made-up names make no difference; all else does."""
    found = checked(saved, new)
    assert (found.index, found.verdict) == (3, verdict)
    assert bool(found.reason) == (verdict in {"close", "differs"})


def test_a_cell_that_was_never_run_has_nothing_to_compare():
    """Outputs where none were saved say so, when the cell had not been executed."""
    assert checked([], [stream("a")], count=None).verdict == "not-saved"


def test_tolerances_are_those_of_the_run():
    """Numbers and pixels may differ by as much as was asked for."""
    assert checked([stream("1.0")], [stream("1.1")], tolerance=0.2).verdict == "close"
    assert checked([stream("1.0")], [stream("1.1")]).verdict == "differs"


def test_images_that_cannot_be_decoded_are_compared_by_bytes():
    """Equal bytes are the same, others cannot be told to be, and the reason says so."""
    one, other = (base64.b64encode(data).decode() for data in (b"\xff\xd8\xff1", b"\xff\xd8\xff2"))
    assert checked([shown(image_jpeg=one)], [shown(image_jpeg=one + "\n")]).verdict == "same"
    found = checked([shown(image_jpeg=one)], [shown(image_jpeg=other)])
    assert found.verdict == "differs"
    assert "cannot be compared by pixels" in found.reason


@pytest.mark.parametrize(
    ("form", "kind"), [("PNG", "image_png"), ("JPEG", "image_jpeg"), ("WEBP", "image_webp")]
)
def test_images_are_compared_by_pixels(form, kind):
    """A picture that only was encoded in another way is close; one that shows something else differs by its share."""

    def picture(colour, quality):
        stream = io.BytesIO()
        image = Image.new("RGB", (40, 30), "white")
        image.paste(colour, (0, 0, 20, 30))
        image.save(stream, form, quality=quality, lossless=True, compress_level=quality // 10)
        return shown(**{kind: base64.b64encode(stream.getvalue()).decode()})

    assert checked([picture("black", 98)], [picture("black", 90)]).verdict in {"same", "close"}
    found = checked([picture("black", 98)], [picture("red", 98)])
    assert found.verdict == "differs"
    assert "of the pixels differ" in found.reason
    assert checked([picture("black", 98)], [picture("red", 98)], image_tolerance=0.6).verdict == "close"


SVG = """<svg><defs><path id="{0}" d="M 0 0 L 1.0 2.0"/></defs><g id="axes_1">
<use xlink:href="#{0}" x="3.5" clip-path="url(#{1})"/></g><clipPath id="{1}"/></svg>"""
STYLED = """<style>#T_{0}_row0_col0 {{color: red}}</style><table id="T_{0}"><td id="T_{0}_row0_col0">{1}</td></table>"""


@pytest.mark.parametrize(
    ("kind", "saved", "new", "verdict"),
    [
        ("image_svg__xml", SVG.format("m1f00", "p2f00"), SVG.format("m3abc", "p4abc"), "close"),
        ("image_svg__xml", SVG.format("m1f00", "p2f00"), SVG.format("m1f00", "p2f00").replace("3.5", "3.6"), "differs"),
        ("image_svg__xml", SVG.format("m1", "p2"), SVG.format("m1", "p2").replace("#m1", "#p2"), "differs"),
        ("text_html", STYLED.format("5f3a2", 7), STYLED.format("9b0c1", 7), "close"),
        ("text_html", STYLED.format("5f3a2", 7), STYLED.format("9b0c1", 8), "differs"),
        ("text_html", '<table id="table139881264160912">', '<table id="table140353094471632">', "close"),
        ("text_html", "<b id=x>x</b>", "<b id=y>y</b>", "differs"),
    ],
)  # fmt: skip
def test_names_that_nobody_sees_may_differ(kind, saved, new, verdict):
    """Elements of SVG and HTML are named by their order, so that what refers to what still counts."""
    assert checked([shown(**{kind: saved})], [shown(**{kind: new})]).verdict == verdict


def test_a_pdf_may_tell_when_it_was_made():
    """The dates of a PDF are its run's own; what else differs in it counts, and the reason is no base64."""

    def pdf(second, drawn):
        text = f"%PDF-1.4 << /CreationDate (D:202611221428{second}Z) /ID [<{second}> <00>] >> stream {drawn}"
        return shown(application_pdf=base64.b64encode(text.encode()).decode())

    assert checked([pdf(10, "x")], [pdf(11, "x")]).verdict == "close"
    found = checked([pdf(10, "x")], [pdf(11, "y")])
    assert found.verdict == "differs"
    assert "the PDF has other bytes" in found.reason


@given(st.lists(JSON) | JSON, st.lists(JSON))
def test_what_a_strangers_notebook_holds_never_ends_in_an_error(saved, new):
    """Saved outputs may be anything; the comparison says something about them."""
    assert checked(saved, [one for one in new if isinstance(one, dict)]).verdict
