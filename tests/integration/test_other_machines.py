"""On another machine, and for another one: what can be done is done, the rest is refused, and no image is ever a wrong one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parent.parent.parent / "sample-repos/no-parameters"
MACHINE = "i686"  # what this host can pretend to be without being emulated
SENTENCE = f"images are for linux/amd64, and this host is Linux on {MACHINE}: locks can be made here"

pytestmark = pytest.mark.skipif(shutil.which("setarch") is None, reason="setarch is not installed")


def elsewhere(*arguments, store):
    """Call reprolake where the kernel says that it runs on another machine."""
    command = ["setarch", MACHINE, sys.executable, "-m", "reprolake", *map(str, arguments), "--store", store]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def store(small_store, tmp_path):
    """A store with the archives of an image and nothing made from them."""
    shutil.copytree(small_store / "archives", tmp_path / "store/archives")
    return tmp_path / "store"


def test_an_image_is_not_built_on_another_machine(small_lock, store):
    """What would run the image's Python is refused in a sentence that says what is possible; the store holds no image."""
    done = elsewhere("build", small_lock, store=store)
    assert done.returncode == 23
    assert SENTENCE in done.stderr
    assert "image" not in done.stdout
    assert not list(store.glob("documents/images*/*"))


def test_an_image_is_not_run_on_another_machine(small_lock, small_store):
    """An image that is there is not started."""
    done = elsewhere("run", small_lock, "sum.ipynb", "-p", "a", "1", store=small_store)
    assert (done.returncode, SENTENCE in done.stderr) == (23, True)


def test_a_lock_is_made_on_another_machine(reprolake, tmp_path, session):
    """A lock is for linux/amd64 wherever it is made, and says the same."""
    shutil.copytree(SAMPLE, tmp_path / "sample")
    command = ["lock", tmp_path / "sample", "--as-of", "2024-06-01", "--output"]
    there = elsewhere(*command, tmp_path / "there.lock", store=session.tools.store.root)
    here = reprolake(*command, tmp_path / "here.lock")
    assert (there.returncode, here.returncode) == (0, 0), there.stderr + here.stderr
    locks = [json.loads((tmp_path / name).read_bytes()) for name in ("there.lock", "here.lock")]
    for lock in locks:
        del lock["source"]["date"]  # of a folder without history: the time of reading
    assert locks[0] == locks[1]
    assert locks[0]["platform"] == "linux/amd64"


def test_the_doctor_names_the_machine(tmp_path):
    """What can be done there is told, and no package is recommended that would not help."""
    done = elsewhere("doctor", store=tmp_path)
    assert SENTENCE in done.stdout
    assert "remedy: build and run on a host that can, with the same lock" in done.stdout


@pytest.mark.parametrize("platform", ["linux/arm64", "windows/amd64"])
def test_a_lock_for_another_machine_is_refused(reprolake, small_lock, tmp_path, platform):
    """A lock for another platform is told from one that is damaged: making it again would not help."""
    path = tmp_path / "other.lock"
    path.write_text(small_lock.read_text().replace("linux/amd64", platform))
    for command in ("build", "inspect"):
        done = reprolake(command, path)
        assert done.returncode == 13
        assert f"{path} is for {platform}, and this version knows linux/amd64 only" in done.stderr


def test_a_platform_that_is_no_text_is_a_damaged_lock(reprolake, small_lock, tmp_path):
    """What merely looks like another platform is refused like any other damage."""
    path = tmp_path / "odd.lock"
    path.write_text(small_lock.read_text().replace('"linux/amd64"', "7"))
    done = reprolake("build", path)
    assert (done.returncode, "is no lock that this version reads" in done.stderr) == (13, True)
