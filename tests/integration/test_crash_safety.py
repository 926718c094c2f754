"""Whatever happens to a call — killed, no room, a disk that cannot be written, damaged files — the next one works."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from waiting import until

ROOT = Path(__file__).parent.parent.parent
PLAIN = ROOT / "sample-repos" / "no-parameters"
PROGRAM = shutil.which("reprolake", path=str(ROOT / ".venv/bin")) or "reprolake"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")


def kill_somewhere(chance: random.Random, times: int, *arguments: str | Path, store: Path) -> int:
    """Start the command so many times and kill it at any moment; how often it was still at work."""
    killed, longest = 0, 2.5
    for _ in range(times):
        begun = time.monotonic()
        if kill_after(chance.uniform(0.1, longest), *arguments, store=store):
            killed += 1
        else:
            longest = time.monotonic() - begun
    return killed


def kill_after(seconds: float, *arguments: str | Path, store: Path) -> bool:
    """Start the command and kill it after a time; whether it was still at work."""
    child = subprocess.Popen(
        [PROGRAM, *map(str, arguments)],
        env={**os.environ, "REPROLAKE_STORE": str(store)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()
        return True
    return False


def mounted_anywhere(path: Path) -> list[str]:
    """Processes in whose view something below that folder is mounted: sandboxes that outlived their call."""
    found = []
    for mounts in Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            if str(path) in mounts.read_text():
                found.append(mounts.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.engine("bubblewrap")
def test_killed_at_any_moment_the_next_call_works(reprolake, small_lock, tmp_path):
    """Twelve calls are killed somewhere in lock, build, run and stage; then all goes well, with the same image."""
    store, stage, own = tmp_path / "store", tmp_path / "stage", tmp_path / "own.lock"
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # shown when the test fails
    chance = random.Random(seed)
    run = ("run", small_lock, "sum.ipynb", "--stage", stage)
    killed = 0
    killed += kill_somewhere(chance, 3, "lock", PLAIN, "-o", own, store=store)
    assert reprolake("lock", PLAIN, "-o", own, REPROLAKE_STORE=str(store)).returncode == 0
    killed += kill_somewhere(chance, 4, "build", small_lock, store=store)
    built = reprolake("build", small_lock, REPROLAKE_STORE=str(store))
    assert built.returncode == 0, built.stderr
    assert built.stdout == reprolake("build", small_lock).stdout
    killed += kill_somewhere(chance, 5, *run, store=store)
    assert killed >= 6
    before = set(stage.glob("*")) if stage.exists() else set()
    done = reprolake(*run, REPROLAKE_STORE=str(store))
    assert done.returncode == 0, done.stderr
    staged = {path for path in stage.iterdir() if path.is_dir()}
    assert len(staged - before) == 1
    assert all((path / "manifest.json").is_file() for path in staged)
    assert list((store / "tmp").iterdir()) == []
    until(lambda: not mounted_anywhere(store))


@pytest.mark.engine("bubblewrap")
def test_killed_runs_leave_no_process(small_store, tmp_path):
    """A run that is killed takes its sandboxes with it, and its unfinished result is no result."""
    store = tmp_path / "store"
    subprocess.run(["cp", "-a", small_store, store], check=True)
    notebook = PLAIN / "sum.ipynb"
    repository = tmp_path / "repository"
    shutil.copytree(PLAIN, repository)
    slow = notebook.read_text().replace("limit = 100", "import time; time.sleep(600); limit = 100")
    (repository / "sum.ipynb").write_text(slow)
    child = subprocess.Popen(
        [PROGRAM, "run", str(repository), "sum.ipynb", "--stage", str(tmp_path / "stage")],
        env={**os.environ, "REPROLAKE_STORE": str(store)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: child.poll() is not None or mounted_anywhere(store / "trees"), 120)
    assert child.poll() is None
    child.kill()
    child.wait()
    until(lambda: not mounted_anywhere(store))
    assert list((tmp_path / "stage").glob("*/manifest.json")) == []


@needs_root
@pytest.mark.parametrize("megabytes", [1, 20, 75, 120, 150, 200])
def test_a_full_disk_is_told_whatever_fills_it(reprolake, small_lock, small_store, tmp_path, megabytes):
    """Wherever room runs out, the command says that the disk is full, and with more room it goes on."""
    store = tmp_path / "store"
    store.mkdir()
    options = f"size={megabytes}m,mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(store)], check=True)
    try:
        if megabytes > 60:
            shutil.copytree(
                small_store / "archives", store / "archives"
            )  # what fills it is not always a download
        done = reprolake("build", small_lock, REPROLAKE_STORE=str(store))
        assert done.returncode == 14, done.stderr
        assert f"error: the disk of the store {store} is full" in done.stderr
        assert "Traceback" not in done.stderr
        if megabytes == 150:
            subprocess.run(["mount", "-o", "remount,size=1g", str(store)], check=True)
            again = reprolake("build", small_lock, REPROLAKE_STORE=str(store))
            assert again.returncode == 0, again.stderr
            assert again.stdout == reprolake("build", small_lock, REPROLAKE_STORE=str(small_store)).stdout
        assert list((store / "tmp").iterdir()) == []
    finally:
        subprocess.run(["umount", str(store)], check=True)


@needs_root
def test_locking_on_a_full_disk_says_so(reprolake, tmp_path):
    """The resolver's own cache lies in the store: when it finds no room, it is the disk that is named."""
    store = tmp_path / "store"
    store.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k,mode=755", "tmpfs", str(store)], check=True)
    try:
        done = reprolake("lock", PLAIN, REPROLAKE_STORE=str(store))
        assert done.returncode == 14
        assert "is full" in done.stderr
    finally:
        subprocess.run(["umount", str(store)], check=True)


