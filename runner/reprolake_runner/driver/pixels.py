"""Images compared by pixels. They are a stranger's: this runs where the driver is confined, and decodes with limits."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator

from PIL import Image, ImageChops, ImageSequence, UnidentifiedImageError

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
_MOST_PIXELS = 32 << 20
_MOST_FRAMES = 1000
SEEN = 8
"""Differences of a colour up to this much of 255 are not seen."""


class NotComparable(ValueError):  # noqa: N818  (it names what the image is)
    """An image that cannot be decoded here."""


def differing_share(saved: bytes, new: bytes) -> float:
    """Return which share of the pixels of two images differs visibly, from 0 to 1. Raises NotComparable.

    Images of other sizes, or with another number of frames, differ in all of them.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on damage that does not matter, in words for programmers
            return _share(_opened(saved), _opened(new))
    except (MemoryError, NotComparable):
        raise
    except Exception as error:
        # Pillow's decoders say in many ways that they cannot go on
        raise NotComparable(f"{type(error).__name__}: {error}"[:200]) from error


def _share(one: Image.Image, other: Image.Image) -> float:
    count = getattr(one, "n_frames", 1)
    if one.size != other.size or count != getattr(other, "n_frames", 1):
        return 1.0
    pixels = one.width * one.height * count
    if pixels > _MOST_PIXELS or count > _MOST_FRAMES:
        raise NotComparable(f"it has {pixels} pixels in {count} frames")
    changed = sum(_changed(*pair) for pair in zip(_frames(one), _frames(other), strict=True))
    return changed / pixels


def _opened(data: bytes) -> Image.Image:
    """Return an image of which only the header was read."""
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise NotComparable(f"it is none of {', '.join(_FORMATS)}") from error
    if image.width * image.height > _MOST_PIXELS:
        raise NotComparable(f"it has {image.width * image.height} pixels")
    return image


def _frames(image: Image.Image) -> Iterator[Image.Image]:
    for frame in ImageSequence.Iterator(image):
        grey = frame.point(lambda value: value / 256).convert("L") if frame.mode.startswith("I") else frame
        yield grey.convert("RGBA")


def _changed(frame: Image.Image, other: Image.Image) -> int:
    """Return how many pixels of two RGBA images differ in one of their colours, or in how transparent they are."""
    bands = ImageChops.difference(frame, other).split()
    most = bands[0]
    for band in bands[1:]:
        most = ImageChops.lighter(most, band)
    return sum(most.histogram()[SEEN + 1 :])
