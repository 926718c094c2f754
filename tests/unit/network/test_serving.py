"""The process that proxy and relay run in, as those use it who start sandboxes: builds and runs."""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import threading
import time

import pytest
from file_server import file_server
from waiting import free_ports, until

from reprolake_builder.errors import SandboxError
from reprolake_builder.network.policy import parse
from reprolake_builder.network.serving import PORT, Relayed, Server, Serving, surroundings
from reprolake_builder.network.traffic import Passage, Refusal, Silence, Traffic


def ask(port, *lines):
    """Send a head to a proxy and return what comes back."""
    with socket.create_connection(("127.0.0.1", port), 60) as one:
        one.sendall("\r\n".join([*lines, "", ""]).encode())
        got = b""
        while piece := one.recv(1 << 16):
            got += piece
    return got


def test_a_build_learns_addresses_and_digests_of_all_that_passed():
    """With `digests` each plain answer is told by its address and SHA-256, in order, also what nobody read before the end."""
    with (
        file_server(files={"/a": b"first", "/b": b"second"}) as web,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        port, host = listener.getsockname()[1], web.address.removeprefix("http://")
        server = Server.start(Serving(parse(f"allow={host}", (host,)), digests=True), listener=listener.dup())
        for path in ("/a", "/b", "/none"):
            ask(port, f"GET {web.address}{path} HTTP/1.1")
        ask(port, "GET http://other.example/ HTTP/1.1")
        events = []
        record = server.stop(events.append)
    passed = [one for one in events if isinstance(one, Passage)]
    assert [(one.url, one.status) for one in passed] == [
        (f"{web.address}/a", 200), (f"{web.address}/b", 200), (f"{web.address}/none", 404)
    ]  # fmt: skip
    assert [one.sha256 for one in passed[:2]] == [
        hashlib.sha256(word).hexdigest() for word in (b"first", b"second")
    ]
    assert [one.host for one in events if isinstance(one, Refusal)] == ["other.example"]
    assert (record.untold, record.passed[0].times, record.passed[0].received) == (0, 3, 11)


def test_an_end_can_be_heard_twice():
    """Ending what has ended is harmless, and says the same again."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server.start(Serving(parse("all")), listener=listener)
    server.wait_until_ready()
    first = server.stop()
    assert server.has_ended
    assert server.stop() == first


def test_a_process_that_cannot_start_is_told():
    """When the process is gone at once, waiting for it says so."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server.start(Serving(parse("all"), proxies={"http": "socks5://127.0.0.1:1"}), listener=listener)
    with pytest.raises(SandboxError, match="does not come up"):
        server.wait_until_ready()
    server.stop()


def test_programs_are_told_where_the_proxy_is():
    """All usual variables name it, and certificates only where there are some."""
    found = surroundings("/certificates")
    assert {found["http_proxy"], found["HTTPS_PROXY"]} == {f"http://127.0.0.1:{PORT}"}
    assert "127.0.0.1" in found["no_proxy"]
    assert found["SSL_CERT_FILE"] == "/certificates"
    assert "SSL_CERT_FILE" not in surroundings("")


@pytest.fixture
def relay(tmp_path):
    """A relay to a port where nobody listens yet, with two sockets to connect with."""
    (port,) = free_ports(1)
    listener = socket.socket(socket.AF_UNIX)
    path = str(tmp_path / "k-1")
    listener.bind(path)
    listener.listen()
    server = Server.start(
        Serving(parse("none")), relayed=Relayed([listener], (port,), [socket.socket() for _ in range(2)])
    )
    yield path, port
    server.stop()


def join(path):
    """A connection to the relay."""
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(60)
    one.connect(path)
    return one


def test_the_relay_waits_for_the_kernel(relay):
    """A connection that is there before the kernel listens is joined when it does, and bytes pass both ways to the end."""
    path, port = relay
    with join(path) as one:
        one.sendall(b"early")
        time.sleep(0.3)
        with socket.create_server(("127.0.0.1", port)) as kernel:
            other, _ = kernel.accept()
            with other:
                assert other.recv(9) == b"early"
                large = b"x" * 3_000_000
                threading.Thread(
                    target=lambda: (other.sendall(large), other.shutdown(socket.SHUT_WR))
                ).start()
                got = b""
                while piece := one.recv(1 << 16):
                    got += piece
                assert got == large


def joined(path, kernel):
    """Both ends of a connection to the kernel; nothing where the relay has not noticed yet that a client left."""
    one = join(path)
    if kernel in select.select([kernel, one], [], [], 60)[0]:
        other, _ = kernel.accept()
        one.sendall(b".")
        if other.recv(1) == b".":
            return one, other
        other.close()
    one.close()
    return ()


def test_the_relay_gives_a_socket_back_that_was_not_used(relay):
    """Clients that come and go before the kernel is there use nothing up; those beyond what there is are sent away."""
    path, port = relay
    for _ in range(5):
        join(path).close()
    with socket.create_server(("127.0.0.1", port)) as kernel, contextlib.ExitStack() as stack:
        for _ in range(2):
            for one in until(lambda: joined(path, kernel)):
                stack.enter_context(one)
        with join(path) as third:
            assert third.recv(1) == b""


def test_sums_have_limits():
    """However many hosts are asked for, the record stays small and says how much is not in it."""
    traffic = Traffic()
    for number in range(1500):
        traffic.note(Refusal(host=f"h{number}\x1b.example", port=80, method="GET", reason="x" * 1000))
    traffic.note(Silence(number=7))
    record = traffic.record("none", ())
    assert (len(record.refused), record.untold) == (1000, 507)
    assert len(record.refused[0].reason) == 300
    assert "\x1b" not in record.refused[0].host
