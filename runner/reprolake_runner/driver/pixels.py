"""PNG images compared by pixels. Images are a stranger's: this runs where the driver is confined, and decodes with limits.

Source: Portable Network Graphics (third edition), 5 (chunks), 6.2 (alpha), 9 (filtering), 11.2 (IHDR, PLTE).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_PIXELS = 8 << 20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
SEEN = 8
"""Differences of a colour up to this much of 255 are not seen."""


class NotComparable(ValueError):  # noqa: N818  (it names what the image is)
    """An image that cannot be decoded here."""


@dataclass(frozen=True, slots=True)
class _Header:
    width: int
    height: int
    depth: int
    kind: int

    @property
    def row_bytes(self) -> int:
        return (self.width * _CHANNELS[self.kind] * self.depth + 7) // 8

    @property
    def pixel_bytes(self) -> int:
        """Distance of a byte to the one that its filter looks at."""
        return max(1, _CHANNELS[self.kind] * self.depth // 8)


@dataclass(frozen=True, slots=True)
class Image:
    """Rows of 8-bit RGBA."""

    width: int
    height: int
    rows: tuple[bytes, ...]


def differing_share(saved: bytes, new: bytes) -> float:
    """Return which share of the pixels of two PNG images differs visibly, from 0 to 1. Raises NotComparable.

    Images of other sizes differ in all of them.
    """
    one, other = decode(saved), decode(new)
    if (one.width, one.height) != (other.width, other.height):
        return 1.0
    changed = sum(_changed(*rows) for rows in zip(one.rows, other.rows, strict=True) if rows[0] != rows[1])
    return changed / (one.width * one.height)


def _changed(row: bytes, other: bytes) -> int:
    far = [abs(a - b) > SEEN for a, b in zip(row, other, strict=True)]
    return sum(map(any, zip(far[0::4], far[1::4], far[2::4], far[3::4], strict=True)))


def decode(data: bytes) -> Image:
    """Return the pixels of a PNG. Raises NotComparable for what is none, is too large or has its rows interlaced."""
    if not data.startswith(_SIGNATURE):
        raise NotComparable("it is no PNG")
    header: _Header | None = None
    packed: list[bytes] = []
    palette, alpha = b"", b""
    for kind, body in _chunks(data):
        if kind == b"IHDR":
            header = _header(body)
        elif kind == b"PLTE":
            palette = body
        elif kind == b"tRNS":
            alpha = body
        elif kind == b"IDAT":
            packed.append(body)
    if header is None:
        raise NotComparable("it has no header")
    rows = tuple(_rgba(row, header, palette, alpha) for row in _unfiltered(_unpacked(packed, header), header))
    return Image(header.width, header.height, rows)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_SIGNATURE)
    while place + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        yield kind, data[place + 8 : place + 8 + size]
        place += 12 + size


def _header(body: bytes) -> _Header:
    if len(body) != 13:
        raise NotComparable("its header is damaged")
    width, height, depth, kind, compression, filtering, interlace = struct.unpack(">IIBBBBB", body)
    if depth not in _DEPTHS.get(kind, ()) or compression or filtering:
        raise NotComparable("its form is none of PNG's")
    if interlace:
        raise NotComparable("its rows are interlaced")
    if not 0 < width * height <= _MOST_PIXELS:
        raise NotComparable(f"it has {width * height} pixels")
    return _Header(width, height, depth, kind)


def _unpacked(packed: list[bytes], header: _Header) -> bytes:
    wanted = (header.row_bytes + 1) * header.height
    try:
        found = zlib.decompressobj().decompress(b"".join(packed), wanted)
    except zlib.error as error:
        raise NotComparable(f"it is damaged: {error}") from error
    if len(found) != wanted:
        raise NotComparable("it ends too early")
    return found


def _unfiltered(data: bytes, header: _Header) -> Iterator[bytes]:
    size, back = header.row_bytes, header.pixel_bytes
    above = bytes(size)
    for start in range(0, len(data), size + 1):
        above = _row(data[start], data[start + 1 : start + 1 + size], above, back)
        yield above


def _row(method: int, row: bytes, above: bytes, back: int) -> bytes:
    match method:
        case 0:
            return row
        case 1:
            found = bytearray(len(row))
            for channel in range(back):
                found[channel::back] = bytes(total & 255 for total in accumulate(row[channel::back]))
            return bytes(found)
        case 2:
            return bytes((a + b) & 255 for a, b in zip(row, above, strict=True))
        case 3:
            found = bytearray(back) + row
            for place, up in enumerate(above, back):
                found[place] = (found[place] + ((found[place - back] + up) >> 1)) & 255
            return bytes(found[back:])
        case 4:
            return _paeth(row, above, back)
        case _:
            raise NotComparable("a row has a filter that PNG does not know")


def _paeth(row: bytes, above: bytes, back: int) -> bytes:
    found = bytearray(back) + row
    before = bytes(back) + above
    for place in range(back, len(found)):
        left, up, corner = found[place - back], before[place], before[place - back]
        to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
        nearest = left if to_left <= to_up and to_left <= to_corner else up if to_up <= to_corner else corner
        found[place] = (found[place] + nearest) & 255
    return bytes(found[back:])


def _rgba(row: bytes, header: _Header, palette: bytes, alpha: bytes) -> bytes:
    """Return one row as RGBA; of a transparent colour only a palette's counts."""
    samples = _samples(row, header)
    made = bytearray(b"\xff") * (4 * header.width)
    match header.kind:
        case 0 | 4:
            step = _CHANNELS[header.kind]
            made[0::4] = made[1::4] = made[2::4] = samples[0::step]
            if step == 2:
                made[3::4] = samples[1::2]
        case 2 | 6:
            step = _CHANNELS[header.kind]
            for channel in range(step):
                made[channel::4] = samples[channel::step]
        case _:
            colours = palette[:768].ljust(768, b"\0")
            tables = (colours[0::3], colours[1::3], colours[2::3], alpha[:256].ljust(256, b"\xff"))
            for channel, table in enumerate(tables):
                made[channel::4] = samples.translate(table)
    return bytes(made)


def _samples(row: bytes, header: _Header) -> bytes:
    """Return a row's samples as a byte each: indexes of a palette as they are, others from 0 to 255."""
    depth = header.depth
    if depth == 16:
        return row[0::2]
    if depth == 8:
        return row
    most = (1 << depth) - 1
    factor = 1 if header.kind == 3 else 255 // most
    per_byte = range(8 - depth, -1, -depth)
    return bytes(((byte >> shift) & most) * factor for byte in row for shift in per_byte)[: header.width]
