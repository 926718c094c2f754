"""Heads of HTTP messages: what can be understood in two ways is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.network import heads
from reprolake_builder.network.heads import BadMessageError, Framing


def head(*lines):
    """The bytes of a head."""
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def test_a_request_is_taken_apart():
    """Method, host, port, path and fields come out."""
    found = heads.request(head("GET http://A.example:8080/x?y=1 HTTP/1.1", "Host: other", "X: 1 "))
    assert (found.method, found.host, found.port, found.path) == ("GET", "a.example", 8080, "/x?y=1")
    assert found.fields == (("Host", "other"), ("X", "1"))
    assert found.body == Framing("length", 0)
    assert heads.request(head("CONNECT a.example:443 HTTP/1.1")).port == 443
    assert heads.request(head("GET http://a.example?q HTTP/1.0")).path == "/?q"
    assert (
        heads.request(head("POST http://[2001:DB8::1]/ HTTP/1.1", "Content-Length: 7")).host == "2001:db8::1"
    )


BAD = [
    ("GET / HTTP/1.1",), ("GET a.example HTTP/1.1",), ("GET https://a.example/ HTTP/1.1",), ("GET ftp://a.example/ HTTP/1.1",),
    ("GET http:///x HTTP/1.1",), ("GET http://user@a.example/ HTTP/1.1",), ("GET http://user:word@a.example/ HTTP/1.1",),
    ("GET http://a.example#x HTTP/1.1",), ("GET http://a.example\\@b.example/ HTTP/1.1",), ("GET http://a.example/ HTTP/2",),
    ("GET  http://a.example/ HTTP/1.1",), ("GET http://a.example/ HTTP/1.1 ",), ("GET http://a.example/",), ("",),
    ("G\x00T http://a.example/ HTTP/1.1",), ("GET http://a.example/\x0bx HTTP/1.1",), ("GET http://a.example:99999/ HTTP/1.1",),
    ("GET http://010.0.0.1/ HTTP/1.1",), ("CONNECT 0x8.8.8.8:443 HTTP/1.1",), ("GET http://134744072/ HTTP/1.1",),
    ("CONNECT a.example HTTP/1.1",), ("CONNECT http://a.example:443/ HTTP/1.1",), ("CONNECT a:443@b:443 HTTP/1.1",),
    ("CONNECT a.example:443/x HTTP/1.1",), ("CONNECT [fe80::1%25lo]:443 HTTP/1.1",), ("TRACE http://a.example/ HTTP/1.1",),
    ("GET http://a.example/ HTTP/1.1", "Content-Length: 5", "Transfer-Encoding: chunked"),
    ("GET http://a.example/ HTTP/1.1", "Content-Length: 5", "Content-Length: 6"),
    ("GET http://a.example/ HTTP/1.1", "Content-Length: +5"), ("GET http://a.example/ HTTP/1.1", "Content-Length: 5, 5"),
    ("GET http://a.example/ HTTP/1.1", "Content-Length: 0x5"), ("GET http://a.example/ HTTP/1.1", "Content-Length: \xb2"),
    ("GET http://a.example/ HTTP/1.1", "Transfer-Encoding: xchunked"), ("GET http://a.example/ HTTP/1.1", "Transfer-Encoding: gzip, chunked"),
    ("GET http://a.example/ HTTP/1.1", "Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    ("GET http://a.example/ HTTP/1.1", "Transfer-Encoding : chunked"), ("GET http://a.example/ HTTP/1.1", " folded"),
    ("GET http://a.example/ HTTP/1.1", "A: b", "\tfolded"), ("GET http://a.example/ HTTP/1.1", "A: b\nB: c"),
    ("GET http://a.example/ HTTP/1.1", "A: b\x00"), ("GET http://a.example/ HTTP/1.1", "A: b\rB: c"), ("GET http://a.example/ HTTP/1.1", ": b"),
    ("GET http://a.example/ HTTP/1.1", *["A: b"] * 300), (f"{'G' * 100} http://a.example/ HTTP/1.1",),
    (f"GET http://a.example/{'x' * 20000} HTTP/1.1",),
]  # fmt: skip


@pytest.mark.parametrize("lines", BAD, ids=range(len(BAD)))
def test_what_two_could_read_in_two_ways_is_refused(lines):
    """Nothing that is not plain HTTP/1.1 to a proxy gets through."""
    with pytest.raises(BadMessageError):
        heads.request(head(*lines))


def test_fields_of_one_connection_are_not_passed_on():
    """What is for this connection only stays here, also what is named to be so."""
    fields = (("Connection", "close, X-Secret"), ("X-Secret", "1"), ("Upgrade", "websocket"), ("TE", "trailers"), ("Accept", "*/*"),
              ("Proxy-Authorization", "Basic eA=="), ("Keep-Alive", "9"), ("Transfer-Encoding", "chunked"))  # fmt: skip
    assert heads.passed_on(fields) == (("Accept", "*/*"),)


def test_an_answer_is_taken_apart():
    """Status, fields and how the body ends come out; without any word it ends with the connection."""
    assert heads.answer(head("HTTP/1.1 200 OK", "Content-Length: 3"), "GET").body == Framing("length", 3)
    assert heads.answer(head("HTTP/1.0 200"), "GET").body.kind == "connection"
    assert heads.answer(head("HTTP/1.1 200 OK", "Content-Length: 3"), "HEAD").body == Framing("length", 0)
    assert heads.answer(head("HTTP/1.1 304 -", "Transfer-Encoding: chunked"), "GET").body == Framing(
        "length", 0
    )
    with pytest.raises(BadMessageError):
        heads.answer(head("HTTP/1.1 200 OK", "Content-Length: 3", "Content-Length: 4"), "GET")
    with pytest.raises(BadMessageError):
        heads.answer(head("ICY 200 OK"), "GET")


@given(st.binary(max_size=300))
def test_anything_is_a_request_or_refused(data):
    """No bytes make the reader fail in any other way."""
    try:
        found = heads.request(b"GET http://a.example/ HTTP/1.1\r\n" + data + b"\r\n\r\n")
    except BadMessageError:
        return
    written = heads.head("GET / HTTP/1.1", found.fields)
    assert written.count(b"\r\n") == len(found.fields) + 2
    assert b"\0" not in written


WORDS = [b"HTTP/1.1 200 OK", b"HTTP/1.0 204", b"Content-Length: 3", b"Content-Length: 4", b"Transfer-Encoding: chunked", b"Connection: x", b"X: y",
         b" folded", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\x00", b"\xff"]  # fmt: skip


@given(
    st.lists(st.sampled_from(WORDS) | st.binary(max_size=9), max_size=12), st.sampled_from(["GET", "HEAD"])
)
def test_anything_is_an_answer_or_refused(words, method):
    """No bytes of a server make the reader fail in any other way, and what is written of them is one head with one framing."""
    try:
        found = heads.answer(WORDS[0] + b"\r\n" + b"".join(words) + b"\r\n\r\n", method)
    except BadMessageError:
        return
    fields = heads.passed_on(found.fields)
    written = heads.head(f"HTTP/1.1 {found.status} {found.reason}", fields)
    assert written.count(b"\n") == written.count(b"\r") == len(fields) + 2
    assert not {name.lower() for name, _ in fields} & {"content-length", "transfer-encoding", "connection"}


@given(st.text(max_size=60))
def test_any_target_is_a_host_or_refused(text):
    """Whatever is asked for, a host that comes out is a plain one, and the path has no blanks."""
    try:
        found = heads.request(f"GET {text} HTTP/1.1\r\n\r\n".encode("latin-1", "replace"))
    except BadMessageError:
        return
    assert found.path.startswith("/")
    assert not set(found.host) & set("@/\\ #?%")
    assert not set(found.path) & set(" \r\n\t")
