"""Ways past the filtering proxy: from inside a sandbox whose network is open, nothing of this host can be reached."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from file_server import file_server
from sandbox_programs import HOST, SANDBOXES, spec
from waiting import until
from weakened import weaken

from reprolake_builder.network.main import MOST
from reprolake_builder.network.policy import parse
from reprolake_builder.network.serving import PORT, Server, Serving
from reprolake_builder.sandboxes import requirements
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import Bind, Doors, Limits

pytestmark = pytest.mark.engine("bubblewrap")

PROBE = (Path(__file__).parent / "network_probe.py").read_text()


class Secret:
    """A service of the host, on all of its addresses, that counts who comes."""

    def __init__(self):
        self._listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.port = self._listener.getsockname()[1]
        self.visits = 0
        self.abstract = f"reprolake-{secrets.token_hex(8)}"
        self._abstract = socket.socket(socket.AF_UNIX)
        self._abstract.bind(f"\0{self.abstract}")
        self._abstract.listen()
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", 0))
        self.datagram = self._datagrams.getsockname()[1]
        for listener in (self._listener, self._abstract):
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    @property
    def heard(self):
        """Whether a datagram arrived since the last time that this was asked."""
        with contextlib.suppress(BlockingIOError):
            return bool(self._datagrams.recv(9, socket.MSG_DONTWAIT))
        return False

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                one, _ = listener.accept()
                self.visits += 1
                with one:
                    one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")

    def close(self):
        for one in (self._listener, self._abstract):
            one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._datagrams.close()


@pytest.fixture(scope="module")
def secret():
    """The service that nobody inside may reach."""
    made = Secret()
    yield made
    made.close()


@pytest.fixture(scope="module")
def web(secret):
    """The one server that the site opened; it leads on to the secret one."""
    with file_server(
        files={"/a.txt": b"content of a"}, redirects={"/in": f"http://127.0.0.1:{secret.port}/"}
    ) as server:
        yield server


def own_address():
    """An address of this host that others know it by; the loopback's where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, contextlib.suppress(OSError):
        one.connect(("192.0.2.1", 9))
        return one.getsockname()[0]
    return "127.0.0.1"


def raws(port):
    """Addresses of the host, to be knocked at without the proxy."""
    return {
        "loopback": ["4", "127.0.0.1", port],
        "loopback 6": ["6", "::1", port],
        "any": ["4", "0.0.0.0", port],
        "own": ["4", own_address(), port],
        "mapped": ["6", "::ffff:127.0.0.1", port],
    }


def others(secret):
    """What the probe needs to know for its other attempts."""
    return {"abstract": secret.abstract, "datagram": secret.datagram, "name": "example.org"}


def names(port):
    """Ways to write addresses of the host, for the proxy."""
    return [
        f"127.0.0.1:{port}", f"[::1]:{port}", f"0.0.0.0:{port}", f"[::]:{port}", f"[::ffff:127.0.0.1]:{port}", f"[::ffff:7f00:1]:{port}",
        f"[::127.0.0.1]:{port}", f"[64:ff9b::7f00:1]:{port}", f"[2002:7f00:1::]:{port}", f"2130706433:{port}", f"017700000001:{port}",
        f"0x7f000001:{port}", f"0x7f.1:{port}", f"127.1:{port}", f"127.0.0.1.:{port}", f"0:{port}", f"localhost:{port}", f"LOCALHOST.:{port}",
        f"a.localhost:{port}", f"{own_address()}:{port}", f"{socket.gethostname()}:{port}", f"[fe80::1%25lo]:{port}", f"[fe80::1%lo]:{port}",
        "169.254.169.254:80", "metadata.google.internal:80", "10.0.0.1:80", "192.168.0.1:443", "224.0.0.1:80", "[ff02::1]:80",
        "8.8.8.8:22", "8.8.8.8:25", "8.8.8.8:445", "8.8.8.8:6667", f"127.0.0.1:{port}@8.8.8.8:443", f"8.8.8.8:443@127.0.0.1:{port}",
        f"127.0.0.1:{port}\\8.8.8.8:443", f"127.0.0.1:{port}#@8.8.8.8:443", f"8.8.8.8:443\t127.0.0.1:{port}", f"8.8.8.8:{port + (1 << 16)}",
    ]  # fmt: skip


