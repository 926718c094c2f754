"""The proxy, with servers that answer what they should not and clients that ask what they may not."""

from __future__ import annotations

import hashlib
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proxies import canned, everything, proxy
from waiting import refusing_port

from reprolake_builder.network.proxy import Times

GET = "GET http://web.test{port}/x HTTP/1.1"


def opened(server):
    """What opens the test server for `proxy`: policy, inward and the answer to a look-up."""
    return {"inward": (f"web.test:{server.port}",), "names": {"web.test": [("127.0.0.1",)] * 9}}


def line(server, text=GET):
    """A request line for a server."""
    return text.format(port=f":{server.port}")


def test_a_request_is_passed_on_in_plain_words():
    """The server gets the request in its own form, with the host that was asked for and nothing that was for the proxy."""
    with canned() as server, proxy(**opened(server)) as served:
        got = served.ask(line(server), "Host: other.example", "Proxy-Authorization: Basic eA==", "Accept: text/plain", "Upgrade: websocket",
                         "Connection: Upgrade")  # fmt: skip
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b"\r\n\r\nok")
    assert server.got == [
        f"GET /x HTTP/1.1\r\nHost: web.test:{server.port}\r\nAccept: text/plain\r\nConnection: close\r\n\r\n".encode()
    ]
    (passed,) = served.passed
    assert (passed.method, passed.host, passed.status, passed.received) == ("GET", "web.test", 200, 2)
    assert passed.sha256 == hashlib.sha256(b"ok").hexdigest()
    assert passed.url == f"http://web.test:{server.port}/x"


def test_a_name_is_looked_up_once():
    """What was looked at is what is connected to: a second answer of the DNS is never asked for."""
    with canned() as server:
        names = {"web.test": [("127.0.0.1",)]}
        with proxy(inward=(f"web.test:{server.port}",), names=names) as served:
            assert b" 200 " in served.ask(line(server))
            assert b" 502 " in served.ask(line(server))
    assert names == {"web.test": []}


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("8.8.8.8", "127.0.0.1"),
        ("::1",),
        ("169.254.169.254",),
        ("::ffff:127.0.0.1",),
        ("10.0.0.1", "8.8.8.8"),
    ],
)
def test_names_that_lead_inward_are_refused(addresses):
    """A public name with any address of this host or its network is not connected to, by either way; one that the site opened is."""
    with canned() as server:
        with proxy(names={"web.test": [addresses] * 2}) as served:
            assert served.ask(line(server)).startswith(b"HTTP/1.1 403 web.test leads to")
            assert served.ask(line(server, "CONNECT web.test{port} HTTP/1.1")).startswith(b"HTTP/1.1 403")
        assert len(served.refused) == 2
        assert server.got == []
        with proxy(**opened(server)) as served:
            assert b" 200 " in served.ask(line(server))


def test_a_second_request_is_not_passed_on():
    """What follows a request in the same connection reaches nobody, however it is framed."""
    smuggled = b"GET http://web.test/evil HTTP/1.1\r\nHost: web.test\r\n\r\n"
    with canned(until=b"body!") as server, proxy(**opened(server)) as served:
        served.ask(line(server).replace("GET", "POST"), "Content-Length: 5", body=b"body!" + smuggled)
    with canned(until=b"0\r\n\r\n") as chunked, proxy(**opened(chunked)) as served:
        served.ask(
            line(chunked).replace("GET", "POST"),
            "Transfer-Encoding: chunked",
            body=b"5;ext=1\r\nbody!\r\n0\r\nX: y\r\n\r\n" + smuggled,
        )
    assert b"evil" not in server.got[0]
    assert server.got[0].endswith(b"\r\n\r\nbody!")
    assert b"evil" not in chunked.got[0]
    assert chunked.got[0].endswith(b"\r\n\r\n5\r\nbody!\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "body",
    [b"xyz\r\n", b"-1\r\n", b"5\r\nbody!xx", b"1 1\r\n", b"\r\n", b"ffffffffffffffffff\r\n", b"5\nbody!\r\n"],
)
def test_broken_chunks_are_no_request(body):
    """A body whose end is in doubt is refused, and the server sees that it was broken off."""
    with canned(until=b"never") as server, proxy(**opened(server)) as served:
        got = served.ask(
            line(server).replace("GET", "POST"), "Transfer-Encoding: chunked", body=body, half=True
        )
    assert got.startswith((b"HTTP/1.1 4", b"HTTP/1.1 502"))
    assert [one.endswith(b"0\r\n\r\n") for one in server.got] == [False]
    assert server.broken == 1
    assert served.passed[0].problem


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", b"ICY 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
     b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b\nB: c\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 50],
    ids=["nothing", "upgrade", "not http", "two lengths", "two framings", "split", "too long", "never"],
)  # fmt: skip
def test_odd_answers_are_not_passed_on(answer):
    """An answer that could be read in two ways, or that leaves HTTP, is answered by 502."""
    with canned(answer=answer) as server, proxy(**opened(server)) as served:
        assert served.ask(line(server)).startswith(b"HTTP/1.1 502 ")
    assert served.passed[0].problem
    assert served.passed[0].sha256 == ""


