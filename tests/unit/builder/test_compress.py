"""gzip with one result everywhere."""

from __future__ import annotations

import gzip
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.publishers.compress import PIECE, GzipWriter


def compressed(pieces: list[bytes]) -> bytes:
    out = bytearray()
    with GzipWriter(out.extend) as writer:
        for piece in pieces:
            writer.write(piece)
    return bytes(out)


@given(st.lists(st.binary(max_size=2000), max_size=5))
def test_what_is_written_comes_back(pieces):
    """Any stream decompresses to itself."""
    joined = b"".join(pieces)
    assert (gzip.decompress(compressed(pieces)) if joined else b"") == joined


def test_the_result_does_not_depend_on_how_it_is_written():
    """Small writes and one large write give the same bytes."""
    data = bytes(range(256)) * 9000
    assert compressed([data]) == compressed([data[i : i + 777] for i in range(0, len(data), 777)])
    assert len(data) > 2 * PIECE


def test_the_bytes_are_those_of_the_pinned_compressor():
    """A changed compressor is noticed here, before it changes the digest of every manifest."""
    data = b"".join(b"%d squared is %d\n" % (i, i * i) for i in range(60000))
    assert hashlib.sha256(compressed([data])).hexdigest() == GOLDEN


GOLDEN = "5910c51d6f3c1b608e8af921275daa923772676bd5aacb2c25219432f874af4b"