def requests(port, web):
    """What is asked of the proxy, by a name for each."""
    found = {f"CONNECT {name}": f"CONNECT {name} HTTP/1.1\r\n\r\n" for name in names(port)}
    found |= {f"GET {name}": f"GET http://{name}/ HTTP/1.1\r\n\r\n" for name in names(port)}
    inward = f"127.0.0.1:{port}"
    good = f"GET {web.address}/a.txt HTTP/1.1\r\n"
    return found | {
        "host field": f"GET http://8.8.8.8:22/ HTTP/1.1\r\nHost: {inward}\r\n\r\n",
        "origin form": f"GET / HTTP/1.1\r\nHost: {inward}\r\n\r\n",
        "userinfo": f"GET http://8.8.8.8:443@{inward}/ HTTP/1.1\r\n\r\n",
        "https form": f"GET https://{inward}/ HTTP/1.1\r\n\r\n",
        "two framings": f"{good}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET http://{inward}/ HTTP/1.1\r\n\r\n",
        "bare line feeds": f"GET http://{inward}/ HTTP/1.1\nHost: x\n\n",
        "folded": f"{good}X: y\r\n {inward}\r\n\r\n",
        "zero byte": f"{good}X: \x00\r\n\r\n",
        "long head": f"{good}X: {'y' * 200_000}\r\n\r\n",
        "many fields": f"{good}{'X: y' + chr(13) + chr(10)}" * 5000,
        "binary": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    }


class Inside:
    """Probes in sandboxes that the proxy serves."""

    def __init__(self, policy, folder):
        self._policy = policy
        self._given = folder / "given.json"

    def __call__(self, given, *, doors=True, crowd=None, make=Bubblewrap):
        """Run the probe; `crowd` is called when its connections are there. Returns what it found and the network's record."""
        nonce = secrets.token_hex(16)
        given = {
            "nonce": nonce,
            "pid_namespace": os.readlink("/proc/self/ns/pid"),
            "asked": {},
            "raw": {},
            **given,
        }
        self._given.write_text(json.dumps(given))
        program = dataclasses.replace(
            spec(HOST, "", env={"NONCE": nonce}),
            argv=("/usr/bin/python3", "-c", PROBE, "/run/given.json"),
            binds=(Bind(self._given, "/run/given.json"),),
            limits=Limits(open_files=12000),
            doors=Doors(listen=(PORT,)) if doors else None,
        )
        told, tell = os.pipe()
        heard, say = os.pipe()
        running = make().start(program, stdin=heard, stdout=tell, stderr=subprocess.STDOUT)
        os.close(tell)
        os.close(heard)
        server = None
        if doors:
            user = requirements.free_user() if os.geteuid() == 0 else -1
            server = Server.start(Serving(self._policy, user=user), listener=running.doors[0])
            server.wait_until_ready()
        with open(told) as stream, open(say, "w") as answer:
            if crowd is not None:
                crowd(json.loads(stream.readline())["crowd"], server)
                answer.write("\n")
                answer.flush()
            lines = stream.read().splitlines()
        running.wait(60)
        record = server.stop() if server else None
        return json.loads(lines[-1]), record


@pytest.fixture(scope="module")
def inside(web, tmp_path_factory):
    """Probes where everything public is open, and the one server of this host."""
    policy = parse("all", (web.address.removeprefix("http://"),))
    return Inside(policy, tmp_path_factory.mktemp("given"))


def test_the_probe_refuses_to_run_outside(tmp_path):
    """On the host the probe tries nothing."""
    given = tmp_path / "given.json"
    given.write_text(
        json.dumps({"nonce": "x", "pid_namespace": os.readlink("/proc/self/ns/pid"), "raw": {}, "asked": {}})
    )
    done = subprocess.run(
        [sys.executable, "-c", PROBE, given], capture_output=True, check=False, env={"NONCE": "x"}
    )
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.engine(name)) for name in SANDBOXES]
)
def tried(request, inside, web, secret):
    """What all attempts came to, in each of the sandboxes."""
    control = f"GET {web.address}/a.txt HTTP/1.1\r\n\r\n"
    redirect = f"GET {web.address}/in HTTP/1.1\r\n\r\n"
    tunnel = f"CONNECT {web.address.removeprefix('http://')} HTTP/1.1\r\n\r\nGET /a.txt HTTP/1.0\r\n\r\n"
    asked = {**requests(secret.port, web), "control": control, "redirect": redirect, "tunnel": tunnel}
    given = {"raw": raws(secret.port), "asked": asked, **others(secret)}
    return inside(given, make=SANDBOXES[request.param])


def test_what_is_open_answers(tried):
    """The controls: the very same way leads to what the site opened, as a request and as a tunnel; redirects are handed back."""
    found, record = tried
    assert found["control"][0] == "HTTP/1.1 200 OK"
    assert found["control"][1].endswith("content of a")
    assert found["tunnel"][0] == "HTTP/1.1 200 Connection established"
    assert found["tunnel"][1].endswith("content of a")
    assert found["redirect"][0] == "HTTP/1.1 302 Found"
    assert {(one.method, one.times) for one in record.passed} == {("GET", 2), ("CONNECT", 1)}


