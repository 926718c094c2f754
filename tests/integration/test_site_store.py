"""A store of the site's, kept by root, read by an ordinary user who runs on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PLAIN = ROOT / "sample-repos" / "no-parameters"
USER = 4242
PYTHON = Path(f"/usr/bin/python3.{sys.version_info.minor}")
NOWHERE = "http://127.0.0.1:9"

pytestmark = [
    pytest.mark.engine("bubblewrap"),
    pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root"),
    pytest.mark.skipif(not PYTHON.exists(), reason="the system has no Python that every user may start"),
]


@pytest.fixture
def place(tmp_path_factory) -> Path:
    """A folder that other users can reach, below one that only its owner may write to."""
    folder = Path("/var/tmp") / f"reprolake-site-{os.getpid()}"
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_user_runs_on_the_sites_store(small_store, small_lock, place):
    """Without a network a user runs what root built: nothing of it is copied or made again, and root's store stays as it was."""
    site, home = place / "site", place / "home"
    subprocess.run(["cp", "-a", small_store, site], check=True)
    site.chmod(0o755)
    for name in ("reprolake", "builder", "runner", "sample-repos"):
        shutil.copytree(ROOT / name, place / "code" / name)
    shutil.copytree(
        next((ROOT / ".venv/lib").glob("python3*/site-packages")),
        place / "packages",
        ignore=shutil.ignore_patterns("*.pth", "pytest*", "mypy*", "ruff*", "hypothesis*"),
    )
    lock = shutil.copy(small_lock, place / "a.lock")
    os.chmod(lock, 0o644)
    home.mkdir()
    os.chown(home, USER, USER)
    before = sorted(str(path) for path in site.rglob("*"))
    done = subprocess.run(
        [PYTHON, "-m", "reprolake", "run", lock, "sum.ipynb", "--source-dir", place / "code/sample-repos/no-parameters",
         "--stage", home / "stage", "--store", home / "store", "--json"],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "PYTHONPATH": ":".join(str(place / name) for name in ("code", "code/builder", "code/runner", "packages")),
            "REPROLAKE_SHARED_STORES": str(site),
            "http_proxy": NOWHERE,
            "https_proxy": NOWHERE,
        },
        user=USER,
        group=USER,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = Path(json.loads(done.stdout)["result"])
    assert (result / "manifest.json").is_file()
    assert not (home / "store" / "archives").exists()
    assert not (home / "store" / "trees").exists()
    assert sorted(str(path) for path in site.rglob("*")) == before
