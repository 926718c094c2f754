"""Downloads over a real server that is busy, breaks connections and leads elsewhere."""

from __future__ import annotations

import hashlib
import time
from email.utils import formatdate

import pytest
from file_server import file_server

from reprolake_builder.connection import Connection
from reprolake_builder.download import Downloader
from reprolake_builder.errors import AnswerError, FetchError
from reprolake_builder.site import Site

CONTENT = bytes(hashlib.shake_256(b"content").digest(3 << 20))


def whole(url: str) -> bytes:
    return b"".join(Connection(Site(archives={}), patience=0.05).pieces(url))


def test_who_asks_is_told():
    """Archives refuse clients that do not say who they are."""
    with file_server(files={"/a": b"x"}) as server:
        assert whole(f"{server.address}/a") == b"x"
        assert server.asked[0][1]["User-Agent"].startswith("reprolake/")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(status):
    """Retry-After is honoured, in seconds and as a date."""
    soon = int(time.time()) + 3
    date = formatdate(soon, usegmt=True)
    refusals = {"/a": [(status, {"Retry-After": "1"}), (status, {"Retry-After": date})]}
    with file_server(files={"/a": b"x"}, refusals=refusals) as server:
        begun = time.monotonic()
        assert whole(f"{server.address}/a") == b"x"
        assert time.monotonic() - begun > 1
        assert time.time() >= soon


def test_a_server_that_wants_hours_is_not_waited_for():
    """The failure says for how long, and that trying later may help."""
    with (
        file_server(refusals={"/a": [(429, {"Retry-After": "7200"})]}) as server,
        pytest.raises(AnswerError, match=r"429.* asks to come back in 120 minutes") as caught,
    ):
        whole(f"{server.address}/a")
    assert (caught.value.transient, caught.value.status) == (True, 429)


def test_a_rate_limit_is_waited_out():
    """Zenodo tells in X-RateLimit-Reset when it counts anew."""
    reset = str(int(time.time()) + 2)
    with file_server(files={"/a": b"x"}, refusals={"/a": [(429, {"X-RateLimit-Reset": reset})]}) as server:
        assert whole(f"{server.address}/a") == b"x"
        assert time.time() >= int(reset)


def test_a_refusal_is_final():
    """A file that is not there is asked for once."""
    with file_server() as server:
        with pytest.raises(AnswerError, match="answers 404") as caught:
            whole(f"{server.address}/a")
        assert not caught.value.transient
        assert len(server.asked) == 1


@pytest.mark.parametrize("ranges", [True, False], ids=["in parts", "only whole"])
def test_a_broken_transfer_is_taken_up_where_it_broke(ranges):
    """The bytes are those of the file, whether the server gives parts or begins anew."""
    fields = {"ETag": '"one"'}
    with file_server(files={"/a": CONTENT}, headers=fields, drops=[1 << 20, 5], ranges=ranges) as server:
        assert whole(f"{server.address}/a") == CONTENT
        assert len(server.asked) == 3
        assert server.asked[1][1]["Range"].startswith("bytes=")
        assert server.asked[1][1]["If-Range"] == '"one"'


def test_a_file_that_changes_meanwhile_is_not_patched_together():
    """What was begun as one file does not end as another one."""
    with file_server(files={"/a": CONTENT}, headers={"ETag": '"one"'}, drops=[1 << 20]) as server:
        transfer = Connection(Site(archives={}), patience=0.05).pieces(f"{server.address}/a")
        next(transfer)
        server.headers["ETag"] = '"two"'
        with pytest.raises(FetchError, match="changed while it was fetched") as caught:
            list(transfer)
        assert caught.value.transient


def test_a_line_that_always_breaks_is_given_up():
    """Five times without progress are enough."""
    with file_server(files={"/a": CONTENT}, drops=[1000] + [0] * 10) as server:
        with pytest.raises(FetchError, match="cannot be reached") as caught:
            whole(f"{server.address}/a")
        assert caught.value.transient
        assert len(server.asked) == 5


def test_a_login_stays_with_its_host(tmp_path):
    """A redirect to another server takes the address along, not the password."""
    with (
        file_server(files={"/b": b"x"}) as other,
        file_server(redirects={"/a": f"{other.address}/b"}) as server,
    ):
        url = server.address.replace("http://", "http://jane:s3cret@") + "/a"
        assert whole(url) == b"x"
        assert "Authorization" in server.asked[0][1]
        assert "Authorization" not in other.asked[0][1]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_a_redirect_leads_to_the_web_only(target):
    """No server can send us to files of this host."""
    with file_server(redirects={"/a": target}) as server, pytest.raises(FetchError, match="no web address"):
        whole(f"{server.address}/a")


def test_a_redirect_in_a_circle_ends():
    """A server that leads on for ever is left."""
    with file_server(redirects={"/a": "/a"}) as server, pytest.raises(FetchError, match="leads on and on"):
        whole(f"{server.address}/a")


def test_a_compressed_file_arrives_as_it_is():
    """A server that calls a .tar.gz an encoding of a .tar does not get it unpacked on the way."""
    with file_server(files={"/a.tar.gz": b"\x1f\x8bx"}, headers={"Content-Encoding": "x-gzip"}) as server:
        assert Downloader(Site(archives={})).get(f"{server.address}/a.tar.gz") == b"\x1f\x8bx"