def test_nothing_of_the_host_answers(tried, secret):
    """No other request gets anything but a refusal, each is in the record with its reason, and nobody came to the secret service."""
    found, record = tried
    asked = {name: answer for name, answer in found.items() if isinstance(answer, list)}
    for name in asked.keys() - {"control", "tunnel", "redirect"}:
        assert asked[name][0].split(" ")[1:2] in (["400"], ["403"], ["431"], ["502"]), (name, asked[name])
        assert "secret" not in asked[name][1]
    assert {one.host for one in record.passed if not one.problem} == {"127.0.0.1"}
    assert secret.port not in {one.port for one in record.passed}
    assert sum(one.times for one in record.refused) > 70
    assert all(one.reason for one in record.refused)
    assert secret.visits == 0


def test_the_hosts_network_is_not_there(tried, secret):
    """Without the proxy there is nothing at all: the sandbox's network is its own loopback."""
    found, _ = tried
    assert {found[name] for name in raws(0)} <= {"ConnectionRefusedError", "OSError", "TimeoutError"}
    assert found["others"]["abstract"] == "ConnectionRefusedError"
    assert found["others"]["outward"] == "OSError"
    assert found["others"]["name"] == "gaierror"
    assert not secret.heard
    assert secret.visits == 0


def test_with_the_hosts_network_it_would_be_there(inside, secret, monkeypatch):
    """The control: in a sandbox without its walls the same probe reaches the secret service by all of these addresses."""
    weaken(monkeypatch)
    before = secret.visits
    found, _ = inside({"raw": raws(secret.port), **others(secret)}, doors=False)
    assert {found[name] for name in raws(0)} == {"connected"}
    assert (found["others"]["abstract"], found["others"]["datagram"]) == ("done", "done")
    until(lambda: secret.visits >= before + 6)
    assert secret.visits == before + 6
    assert secret.heard
    secret.visits = 0


def test_a_crowd_costs_the_host_little(inside, web):
    """Ten thousand connections leave the proxy with a thousand at most; when they are gone it serves as before."""
    seen = {}

    def look(number, server):
        seen["number"] = number
        process = Path(f"/proc/{server._child.pid}")
        until(lambda: len(list((process / "fd").iterdir())) > MOST)
        time.sleep(0.5)  # in which it could take more
        seen["files"] = len(list((process / "fd").iterdir()))
        seen["memory"] = int(
            next(
                line for line in (process / "status").read_text().splitlines() if line.startswith("VmRSS")
            ).split()[1]
        )

    request = f"GET {web.address}/a.txt HTTP/1.1\r\n\r\n"
    found, record = inside({"crowd": 10_000, "crowd_request": request}, crowd=look)
    assert seen["number"] == 10_000
    assert seen["files"] < MOST + 100
    assert seen["memory"] < 200_000
    assert found["crowd"][1].endswith("content of a")
    assert [one.times for one in record.passed] == [1]


def test_the_proxy_has_nothing_to_give_away(inside, web):
    """The process that faces the sandbox has no privileges, no variables, no files, and ends when its owner does."""
    seen = {}

    def look(_, server):
        process = Path(f"/proc/{server._child.pid}")
        status = dict(
            line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line
        )
        seen.update(
            status=status,
            environment=(process / "environ").read_bytes(),
            limits=(process / "limits").read_text(),
        )
        seen["files"] = {os.readlink(one) for one in (process / "fd").iterdir()}

    inside({"crowd": 1, "crowd_request": f"GET {web.address}/a.txt HTTP/1.1\r\n\r\n"}, crowd=look)
    assert int(seen["status"]["Uid"].split()[0]) != 0
    assert seen["status"]["CapEff"] == "0" * 16
    assert seen["status"]["NoNewPrivs"] == "1"
    assert seen["environment"] == b""
    assert not [name for name in seen["files"] if name.startswith("/") and name != "/dev/null"]
    size = next(line.split()[3] for line in seen["limits"].splitlines() if line.startswith("Max file size"))
    assert size == "0"


def test_the_proxy_ends_with_its_owner(tmp_path):
    """When the process that started it is killed, the proxy is gone at once."""
    source = (
        "import os, socket, sys\n"
        "from reprolake_builder.network.policy import parse\n"
        "from reprolake_builder.network.serving import Server, Serving\n"
        "server = Server.start(Serving(parse('all')), listener=socket.create_server(('127.0.0.1', 0)))\n"
        "server.wait_until_ready()\n"
        "print(server._child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    process = Path(f"/proc/{int(done.stdout)}")
    until(lambda: not process.exists())