@pytest.mark.parametrize(
    ("answer", "fields", "body"),
    [(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
     (b"HTTP/1.0 200 OK\r\n\r\nabc", b"Connection: close", b"abc"),
     (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"Content-Length: 3", b"abc"),
     (b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", b"X: y", b""), (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"Content-Length: 9", b"")],
    ids=["chunks", "until the end", "after a hint", "none", "not modified"],
)  # fmt: skip
def test_answers_of_all_kinds_come_through(answer, fields, body):
    """However a server says where its answer ends, the client gets it whole."""
    with canned(answer=answer) as server, proxy(**opened(server)) as served:
        head, _, got = served.ask(line(server)).partition(b"\r\n\r\n")
    assert fields in head
    assert got.replace(b"1\r\nc\r\n", b"1\r\nc\r\n") == body
    assert not served.passed[0].problem
    if body:
        assert served.passed[0].sha256 == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    ],
)
def test_half_of_an_answer_looks_broken(answer):
    """A client cannot take a part for the whole, also not one of HTTP/1.0 that knows no chunks; no digest is told."""
    with canned(answer=answer) as server, proxy(**opened(server)) as served:
        for version in ("1.1", "1.0"):
            assert served.ask(line(server, GET.replace("1.1", version))).endswith(b"BROKEN")
    assert [(one.sha256, bool(one.problem)) for one in served.passed] == [("", True)] * 2


def test_expectations_are_met_here():
    """A client that waits for leave to send its body gets it."""
    with (
        canned(until=b"body") as server,
        proxy(**opened(server)) as served,
        served.send(
            f"{line(server).replace('GET', 'POST')}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n".encode()
        ) as one,
    ):
        assert one.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        one.sendall(b"body")
        assert everything(one).endswith(b"ok")
    assert b"Expect" not in server.got[0]


def test_slow_heads_end():
    """A client that never comes to the end of its head is sent away when its time is up, and so is one that says nothing."""
    with canned() as server, proxy(**opened(server), times=Times(head=3)) as served:
        with served.send(b"GET http://web.test/ HT") as slow, served.send(b"") as silent:
            for _ in range(3):
                time.sleep(0.1)
                slow.sendall(b"T")
            assert everything(slow).startswith(b"HTTP/1.1 408 ")
            assert everything(silent).startswith(b"HTTP/1.1 408 ")
        assert b" 200 " in served.ask(line(server))


def test_long_heads_are_refused():
    """A head that is too long, or has too many fields, is refused before it is whole."""
    with canned() as server, proxy(**opened(server)) as served:
        assert served.ask(line(server), "A: " + "b" * 200_000).startswith(b"HTTP/1.1 431 ")
        assert served.ask(line(server), *["A: b"] * 1000).startswith(b"HTTP/1.1 431 ")
        assert b" 200 " in served.ask(line(server), *["A: b"] * 100)


def test_only_so_many_are_served_at_a_time():
    """Connections beyond the limit wait until one of the others ends, and are served then."""
    with canned() as server, proxy(**opened(server), most=3) as served:
        held = [served.send(b"GET ") for _ in range(3)]
        with served.send(f"{line(server)}\r\n\r\n".encode()) as late:
            late.settimeout(0.3)
            with pytest.raises(TimeoutError):
                late.recv(1)
            late.settimeout(60)
            for one in held:
                one.close()
            assert b" 200 " in everything(late)


def test_tunnels_pass_bytes_both_ways_and_end_when_idle():
    """CONNECT joins both ends until one is done or nothing passes any more; only host, port and bytes are told."""
    with canned(until=b"hello", answer=b"world", stays=True) as server:
        with proxy(**opened(server), times=Times(idle=2)) as served:
            begun = time.monotonic()
            got = served.ask(line(server, "CONNECT web.test{port} HTTP/1.1"), body=b"hello")
        assert got.startswith(b"HTTP/1.1 200 Connection established\r\n\r\n")
        assert got.removesuffix(b"BROKEN").endswith(b"world")
        assert time.monotonic() - begun < 60
    (passed,) = served.passed
    assert (passed.method, passed.sent, passed.received, passed.url, passed.sha256) == (
        "CONNECT",
        5,
        5,
        "",
        "",
    )


def test_the_sites_proxy_gets_its_login_and_exactly_one_request():
    """Through a proxy of the site the address is whole, the login is the site's own, and no second request fits in."""
    evil = b"GET http://evil.example/ HTTP/1.1\r\n\r\n"
    with canned(until=b"body") as site:
        upstreams = {"http": f"http://user:w%20ord@127.0.0.1:{site.port}"}
        with proxy("allow=web.test", names={}, upstreams=upstreams) as served:
            got = served.ask(
                "POST http://web.test/x HTTP/1.1",
                "Content-Length: 4",
                "Proxy-Authorization: Basic bWluZQ==",
                body=b"body" + evil,
            )
            assert b" 200 " in got
            assert served.ask("GET http://evil.example/ HTTP/1.1").startswith(b"HTTP/1.1 403")
            assert served.ask("GET http://localhost/ HTTP/1.1").startswith(b"HTTP/1.1 403")
    (one,) = site.got
    assert one.startswith(b"POST http://web.test/x HTTP/1.1\r\nHost: web.test\r\n")
    assert one.count(b"Proxy-Authorization: Basic dXNlcjp3IG9yZA==\r\n") == 1
    assert b"bWluZQ" not in one
    assert one.endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Authenticate\r\n\r\n", b"nonsense\r\n\r\n", b""])
def test_a_site_proxy_without_a_tunnel_is_no_way(answer):
    """When the site's proxy refuses, nothing of what the client sends reaches it."""
    with (
        canned(answer=answer) as site,
        proxy("allow=web.test", names={}, upstreams={"https": f"http://127.0.0.1:{site.port}"}) as served,
    ):
        got = served.ask("CONNECT web.test:443 HTTP/1.1", body=b"secret bytes")
    assert got.startswith(b"HTTP/1.1 502 the site's proxy")
    assert b"secret" not in b"".join(site.got)


def test_nobody_behind_an_address_is_told():
    """A host that cannot be reached is no refusal: the record says that it was tried, and why it failed."""
    with (
        refusing_port() as port,
        proxy(inward=(f"web.test:{port}",), names={"web.test": [("127.0.0.1",)]}) as served,
    ):
        assert served.ask(f"GET http://web.test:{port}/ HTTP/1.1").startswith(b"HTTP/1.1 502 ")
        assert served.ask("GET http://nowhere.test/ HTTP/1.1").startswith(
            b"HTTP/1.1 502 nowhere.test is not known here"
        )
    assert [one.problem for one in served.passed] == [
        f"web.test:{port} cannot be reached",
        "nowhere.test is not known here",
    ]


PIECES = (
    b"GET http://web.test:%d/ HTTP/1.1\r\n", b"POST http://web.test:%d/x HTTP/1.1\r\n", b"Content-Length: 3\r\n", b"Content-Length: 9\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding:\tchunked\r\n", b"Content-Length : 3\r\n", b"X: y\r\n", b" folded\r\n", b"\r\n", b"\n", b"\r",
    b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n", b"0;x\r\nY: z\r\n\r\n", b"GET http://evil.test/ HTTP/1.1\r\n\r\n", b"\x00", b"Connection: X, close\r\n",
)  # fmt: skip


def bodies_end(message):
    """Whether a message is one request, with a head that is plain and a body that ends where the head says, or was broken off."""
    head, end, body = message.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    plain = end and not any(word in head for word in (b"\x00", b"\r\r", b"\n ", b"\n\t", b"evil"))
    plain = plain and head.count(b"\n") == len(lines) - 1 and lines[1].startswith(b"Host: web.test:")
    if b"Transfer-Encoding: chunked" in lines:
        while body and (found := re.match(rb"([0-9a-f]+)\r\n", body)):
            size = int(found[1], 16)
            body = body[found.end() + size + 2 :]
        return plain and not body
    length = next((int(line.split(b": ")[1]) for line in lines if line.startswith(b"Content-Length")), 0)
    return plain and len(body) <= length


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=9))
def test_no_mixture_of_requests_gets_two_through(pieces):
    """Whatever is strung together, the server sees at most one request, which ends where it says."""
    with canned() as server, proxy(**opened(server)) as served:
        data = b"".join(piece % server.port if b"%d" in piece else piece for piece in (PIECES[1], *pieces))
        with served.send(data, half=True) as one:
            everything(one)
        assert len(served.told) <= 1
    assert len(server.got) <= 1
    assert all(bodies_end(message) for message in server.got if message)
