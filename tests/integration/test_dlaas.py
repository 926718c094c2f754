"""The `dlaas` recipe: its image is the user server of a real JupyterHub, with the repository's environment in its kernels."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tools import tool_folder
from waiting import free_ports

ROOT = Path(__file__).parent.parent.parent
CRAB = ROOT / "sample-repos" / "crab-lightcurve"
HUB = Path(__file__).parent.parent / "data" / "hub"
pytestmark = [pytest.mark.engine("docker"), pytest.mark.engine("bubblewrap")]
_RUN_NOTEBOOK = """
import json
bins = 20
for cell in json.load(open("/repo/lightcurve.ipynb"))["cells"]:
    if cell["cell_type"] == "code":
        assert get_ipython().run_cell("".join(cell["source"])).success
print("DONE")
"""


@pytest.fixture(scope="module")
def image(reprolake) -> str:
    """The id of crab-lightcurve's image with the recipes dlaas and esap, in docker."""
    done = reprolake(
        "build", CRAB, "--recipe", "dlaas", "--recipe", "esap", "-o", "docker:reprolake-test/dlaas:1"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True)
class Hub:
    """A hub that runs: its address and the token of an administrator."""

    url: str
    token: str

    def ask(self, path: str, method: str = "GET"):
        """Return what the hub, or a user's server, answers: status and JSON."""
        request = urllib.request.Request(
            f"{self.url}{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, None

    def run(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run code in a kernel of the user's server."""
        python = tool_folder("hub") / "python"
        return subprocess.run(
            [python, HUB / "execute.py", f"{self.url}/user/alice/"],
            input=f"{self.token}\n{code}", capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip


@pytest.fixture(scope="module")
def hub(image, tmp_path_factory) -> Iterator[Hub]:
    """A JupyterHub whose user alice has a server of the image."""
    folder, ports, token = tmp_path_factory.mktemp("hub"), free_ports(3), secrets.token_hex(16)
    programs = tool_folder("hub")
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder), "TEST_IMAGE": image, "TEST_TOKEN": token,
        "TEST_PORTS": " ".join(map(str, ports)), "TEST_PROXY": str(programs / "configurable-http-proxy"),
    }  # fmt: skip
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            [programs / "jupyterhub", "-f", HUB / "jupyterhub_config.py"],
            cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    made = Hub(f"http://127.0.0.1:{ports[1]}", token)
    try:
        _wait(lambda: made.ask("/hub/api/")[0] == 200, folder / "log", 120)
        assert made.ask("/hub/api/users/alice", "POST")[0] == 201
        assert made.ask("/hub/api/users/alice/server", "POST")[0] in {201, 202}
        _wait(
            lambda: made.ask("/hub/api/users/alice")[1]["servers"].get("", {}).get("ready"),
            folder / "log",
            120,
        )
        yield made
    finally:
        subprocess.run(
            ["docker", "rm", "-f", f"reprolake-hub-{running.pid}"], capture_output=True, check=False
        )
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def _wait(is_so, log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if is_so():
                return
        time.sleep(0.3)
    raise AssertionError(log.read_text()[-6000:])


def test_the_server_runs_as_the_images_user(hub):
    """The hub starts the image's own command; it runs as 1000:100 with the kernel in the repository's environment."""
    done = hub.run("import os, sys; print(os.getuid(), os.getgid(), sys.prefix)")
    assert (done.returncode, done.stdout) == (0, "1000 100 /opt/env\n"), done.stderr


def test_it_lists_a_basket(hub):
    """The basket helper lists what is in the user's basket."""
    done = hub.run("import esap_basket; print(len(esap_basket.items()))")
    assert (done.returncode, done.stdout) == (
        0,
        f"{len(json.loads((CRAB / 'basket.json').read_text()))}\n",
    ), done.stderr


def test_it_runs_the_notebook(hub):
    """The repository's notebook runs in the server, with the repository's packages."""
    done = hub.run(_RUN_NOTEBOOK)
    assert done.stdout.endswith("DONE\n"), done.stderr + done.stdout


def test_it_starts_where_no_rucio_answers(hub):
    """The Rucio extension is there with the instance that the spawner named, although nothing answers at its address."""
    status, instances = hub.ask("/user/alice/rucio-jupyterlab/instances")
    assert status == 200
    assert "lake" in json.dumps(instances)
    done = hub.run(
        "print('rucio_attachments' in get_ipython().extension_manager.loaded, callable(resolve_dids))"
    )
    assert (done.returncode, done.stdout) == (0, "True True\n"), done.stderr


def test_lab_is_there_with_the_extension(hub):
    """JupyterLab and the extension's part of it are served; the only kernel is that of the repository's environment."""
    status, specs = hub.ask("/user/alice/api/kernelspecs")
    assert status == 200
    assert specs["kernelspecs"]["python3"]["spec"]["argv"][0] == "/opt/env/bin/python"
    status, extension = hub.ask("/user/alice/lab/extensions/rucio-jupyterlab/package.json")
    assert (status, extension["name"]) == (200, "rucio-jupyterlab")
    assert hub.ask("/user/alice/lab/extensions/no-such-extension/package.json")[0] == 404
    assert hub.ask("/user/alice/api/status")[0] == 200


def test_nothing_is_baked_into_home(image):
    """The home folder of the image is empty or absent: a volume of the user's takes its place."""
    done = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", image, "sh", "-c", "find $HOME -mindepth 1 | head -1; id -u; test -w /opt/rucio/etc && echo writable"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["1000", "writable"], done.stderr


def test_the_environment_is_as_without_the_recipe(reprolake, image, tmp_path):
    """None of the repository's own packages changed its version for the platform's sake."""
    done = reprolake("diff", CRAB, image, "--json")
    changes = json.loads(done.stdout)["changes"]
    assert changes
    assert [change for change in changes if change["kind"] != "setting" and change["before"]] == []
