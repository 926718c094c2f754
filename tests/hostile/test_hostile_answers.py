"""Answers that lead where nobody asked to go, that never end, and that numbers and compression make too much of."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest
from file_server import file_server
from http_serving import http_serving

from reprolake_builder import connection
from reprolake_builder.connection import Connection
from reprolake_builder.download import Downloader
from reprolake_builder.errors import FetchError
from reprolake_builder.inward import is_inside, leads_inward
from reprolake_builder.site import Site

BOMB = gzip.compress(bytes(64 << 20))


@contextmanager
def answering(send) -> Iterator[str]:
    """Yield the address of a server that answers by `send`, which is given the request's handler."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            send(self)

        def do_POST(self) -> None:
            send(self)

        def log_message(self, *_: object) -> None:
            pass

    with http_serving(Handler) as address:
        yield address


def compressed(request: BaseHTTPRequestHandler) -> None:
    request.send_response(206 if request.headers.get("Range") else 200)
    request.send_header("Content-Range", "bytes 0-99/1000")
    request.send_header("Content-Encoding", "gzip")
    request.send_header("Content-Length", str(len(BOMB)))
    request.end_headers()
    request.wfile.write(BOMB)


@pytest.mark.parametrize("ask", [lambda it, url: it.post(url), lambda it, url: it.part(url, 0, 100)])
def test_compression_is_refused_of_every_kind_of_answer(ask):
    """Answers to questions with a body, and parts of files, are not unpacked either."""
    with answering(compressed) as address, pytest.raises(FetchError, match="is sent compressed"):
        ask(Downloader(Site(archives={})), address)


def test_a_server_that_drips_is_left(monkeypatch):
    """One that sends a byte now and then keeps nobody for ever, however large the file is that it promises."""

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(1 << 30))
        request.end_headers()
        for _ in range(3000):
            try:
                request.wfile.write(b"x")
            except OSError:
                return
            time.sleep(0.1)

    monkeypatch.setattr(connection, "_SLOW", 0.5)
    begun = time.monotonic()
    with answering(drip) as address, pytest.raises(FetchError, match="too slowly"):
        Downloader(Site(archives={})).post(address)
    assert time.monotonic() - begun < 100


@pytest.mark.parametrize("digits", ["9" * 400, "9" * 6000])
def test_numbers_without_end_are_none(digits):
    """Lengths and times of thousands of digits are not made numbers of."""
    refusals = {"/a": [(429, {"X-RateLimit-Reset": digits})]}
    with file_server(files={"/a": b"x"}, refusals=refusals) as server:
        assert Downloader(Site(archives={})).get(f"{server.address}/a") == b"x"

    def told(request: BaseHTTPRequestHandler) -> None:
        request.send_response(206)
        request.send_header("Content-Range", f"bytes 0-0/{digits}")
        request.send_header("Content-Length", "1")
        request.end_headers()
        request.wfile.write(b"x")

    with answering(told) as address:
        assert Downloader(Site(archives={})).get(address) == b"x"


def test_what_a_server_wants_to_be_told_again_is_forgotten():
    """Cookies are not kept: they would go to every port of a host."""
    with file_server(files={"/a": b"x"}, headers={"Set-Cookie": "session=1; Path=/"}) as server:
        downloader = Downloader(Site(archives={}))
        downloader.get(f"{server.address}/a")
        downloader.get(f"{server.address}/a")
        assert "Cookie" not in server.asked[1][1]


@pytest.mark.parametrize(
    "there",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:9/",
        "http://2130706433:9/",
        "http://[::ffff:127.0.0.1]:9/",
        "http://localhost.:9/",
        "http://10.0.0.1/",
    ],
)
def test_a_public_server_does_not_lead_into_this_network(there):
    """A redirect from outside to this host, its link or a private network is not followed."""
    with file_server(redirects={"http://archive.example.org/a": there}) as proxy:
        site = Site(archives={}, proxies={"http": proxy.address})
        with pytest.raises(FetchError, match="address of this host or its network"):
            b"".join(Connection(site).pieces("http://archive.example.org/a"))
        assert len(proxy.asked) == 1


get, leads_to = Downloader.get, Downloader.leads_to


@pytest.mark.parametrize(
    ("ask", "there"),
    [
        (get, "http://[x"),
        (get, "//["),
        (get, "http://\xff\xfe.example:x/"),
        (leads_to, "http://[x"),
        (leads_to, "//["),
    ],
)
def test_a_redirect_to_no_address_is_told(ask, there):
    """What a server leads on to may be no address at all: that is an error about the server, and none of ours."""
    site = Site(archives={}, no_proxy=("mirror.example.org:8080",))
    with file_server(redirects={"/a": there}) as server, pytest.raises(FetchError, match="no web address"):
        ask(Downloader(site), f"{server.address}/a")


def test_servers_of_this_network_lead_where_they_will():
    """What is in here may name what is in here, and so may what stands for a public host at this site."""
    with file_server(files={"/b": b"x"}) as second, file_server() as first:
        first.redirects["/a"] = f"{second.address}/b"
        assert Downloader(Site(archives={})).get(f"{first.address}/a") == b"x"
        site = Site(archives={}, gateways={"archive.example.org": first.address})
        assert Downloader(site).get("http://archive.example.org/a") == b"x"


def test_a_login_is_not_sent_in_the_clear_because_a_server_says_so(tmp_path):
    """A redirect to a host of the user's netrc, without encryption, finds no login; the user's own link does."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine mine.example.org login jane password s3cret\n")
    netrc.chmod(0o600)
    mine, other = "http://mine.example.org/b", "http://archive.example.org/a"
    with file_server(redirects={other: mine}, files={mine: b"x"}) as proxy:
        site = Site(archives={}, proxies={"http": proxy.address}, netrc=netrc)
        assert Downloader(site).get(other) == b"x"
        assert "Authorization" not in proxy.asked[1][1]
        assert Downloader(site).get(mine) == b"x"
        assert "Authorization" in proxy.asked[2][1]


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("127.1", True), ("0x7f000001", True), ("[fe80::1%eth0]", True), ("192.168.1.4", True), ("0.0.0.0", True),
        ("metadata.google.internal", True), ("zenodo.org", False), ("8.8.8.8", False), ("", False), ("git", False),
    ],
)  # fmt: skip
def test_what_is_inside(host, inside):
    """Every way to write an address of this host or network is seen; names of others are theirs."""
    assert is_inside(host) is inside


def test_git_forms_are_understood():
    """HOST:PATH is an address too."""
    assert leads_inward("git@github.com:a/b.git", "git@127.0.0.1:a/b.git")
    assert leads_inward("git@github.com:a/b.git", "git@127.0.0.1:a://b.git")
    assert not leads_inward("git@192.168.0.2:a/b.git", "git@127.0.0.1:a/b.git")
