"""Images of a stranger compared by their pixels."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from reprolake_runner.driver.pixels import NotComparable, differing_share

FORMATS = ["PNG", "JPEG", "GIF", "WEBP"]


def encoded(image, form="PNG", **how):
    stream = io.BytesIO()
    image.save(stream, form, **how)
    return stream.getvalue()


def drawn(*, square=0, size=(64, 48)):
    """A picture with a square of so many pixels a side, as a plotting library would draw one: few colours, sharp edges."""
    image = Image.new("RGB", size, "white")
    image.paste((200, 30, 30), (0, 0, square, square))
    return image


def claimed(width, height):
    """A PNG whose header claims a size, and that holds next to nothing."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


@pytest.mark.parametrize(
    ("form", "one", "other"),
    [
        ("PNG", {"compress_level": 1}, {"compress_level": 9}),
        ("JPEG", {"quality": 95}, {"quality": 95, "progressive": True}),
        ("JPEG", {"quality": 95}, {"quality": 98}),
        ("GIF", {}, {"comment": b"made later"}),
        ("WEBP", {"lossless": True}, {"lossless": True, "exif": b"made later"}),
    ],
)
def test_other_bytes_of_the_same_picture_are_the_same(form, one, other):
    """What only was encoded in another way has the pixels that it had; a picture that differs does not."""
    image = drawn(square=16)
    before, after = encoded(image, form, **one), encoded(image, form, **other)
    assert before != after
    assert differing_share(before, after) == 0
    # the larger square has a quarter of the pixels more; JPEG lets what lies beside an edge differ, too
    assert 0.25 <= differing_share(before, encoded(drawn(square=32), form, **other)) < 0.4


def test_a_picture_may_change_its_format():
    """What is compared is what is seen."""
    assert differing_share(encoded(drawn(square=8)), encoded(drawn(square=8), "GIF")) == 0


def test_pixels_that_differ_visibly_are_counted():
    """Small differences of a colour are not seen, larger ones count by pixel, another size counts as all."""

    def image(*reds, mode="RGB"):
        made = Image.new(mode, (4, 1))
        for place, red in enumerate(reds):
            made.putpixel((place, 0), (red, 0, 0))
        return encoded(made)

    assert differing_share(image(0, 0, 0, 0), image(8, 0, 0, 0)) == 0
    assert differing_share(image(0, 0, 0, 0), image(9, 0, 200, 0)) == 0.5
    assert differing_share(image(0, 0, 0, 0), encoded(Image.new("RGB", (1, 1)))) == 1.0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_kind_of_png_is_read(mode):
    """Grey, coloured, with a palette, transparent or not: a black picture is not a white one."""
    black, white = (encoded(Image.new("RGBA", (3, 2), colour).convert(mode)) for colour in ("black", "white"))
    assert differing_share(black, black) == 0
    assert differing_share(black, white) == 1.0


def test_sixteen_bits_are_seen_as_eight():
    """What differs in the lower half of a sample cannot be seen, what differs in the upper one can."""

    def grey(value):
        return encoded(Image.new("I;16", (2, 1), value))

    assert differing_share(grey(0x8000), grey(0x80FF)) == 0
    assert differing_share(grey(0x8000), grey(0xFF00)) == 1.0


def test_transparency_counts():
    """A pixel that became transparent differs, and so does one of a palette."""
    opaque, clear = (Image.new("RGBA", (2, 1), (9, 9, 9, alpha)) for alpha in (255, 0))
    assert differing_share(encoded(opaque), encoded(clear)) == 1.0
    assert differing_share(encoded(opaque, "GIF"), encoded(clear, "GIF")) == 1.0


def test_every_frame_of_an_animation_counts():
    """One frame of three that differs is a third of the pixels; one more frame is another animation."""
    first, second, third = (drawn(square=side) for side in (1, 20, 40))

    def film(*frames):
        return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=2)

    whole = film(first, second, third)
    assert differing_share(whole, film(first, second, third)) == 0
    assert 0 < differing_share(whole, film(first, second, first)) < 1 / 3
    assert differing_share(whole, film(first, second)) == 1.0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "none of PNG"),
        (b"%PDF-1.4", "none of PNG"),
        (b"\x89PNG\r\n\x1a\n", "none of PNG"),
        (encoded(drawn())[:60], "truncated|broken|ends|damaged"),
        (encoded(drawn(), "JPEG")[:-40], "truncated"),
        (encoded(drawn(), "BMP"), "none of PNG"),
        (claimed(1 << 30, 1 << 30), "pixels"),
        (claimed(1 << 13, 1 << 13), "pixels"),
    ],
)
def test_what_cannot_be_decoded_says_why(data, said):
    """Damaged, foreign and immense images are named as such, the latter before anything is made of them."""
    with pytest.raises(NotComparable, match=said):
        differing_share(data, data)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FORMATS), st.integers(0, 700), st.binary(max_size=8))
@example("PNG", 33, b"\0\0\0\0")
def test_damage_never_ends_in_another_error(form, place, damage):
    """Bytes changed anywhere give a share or say that there is none."""
    whole = encoded(drawn(square=20), form)
    data = bytearray(whole)
    data[place : place + len(damage)] = damage
    with contextlib.suppress(NotComparable):
        assert 0 <= differing_share(whole, bytes(data)) <= 1