@needs_root
def test_a_read_only_store_says_so_unless_it_holds_all(reprolake, small_lock, small_store, tmp_path):
    """What a read-only store holds is used; what would have to be written is a clear error."""
    store = tmp_path / "store"
    store.mkdir()
    subprocess.run(["mount", "--bind", str(small_store), str(store)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(store)], check=True)
        built = reprolake("build", small_lock, REPROLAKE_STORE=str(store))
        assert built.returncode == 0, built.stderr
        done = reprolake(
            "run", small_lock, "sum.ipynb", "--stage", tmp_path / "stage", REPROLAKE_STORE=str(store)
        )
        assert done.returncode == 14
        assert "cannot be written: Read-only file system" in done.stderr
        assert "--store" in done.stderr
    finally:
        subprocess.run(["umount", str(store)], check=True)


def test_damage_behind_its_back_is_mended(reprolake, small_lock, small_store, tmp_path):
    """Archives and indexes that were cut short or changed are noticed when they are needed, and made or fetched anew."""
    store = tmp_path / "store"
    subprocess.run(["cp", "-a", small_store, store], check=True)
    wanted = reprolake("build", small_lock, REPROLAKE_STORE=str(store)).stdout
    for number, index in enumerate(sorted(store.glob("trees/*/*/index"))):
        index.write_bytes(index.read_bytes()[: -1 - number])
    locked = [path for path in store.glob("archives/*/*") if path.name in small_lock.read_text()]
    smallest = sorted(locked, key=lambda path: path.stat().st_size)
    for path in smallest[:3]:
        path.write_bytes(b"")
    with smallest[5].open("r+b") as stream:
        stream.write(b"?")
    for path in store.glob("documents/*/*"):
        path.write_bytes(path.read_bytes()[:-3])
    done = reprolake("build", small_lock, REPROLAKE_STORE=str(store))
    assert done.returncode == 0, done.stderr
    assert done.stdout == wanted
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in locked] == [
        path.name for path in locked
    ]
