"""What users install is what we test: the wheel alone, in a clean environment, runs the demo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SAMPLES = ROOT / "sample-repos"
CACHE = ROOT / ".cache" / "tests"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_all_three_packages_and_the_keys(wheel):
    """Package data travels: Debian's keys, type markers, and no tests."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"reprolake", "reprolake_builder", "reprolake_runner"}
    assert any(name.startswith("reprolake_builder/keys/") for name in names)
    assert {f"{top}/py.typed" for top in tops} <= set(names)


@pytest.mark.engine("bubblewrap")
def test_the_installed_wheel_runs_the_demo(wheel, tmp_path):
    """In a clean environment, from a foreign folder, the demo's command stages a successful result."""
    uv = [sys.executable, "-m", "uv", "--quiet", "--native-tls"]
    subprocess.run([*uv, "venv", "--python", sys.executable, tmp_path / "env"], check=True)
    subprocess.run([*uv, "pip", "install", "--python", tmp_path / "env/bin/python", wheel], check=True)
    crab = SAMPLES / "crab-lightcurve"
    command = [
        tmp_path / "env/bin/reprolake",
        "run",
        crab,
        "lightcurve.ipynb",
        "--basket",
        crab / "basket.json",
    ]
    environment = {
        name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}
    }
    done = subprocess.run(
        [*command, "-p", "bins", "20", "--stage", "./staging", "--json"],
        cwd=tmp_path,
        env={**environment, "REPROLAKE_STORE": str(CACHE / "store")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = Path(json.loads(done.stdout)["result"])
    assert result.is_relative_to(tmp_path)
    assert (result / "index.html").is_file()
