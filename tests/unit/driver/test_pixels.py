"""PNG decoded by our own hands, and compared."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprolake_runner.driver.pixels import NotComparable, decode, differing_share


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, rows, *, kind=6, depth=8, extra=(), interlace=0):
    """A PNG of rows, each a filter's number and its filtered bytes."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace)
    data = zlib.compress(b"".join(bytes([method]) + row for method, row in rows))
    chunks = [(b"IHDR", header), *extra, (b"IDAT", data[:7]), (b"IDAT", data[7:]), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def filtered(method, row, above, back):
    """A row filtered as the specification writes it, byte by byte."""
    found = []
    for place, value in enumerate(row):
        left = row[place - back] if place >= back else 0
        up, corner = above[place], above[place - back] if place >= back else 0
        guess = left + up - corner
        nearest = min((left, up, corner), key=lambda one: abs(guess - one))
        found.append((value - (0, left, up, (left + up) // 2, nearest)[method]) & 255)
    return bytes(found)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_every_filter_is_undone(data):
    """Random images filtered by any method come back as they were, of one to four channels and 8 or 16 bits."""
    kind = data.draw(st.sampled_from([0, 2, 4, 6]))
    depth = data.draw(st.sampled_from([8, 16]))
    width, height = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    size = width * channels * depth // 8
    rows = [data.draw(st.binary(min_size=size, max_size=size)) for _ in range(height)]
    methods = [data.draw(st.integers(0, 4)) for _ in range(height)]
    above = [bytes(size), *rows[:-1]]
    back = channels * depth // 8
    image = decode(
        png(
            width,
            height,
            [(m, filtered(m, r, a, back)) for m, r, a in zip(methods, rows, above, strict=True)],
            kind=kind,
            depth=depth,
        )
    )
    for row, found in zip(rows, image.rows, strict=True):
        samples = row[:: depth // 8]
        for pixel in range(width):
            one = samples[pixel * channels : (pixel + 1) * channels]
            colour = one[:3] if channels > 2 else one[:1] * 3
            alpha = one[-1:] if channels in {2, 4} else b"\xff"
            assert found[4 * pixel : 4 * pixel + 4] == colour + alpha


def test_palettes_and_small_depths():
    """Indexes go through the palette and its transparency, few bits of grey are spread over all."""
    extra = ((b"PLTE", b"\x01\x02\x03\x04\x05\x06"), (b"tRNS", b"\x07"))
    image = decode(png(3, 1, [(0, b"\x50")], kind=3, depth=2, extra=extra))
    assert image.rows == (b"\x04\x05\x06\xff\x04\x05\x06\xff\x01\x02\x03\x07",)
    assert decode(png(2, 1, [(0, b"\x80")], kind=0, depth=1)).rows == (b"\xff" * 4 + b"\x00\x00\x00\xff",)


def test_pixels_that_differ_visibly_are_counted():
    """Small differences of colour are not seen, larger ones count by pixel, another size counts as all."""

    def image(*reds):
        return png(4, 1, [(0, b"".join(bytes([red, 0, 0, 255]) for red in reds))])

    assert differing_share(image(0, 0, 0, 0), image(8, 0, 0, 0)) == 0
    assert differing_share(image(0, 0, 0, 0), image(9, 0, 200, 0)) == 0.5
    assert differing_share(image(0, 0, 0, 0), png(1, 1, [(0, b"\0\0\0\xff")])) == 1.0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"GIF89a", "no PNG"),
        (b"\x89PNG\r\n\x1a\n", "no header"),
        (png(1, 1, [(0, b"\0\0\0\0")], interlace=1), "interlaced"),
        (png(1, 1, [(5, b"\0\0\0\0")]), "filter"),
        (png(2, 1, [(0, b"\0\0\0\0")]), "too early"),
        (png(1, 1, [(0, b"\0")], depth=3), "none of PNG's"),
        (png(0, 1, []), "0 pixels"),
        (png(1 << 30, 1 << 30, []), "pixels"),
        (png(1, 1, [(0, b"\0\0\0\0")]).replace(b"IDAT", b"iDAT"), "too early"),
    ],
)
def test_what_cannot_be_decoded_says_why(data, said):
    """Damaged, interlaced and immense images are named as such before anything is made of them."""
    with pytest.raises(NotComparable, match=said):
        decode(data)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 200), st.binary(max_size=8))
def test_damage_never_ends_in_another_error(place, damage):
    """A byte changed anywhere gives pixels or says that there are none."""
    data = bytearray(png(2, 2, [(1, bytes(8)), (4, bytes(range(8)))]))
    data[place : place + len(damage)] = damage
    try:
        image = decode(bytes(data))
    except NotComparable:
        return
    assert all(len(row) == 4 * image.width for row in image.rows)
