"""`reprolake cache`: what the store holds, and removing it while others work."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from waiting import until

ROOT = Path(__file__).parent.parent.parent
PLAIN = ROOT / "sample-repos" / "no-parameters"
PROGRAM = shutil.which("reprolake", path=str(ROOT / ".venv/bin")) or "reprolake"


@pytest.fixture
def store(small_store, tmp_path) -> Path:
    """A store of the test's own with one image."""
    subprocess.run(["cp", "-a", small_store, tmp_path / "store"], check=True)
    return tmp_path / "store"


def test_cache_shows_what_there_is(reprolake, store):
    """Count, size and last use of every kind, for people and as JSON."""
    report = json.loads(reprolake("cache", "--json", "--store", store).stdout)
    counted = {line["kind"]: line["count"] for line in report["holds"]}
    assert counted["images"] == 1
    assert counted["layers"] > 30
    assert report["size"] == sum(line["size"] for line in report["holds"])
    shown = reprolake("cache", "--store", store)
    assert shown.returncode == 0
    assert f" in {store}; " in shown.stdout


def test_prune_wants_to_know_what(reprolake, store):
    """Without a condition nothing is removed, and a size or time that is none is told."""
    assert reprolake("cache", "prune", "--store", store).returncode == 2
    for option, value in (("--max-size", "many"), ("--older-than", "soon"), ("--older-than", "never")):
        done = reprolake("cache", "prune", option, value, "--store", store)
        assert done.returncode == 2
        assert value in done.stderr
    assert reprolake("cache", "--json", "prune", "--unused").returncode == 2


def test_nothing_of_an_image_is_unused(reprolake, store, small_lock):
    """An image that was built needs nothing again after pruning what is unused."""
    done = reprolake("cache", "prune", "--unused", "--json", "--store", store)
    assert done.returncode == 0, done.stderr
    assert {line["kind"] for line in json.loads(done.stdout)["removed"]} <= {"archives", "answers", "layers"}
    nowhere = "http://127.0.0.1:9"
    built = reprolake("build", small_lock, "--store", store, HTTPS_PROXY=nowhere, HTTP_PROXY=nowhere)
    assert built.returncode == 0, built.stderr


@pytest.mark.engine("bubblewrap")
def test_pruning_everything_spares_what_a_run_uses(reprolake, store, tmp_path):
    """While a notebook runs nothing of its image can be removed; afterwards it can."""
    repository = tmp_path / "repository"
    shutil.copytree(PLAIN, repository)
    notebook = (repository / "sum.ipynb").read_text()
    pause = "import os, time\\nwhile not os.path.exists('/out/go'): time.sleep(0.05)\\nimport decimal, sqlite3\\n"  # modules that nothing loaded before
    (repository / "sum.ipynb").write_text(notebook.replace("limit = 100", f"{pause}limit = 100"))
    with subprocess.Popen(
        [PROGRAM, "run", repository, "sum.ipynb", "--stage", tmp_path / "stage", "--store", store],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        (log,) = until(lambda: run.poll() is not None or list((store / "tmp").glob("*/*/*/events.jsonl")))
        done = reprolake("cache", "prune", "--max-size", "0", "--json", "--store", store)
        log.with_name("output").joinpath("go").touch()
        out, _ = run.communicate()
    assert run.returncode == 0, out
    assert done.returncode == 0, done.stderr
    kept = {line["kind"]: line["count"] for line in json.loads(done.stdout)["kept"]}
    assert kept["layers"] >= 30
    assert "images" not in kept
    assert reprolake("cache", "prune", "--max-size", "0", "--store", store).returncode == 0
    assert json.loads(reprolake("cache", "--json", "--store", store).stdout)["holds"] == []


def test_check_finds_damage_and_discards_it(reprolake, store, small_lock):
    """A changed file of an image is named, removed on demand, and made again with the same id."""
    built = reprolake("build", small_lock, "--store", store).stdout
    assert reprolake("cache", "check", "--store", store).returncode == 0
    changed = next(store.glob("trees/*/*/root/opt/env/lib/python3.11/site-packages/ipykernel/__init__.py"))
    changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    done = reprolake("cache", "check", "--json", "--store", store)
    assert done.returncode == 14
    assert "cache check --discard" in done.stderr
    (damaged,) = json.loads(done.stdout)["damaged"]
    assert store / damaged["path"] in changed.parents
    assert (damaged["why"], damaged["removed"]) == (
        "opt/env/lib/python3.11/site-packages/ipykernel/__init__.py has other bytes",
        False,
    )
    done = reprolake("cache", "check", "--discard", "--store", store)
    assert (done.returncode, "removed  trees/" in done.stdout) == (0, True), done.stderr
    assert reprolake("build", small_lock, "--store", store).stdout == built
    assert reprolake("cache", "check", "--store", store).returncode == 0
