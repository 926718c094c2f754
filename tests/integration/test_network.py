"""What notebooks and commands reach of the network: nothing, or what was allowed, through a proxy that keeps the books."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from certificates import certificate
from file_server import file_server
from loopback_proxy import proxying
from notebook_runs import Runs
from sandbox_programs import SANDBOXES

from reprolake_builder.network.policy import parse
from reprolake_runner.network import Network

pytestmark = pytest.mark.engine("bubblewrap")


@pytest.fixture(scope="module")
def web():
    """A web server of this host."""
    with file_server(files={"/a.txt": b"content of a"}) as server:
        yield server


@pytest.fixture
def run(built_image, session, tmp_path):
    """Runs of notebooks."""
    return Runs(built_image, session.tools.store, tmp_path / "runs")


def network(text, *inward, **more):
    """A network as --network and the setting network_inward say it."""
    return Network(parse(text, inward), **more)


def place(server):
    """A server's HOST:PORT."""
    return server.address.removeprefix("http://")


ASK = """
import os, urllib.request
os.environ.pop('no_proxy', None), os.environ.pop('NO_PROXY', None)  # the servers of these tests are on a loopback, too
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{'http': 'http://127.0.0.1:3128', 'https': 'http://127.0.0.1:3128'}}))
try:
    with opener.open({url!r}, timeout=20) as answer:
        print(answer.status, answer.read().decode())
except OSError as error:
    print(getattr(error, 'code', ''), error)
"""


def test_without_a_word_there_is_no_network(run, web):
    """By default no proxy answers inside, no variable names one, and the record says so."""
    done = run(
        ASK.format(url=f"{web.address}/a.txt"),
        "import os\nprint([n for n in os.environ if 'proxy' in n.lower()])",
    )
    assert "Connection refused" in done.text(0)
    assert done.text(1) == "[]\n"
    assert done.record.network.policy == "none"
    assert done.record.spec.network == "none"


def test_what_is_allowed_passes_and_is_recorded(run, web):
    """An allowed host answers; the record, the log and the page tell what passed and what did not."""
    host = place(web)
    given = network(f"allow={host}", host)
    done = run(
        ASK.format(url=f"{web.address}/a.txt"),
        ASK.format(url="http://other.example/"),
        network=given,
    )
    assert done.text(0) == "200 content of a\n"
    assert "403 HTTP Error 403: other.example is not among the hosts that --network allows" in done.text(1)
    told = done.record.network
    assert (told.policy, told.inward) == (f"allow={host}", (host,))
    assert [(one.host, one.port, one.method, one.times, one.received) for one in told.passed] == [
        ("127.0.0.1", int(host.partition(":")[2]), "GET", 1, 12)
    ]
    assert [(one.host, one.port, one.method) for one in told.refused] == [("other.example", 80, "GET")]
    assert {"network-passed", "network-refused"} <= {one["event"] for one in done.events}
    assert "filtering proxy" in done.record.sandbox["network"]


