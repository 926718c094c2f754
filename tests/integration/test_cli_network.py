"""--network and its settings, as users type them."""

from __future__ import annotations

import json

import pytest
from file_server import file_server

SAMPLE = "sample-repos/no-parameters"
pytestmark = pytest.mark.engine("bubblewrap")

ASK = """
import os, sys, urllib.request
os.environ.pop('no_proxy', None), os.environ.pop('NO_PROXY', None)
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=20).read().decode())
    except OSError as error:
        print(error)
"""


@pytest.fixture
def sample(pytestconfig):
    """A repository with Python."""
    return pytestconfig.rootpath / SAMPLE


def test_a_command_reaches_what_it_was_allowed(reprolake, sample, tmp_path):
    """The result tells what passed: as a record, as a page, as a log; the message at the start says that the network is open."""
    with file_server(files={"/a": b"content of a"}) as web:
        host = web.address.removeprefix("http://")
        arguments = ("exec", sample, "--stage", tmp_path, "--network", f"allow={host}")
        command = ("--", "python3", "-c", ASK, f"{web.address}/a", "http://other.example/")
        done = reprolake(*arguments, "--json", *command, REPROLAKE_NETWORK_INWARD=host)
    assert done.returncode == 0, done.stderr
    assert f"the network is open: allow={host}" in done.stderr
    folder = tmp_path / json.loads(done.stdout)["run"]
    assert (folder / "stdout.txt").read_text() == (
        "content of a\nHTTP Error 403: other.example is not among the hosts that --network allows\n"
    )
    record = json.loads((folder / "run.json").read_text())
    assert record["spec"]["network"] == record["network"]["policy"] == f"allow={host}"
    assert [one["received"] for one in record["network"]["passed"]] == [12]
    page = (folder / "index.html").read_text()
    assert "<h2>Network</h2>" in page
    assert "other.example:80" in page
    assert (
        f"network     allow={host}: 1 requests passed, 1 were refused\n"
        in reprolake("inspect", folder).stdout
    )
    log = reprolake("logs", folder)
    assert f"network: GET {host}: 0 B out, 12 B in" in log.stdout
    assert "network: refused GET other.example:80: other.example is not among" in log.stdout


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("sometimes", "'sometimes' is no network: it is none, all, or allow=HOST"),
        ("allow=127.0.0.1", "a site opens single ones by the setting network_inward"),
        ("allow=*", "all public hosts are --network all"),
    ],
)
def test_a_mistake_is_told(reprolake, sample, said, expected):
    """What is no network is a mistake of the command line, which is told before anything is done."""
    done = reprolake("plan", sample, "sum.ipynb", "--network", said)
    assert done.returncode == 2
    assert "--network" in done.stderr
    assert expected in done.stderr


def test_a_mistake_of_a_setting_is_told_where_it_was_made(reprolake, sample):
    """A setting that is no network is named with the place where it was said."""
    done = reprolake("plan", sample, "sum.ipynb", REPROLAKE_NETWORK="sometimes")
    assert done.returncode == 2
    assert "error: REPROLAKE_NETWORK: 'sometimes' is no network" in done.stderr


def test_the_plan_shows_the_network(reprolake, sample, tmp_path):
    """The flag wins over the setting, and the plan says what holds; what a site opens must have a port."""
    (tmp_path / "site.toml").write_text('network = "all"\nnetwork_inward = ["mirror.example.org:8080"]\n')
    shown = reprolake("plan", sample, "sum.ipynb", "--config", tmp_path / "site.toml")
    assert "network     all\n" in shown.stdout
    flag = reprolake(
        "plan", sample, "sum.ipynb", "--config", tmp_path / "site.toml", "--network", "allow=B.org,a.org"
    )
    assert "network     allow=a.org,b.org\n" in flag.stdout
    wrong = reprolake("plan", sample, "sum.ipynb", REPROLAKE_NETWORK_INWARD="mirror.example.org")
    assert wrong.returncode == 2
    assert "network_inward: mirror.example.org lacks a port" in wrong.stderr
    proxy = reprolake(
        "plan", sample, "sum.ipynb", "--network", "all", REPROLAKE_HTTPS_PROXY="socks5://proxy.example:1080"
    )
    assert proxy.returncode == 2
    assert "which --network cannot do" in proxy.stderr


@pytest.mark.parametrize(
    ("options", "code"),
    [(("--network", "allow=127.0.0.1"), 2), (("--sandbox", "bubblewrap", "--gpu", "all"), 23)],
)
def test_what_cannot_be_is_said_before_anything_is_made(reprolake, tmp_path, options, code):
    """A network or a sandbox that there cannot be ends the call at once: nothing is read, resolved or built for it."""
    (tmp_path / "r").mkdir()
    done = reprolake("exec", tmp_path / "r", *options, "--", "true", REPROLAKE_STORE=str(tmp_path / "store"))
    assert done.returncode == code
    assert done.stderr.startswith("error: ")
    assert not (tmp_path / "store").exists()
