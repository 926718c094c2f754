"""What repo2docker's documentation says of images at run time, and BinderHub's contract with them.

The rules for configuration files are in tests/unit/builder/test_detect_as_repo2docker.py, those for postBuild and start in
test_scripts.py too. docs/how-to/from-repo2docker.md tells the same for people.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parent.parent.parent / "sample-repos" / "no-parameters"
pytestmark = [pytest.mark.engine("docker"), pytest.mark.engine("bubblewrap")]

POST_BUILD = """#!/bin/bash
set -e
{ id -un; pwd; echo "$REPO_DIR $NB_USER $NB_PYTHON_PREFIX $HOME"; shopt -q login_shell && echo login || echo plain; } > said
[ "$(command -v python)" = "$NB_PYTHON_PREFIX/bin/python" ]
"""
START = '#!/bin/bash\nexport STARTED="$PWD"\nexec "$@"\n'
SAY = """
id -u; id -g; id -un; pwd
for name in HOME LANG USER SHELL REPO_DIR STARTED PATH; do printenv $name; done
command -v python3; cat said
touch $HOME/x x && echo writable
"""
# What BinderHub does, see the command of single users in the values of its chart: the python3 of PATH looks for Lab.
CHOICE = """
import importlib.util, os, sys
server = "jupyter-lab" if importlib.util.find_spec("jupyterlab") else "jupyter-notebook"
os.execvp(server, [server, *sys.argv[1:]])
"""
FOLDER = "/repo/demo"
FACTS = [
    "1000", "100", "jovyan", FOLDER,
    "/home/jovyan", "C.UTF-8", "jovyan", "/bin/bash", FOLDER, FOLDER, "/opt/env/bin:/usr/local/bin:/usr/bin:/bin",
    "/opt/env/bin/python3",
    "jovyan", FOLDER, f"{FOLDER} jovyan /opt/env /home/jovyan", "plain",
]  # fmt: skip


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A repository whose sub-folder has a notebook, postBuild and start, none of which may be executed."""
    folder = tmp_path_factory.mktemp("as") / "r"
    shutil.copytree(SAMPLE, folder / "demo")
    (folder / "demo" / "postBuild").write_text(POST_BUILD)
    (folder / "demo" / "start").write_text(START)
    return folder


@pytest.fixture(scope="module")
def image(reprolake, repository) -> str:
    """The id of that sub-folder's image, which is in docker."""
    done = reprolake("build", repository, "--subdir", "demo", "-o", "docker:reprolake-test/as:1")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def docker(*words: str, network: str = "none") -> subprocess.CompletedProcess[str]:
    """Run a command in a container that ends with it."""
    return subprocess.run(
        ["docker", "run", "--rm", "--network", network, *words],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def test_a_container_is_as_repo2dockers(image):
    """User, working folder, variables, PATH, what postBuild and start met: the same names; other places and another group."""
    done = docker(image, "sh", "-c", SAY)
    assert done.stdout.splitlines() == [*FACTS, "writable"], done.stderr


def test_exec_is_as_a_container(reprolake, repository, image, tmp_path):
    """A command in the sandbox meets the same as one in a container."""
    say = f"({SAY}) > $REPROLAKE_OUTPUT/said"
    done = reprolake("exec", repository, "--subdir", "demo", "--stage", tmp_path, "--", "sh", "-c", say)
    assert done.returncode == 0, done.stderr
    (said,) = tmp_path.glob("*/outputs/said")
    assert said.read_text().splitlines()[: len(FACTS)] == FACTS


def test_login_shells_have_the_environment(image):
    """A login shell, which is what Jupyter's terminals are, finds the environment's programs, and a PATH that was given stays."""
    say = ("bash", "-lc", "command -v python; echo $STARTED")
    assert docker(image, *say).stdout.splitlines() == ["/opt/env/bin/python", FOLDER]
    assert docker("-e", "PATH=/opt/env/bin:/bin:/own", image, "bash", "-lc", "echo $PATH").stdout == (
        "/opt/env/bin:/bin:/own\n"
    )
    assert docker(image, "env", "-i", "bash", "-lc", "echo ${PATH%%:*}").stdout == "/usr/local/bin\n"


def test_the_entry_point_gives_way_to_its_command(image):
    """The command is process 1, so that it gets the signals, and its exit status is the container's."""
    done = docker(image, "sh", "-c", "echo $$; exit 7")
    assert (done.returncode, done.stdout) == (7, "1\n")


def test_a_server_as_binderhub_starts_it(reprolake):
    """With the recipe `jupyter` BinderHub's way to start a server works: python3 picks one, which answers at its port."""
    done = reprolake("build", SAMPLE, "--recipe", "jupyter", "-o", "docker:reprolake-test/as:2")
    assert done.returncode == 0, done.stderr
    settings = ("ip=127.0.0.1", "port=8888", "base_url=/user/a/", "token=secret")
    words = [f"--{app}.{setting}" for setting in settings for app in ("NotebookApp", "ServerApp")]
    name = f"reprolake-as-{time.time_ns()}"
    started = docker("-d", "--name", name, done.stdout.strip(), "python3", "-c", CHOICE, *words)
    assert started.returncode == 0, started.stderr
    ask = (
        "import urllib.request as u; r = lambda p: u.urlopen(u.Request('http://127.0.0.1:8888/user/a/api' + p,"
        " headers={'Authorization': 'token secret'})).read().decode(); print(r('')); print(r('/kernelspecs'))"
    )
    try:
        for _ in range(120):
            asked = subprocess.run(
                ["docker", "exec", name, "python3", "-c", ask], capture_output=True, text=True, check=False
            )
            if asked.returncode == 0:
                break
            time.sleep(0.5)
        version, specs = map(json.loads, asked.stdout.splitlines())
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
    assert int(version["version"].split(".")[0]) >= 2
    assert specs["kernelspecs"]["python3"]["spec"]["argv"][0] == "/opt/env/bin/python"