class _Encrypted(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"a secret way"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """A server that speaks TLS, its port, and the authority that vouches for it."""
    authority, context = certificate(tmp_path_factory.mktemp("tls"))
    with ThreadingHTTPServer(("127.0.0.1", 0), _Encrypted) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port, authority
        server.shutdown()
        thread.join()


def test_encrypted_connections_believe_the_sites_certificates(run, encrypted):
    """Https works with the site's own authority, which all usual programs are told of; only host and port are recorded."""
    port, authority = encrypted
    host = f"127.0.0.1:{port}"
    done = run(
        ASK.format(url=f"https://{host}/"),
        "import os\nprint(sorted(n for n, v in os.environ.items() if v == '/run/certificates.pem'))",
        network=network(f"allow={host}", host, certificates=authority),
    )
    assert done.text(0) == "200 a secret way\n"
    assert {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE"} <= set(
        json.loads(done.text(1).replace("'", '"'))
    )
    assert [(one.method, one.host, one.port) for one in done.record.network.passed] == [
        ("CONNECT", "127.0.0.1", port)
    ]


def test_the_sites_own_proxy_is_used(run, web):
    """Where the site has a proxy, names are its business, and both ways lead through it."""
    with proxying(int(place(web).partition(":")[2])) as site:
        proxies = {"http": site.url, "https": site.url}
        done = run(
            ASK.format(url="http://files.example/a.txt"),
            ASK.format(url="http://127.0.0.1/a.txt"),
            ASK.format(url="http://elsewhere.example/a.txt"),
            network=network("allow=files.example", proxies=proxies),
        )
    assert done.text(0) == "200 content of a\n"
    assert done.text(1).startswith("403")
    assert done.text(2).startswith("403")
    assert site.hosts == ["files.example"]


def test_a_request_goes_on_while_the_run_ends(run, web):
    """A download that is under way when the run ends is ended with it, and recorded as what it was."""
    host = place(web)
    started = (
        "import subprocess, sys\n"
        f"code = \"import socket, time; s = socket.create_connection(('127.0.0.1', 3128)); s.sendall(b'CONNECT {host} HTTP/1.1\\\\r\\\\n\\\\r\\\\n'); print(s.recv(99), flush=True); time.sleep(600)\"\n"
        "child = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()"
    )
    done = run(started, network=network(f"allow={host}", host))
    assert done.record.status == "succeeded"
    assert [one.method for one in done.record.network.passed] == ["CONNECT"]


TCP_KERNEL = """
import json, sys
facts = json.load(open(sys.argv[1]))
if facts['transport'] != 'tcp':
    sys.exit('this kernel speaks nothing but TCP')
import os
from ipykernel.kernelapp import launch_new_instance
launch_new_instance(argv=['-f', sys.argv[1]])
"""


def kernel_file(metadata):
    """A specification of a kernel that lies in the repository's image."""
    argv = ["python3", "-c", TCP_KERNEL, "{connection_file}"]
    return json.dumps({"argv": argv, "language": "python", "display_name": "Only TCP", "metadata": metadata})


KERNEL = "../usr/local/share/jupyter/kernels/only-tcp/kernel.json"
WORK = "import os\nprint(6 * 7, os.listdir('/run/kernel'))"


@pytest.mark.parametrize(
    ("metadata", "asked"),
    [({"reprolake": {"transport": "tcp"}}, "auto"), ({}, "tcp")],
    ids=["by itself", "asked"],
)
def test_a_kernel_that_only_speaks_tcp_runs(run, metadata, asked):
    """A kernel that refuses sockets in a folder is relayed to on its sandbox's own loopback; the driver sees sockets as ever."""
    files = {KERNEL: kernel_file(metadata)}
    done = run(
        WORK,
        "import time; time.sleep(0.1)\n'x' * 300000",
        files=files,
        kernel="only-tcp",
        kernel_transport=asked,
    )
    assert (done.record.status, done.record.transport) == ("succeeded", "tcp")
    assert done.text(0) == "42 ['connection.json']\n"
    assert len(done.text(1)) == 300002
    assert done.record.network.policy == "none"
    assert done.record.sandbox["network"] == "none but an own loopback"


def test_such_a_kernel_says_so_where_nobody_knew(run):
    """Without a word about it the run ends when the kernel does, and its last words tell why."""
    done = run("1", files={KERNEL: kernel_file({})}, kernel="only-tcp")
    assert done.record.status == "kernel-died"
    assert "this kernel speaks nothing but TCP" in done.record.message
    assert done.record.message.endswith("needs --kernel-transport tcp")


def test_tcp_and_an_open_network_go_together(run, web):
    """A relayed kernel reaches what is allowed, as any other."""
    host = place(web)
    done = run(
        ASK.format(url=f"{web.address}/a.txt"),
        files={KERNEL: kernel_file({})},
        kernel="only-tcp",
        kernel_transport="tcp",
        network=network(f"allow={host}", host),
    )
    assert done.text(0) == "200 content of a\n"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.engine(name)) for name in SANDBOXES if name != "bubblewrap"]
)
def test_every_sandbox_has_the_same_network(built_image, session, tmp_path, web, name):
    """In docker, podman and apptainer as in bubblewrap: what is allowed passes, all else does not, and kernels are relayed to."""
    run = Runs(built_image, session.tools.store, tmp_path / "runs", SANDBOXES[name]())
    host = place(web)
    done = run(
        ASK.format(url=f"{web.address}/a.txt"),
        ASK.format(url="http://127.0.0.1:22/"),
        "import socket\nprint(sorted(name for _, name in socket.if_nameindex()))",
        files={KERNEL: kernel_file({})},
        kernel="only-tcp",
        kernel_transport="tcp",
        network=network("all", host),
    )
    assert done.record.status == "succeeded", done.record.message
    assert done.text(0) == "200 content of a\n"
    assert done.text(1).startswith("403")
    assert done.text(2) == "['lo']\n"
    assert [one.port for one in done.record.network.passed] == [int(host.partition(":")[2])]
    assert [one.port for one in done.record.network.refused] == [22]


def test_a_relayed_kernel_that_dies_is_noticed(run):
    """The end of a relayed kernel is the run's, at once and by its name."""
    done = run(
        "import os; os._exit(3)",
        "2",
        files={KERNEL: kernel_file({})},
        kernel="only-tcp",
        kernel_transport="tcp",
    )
    assert done.record.status == "kernel-died"
    assert done.states == ["running", "pending"]
