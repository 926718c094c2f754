"""Servers that answer otherwise than they were asked."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from http_serving import http_serving

from reprolake_builder.download import Downloader
from reprolake_builder.errors import FetchError
from reprolake_builder.site import Site

BOMB = gzip.compress(bytes(64 << 20))


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(BOMB)))
        self.end_headers()
        self.wfile.write(BOMB)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with http_serving(_Handler) as served:
        yield f"{served.replace('://', '://jane:s3cret@')}/InRelease"


def test_compression_that_was_not_asked_for_is_refused(address):
    """A small answer that unpacks to a large one is not unpacked; the message tells the address without the login."""
    with pytest.raises(FetchError, match="is sent compressed") as caught:
        Downloader(Site(archives={})).get(address)
    assert "s3cret" not in caught.value.message
