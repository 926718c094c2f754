"""Runs in files that somebody prepared: a folder, a SIF, a squashfs, with the image's lock in them or not."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from conftest import SAMPLES

from reprolake import prepared_roots
from reprolake_builder.errors import SandboxError
from reprolake_builder.image import LOCK_IN_IMAGE
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sif import squashfs_in
from reprolake_runner.inside import trees_of

SAMPLE = str(SAMPLES / "no-parameters")
each = pytest.mark.parametrize(
    "sandbox", [pytest.param(name, marks=pytest.mark.engine(name)) for name in ("bubblewrap", "apptainer")]
)


def sif(squashfs, at):
    """A SIF with a definition file and that squashfs as its root file system, laid out as apptainer does."""
    start = 36864
    header = (b"launch\0", b"SIF_MAGIC\0", b"01\0", b"02\0", bytes(16), 0, 0, 46, 48, 4096, 28080, 32176, 0)
    made = bytearray(struct.pack("<32s10s3s3s16s8q", *header).ljust(start, b"\0"))
    other = struct.pack(
        "<i?IIIqqqqqqq128s384s", 0x4001, True, 1, 1, 0, 32176, 4, 4, 0, 0, 0, 0, b"deffile", b""
    )
    extra = struct.pack("<ii3s", 1, 2, b"02\0")
    size = squashfs.stat().st_size
    root = struct.pack(
        "<i?IIIqqqqqqq128s384s", 0x4004, True, 2, 1, 0, start, size, size, 0, 0, 0, 0, b"fs", extra
    )
    made[4096 : 4096 + 2 * 585] = other + root
    at.write_bytes(bytes(made) + squashfs.read_bytes())
    return at


def squashed(folder, at):
    """A squashfs of a folder, not compressed, and always the same."""
    words = [
        "mksquashfs",
        folder,
        at,
        "-noI",
        "-noD",
        "-noF",
        "-noX",
        "-no-progress",
        "-quiet",
        "-all-root",
        "-all-time",
        "0",
        "-mkfs-time",
        "0",
    ]
    subprocess.run(words, check=True, capture_output=True)
    return at


@pytest.fixture(scope="module")
def root(built_image, session, tmp_path_factory):
    """The image's files as one folder."""
    folder = tmp_path_factory.mktemp("prepared") / "image:v1"
    folder.mkdir()
    for tree in trees_of(built_image, session.tools.store):
        subprocess.run(["cp", "-rlf", "--no-dereference", f"{tree}/.", folder], check=True)
    for name in ("proc", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    folder.parent.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def notebook():
    """The sample's notebook."""
    return next(path.name for path in Path(SAMPLE).glob("*.ipynb"))


def record(done):
    """The record of a staged run."""
    assert done.returncode == 0, done.stderr
    return json.loads((Path(json.loads(done.stdout)["result"]) / "run.json").read_text())


@each
def test_a_notebook_runs_in_a_folder_behind_a_link(sandbox, root, notebook, reprolake, tmp_path):
    """A folder, reached by a link and with odd characters in its name as on CVMFS, stands in for the image; the record says so."""
    (tmp_path / "v1").symlink_to(root)
    given = (
        "run",
        root / LOCK_IN_IMAGE.lstrip("/"),
        notebook,
        "--root",
        tmp_path / "v1",
        "--sandbox",
        sandbox,
        "--stage",
        tmp_path,
        "--json",
    )
    found = record(reprolake(*given))
    assert found["status"] == "succeeded"
    assert found["sandbox"]["files"] == f"{tmp_path}/v1, as it lies there; it carries the image's lock"
    assert found["sandbox"]["sandbox"].startswith(sandbox)


@pytest.mark.engine("apptainer")
def test_a_notebook_runs_in_a_sif_which_is_unpacked_once(root, notebook, reprolake, tmp_path):
    """A SIF stands in for the image, and what runs later, in whatever sandbox, finds it unpacked in the store."""
    file = sif(squashed(root, tmp_path / "s"), tmp_path / "image.sif")
    lock = root / LOCK_IN_IMAGE.lstrip("/")
    given = ("run", lock, notebook, "--root", file, "--sandbox", "apptainer", "--stage", tmp_path, "--json")
    found = record(reprolake(*given))
    assert found["status"] == "succeeded"
    assert found["sandbox"]["files"] == f"{file}, unpacked; it carries the image's lock"
    again = reprolake(
        "exec", lock, "--root", file, "--sandbox", "bubblewrap", "--stage", tmp_path, "--", "true"
    )
    assert again.returncode == 0
    assert "Unpacking" not in again.stderr


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    """A root of a shell and what it needs, from this host."""
    folder = tmp_path_factory.mktemp("little") / "root"
    for file in ("/usr/bin/sh", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib64/ld-linux-x86-64.so.2"):
        at = folder / file.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.realpath(file), at)
    for name in ("bin", "lib", "lib64"):
        (folder / name).symlink_to(f"usr/{name}")
    folder.parent.chmod(0o755)
    return folder


def execute(reprolake, root, script, *more):
    """Run a shell script in a prepared root."""
    return reprolake("exec", SAMPLE, "--root", root, *more, "--", "/bin/sh", "-c", script)


@each
def test_files_without_a_lock_are_used_and_said_to_be_unverified(sandbox, little, reprolake, tmp_path):
    """What carries no lock runs, with a warning, and the record does not claim that it is the image."""
    found = execute(reprolake, little, "echo $HOME", "--sandbox", sandbox, "--stage", tmp_path)
    assert found.returncode == 0
    assert "\n/home/jovyan\n" in found.stderr
    assert "carries no lock" in found.stderr
    (text,) = tmp_path.glob("*/run.json")
    said = json.loads(text.read_text())["sandbox"]["files"]
    assert said == f"{little}, as it lies there; unverified: it carries no lock"


@pytest.mark.engine("bubblewrap")
def test_the_image_of_another_lock_is_refused(little, reprolake, tmp_path):
    """Files that say themselves that they are another image are not run."""
    folder = tmp_path / "other"
    shutil.copytree(little, folder, symlinks=True)
    lock = folder / LOCK_IN_IMAGE.lstrip("/")
    lock.parent.mkdir(parents=True)
    lock.write_text("{}")
    found = execute(reprolake, folder, "echo ran", "--stage", tmp_path)
    assert found.returncode == 2
    assert "is the image of another lock" in found.stderr
    assert "\nran\n" not in found.stderr


@pytest.mark.engine("bubblewrap")
def test_what_is_no_root_is_refused(reprolake, tmp_path):
    """A folder without programs, and a file that is no SIF, are named as such."""
    assert "has no /usr" in execute(reprolake, tmp_path, "true").stderr
    file = tmp_path / "x.sif"
    file.write_bytes(b"#!/bin/sh\n" * 100)
    found = execute(reprolake, file, "true")
    assert found.returncode == 23
    assert "neither a squashfs nor a SIF" in found.stderr


@pytest.mark.engine("bubblewrap")
def test_files_that_are_larger_than_the_disk_are_not_unpacked(little, session, tmp_path, monkeypatch):
    """Unpacking ends when no more than some room would be left, and nothing of it stays; with the room there it goes well."""
    file = squashed(little, tmp_path / "s")
    with file.open("ab") as stream:
        stream.write(os.urandom(64))  # the store, which stays, has not unpacked this one yet
    kept = prepared_roots._KEPT_FREE
    monkeypatch.setattr(prepared_roots, "_KEPT_FREE", 1 << 60)
    with pytest.raises(SandboxError, match="unpacks to more than there is room for"):
        prepared_roots._unpacked(file, session, Bubblewrap())
    monkeypatch.setattr(prepared_roots, "_KEPT_FREE", kept)
    unpacked = prepared_roots._unpacked(file, session, Bubblewrap())
    assert (unpacked / "usr/bin/sh").is_file()
    assert session.tools.store.discard(unpacked.parent)


@pytest.mark.engine("docker")
def test_container_engines_refuse_files(little, reprolake):
    """What runs images only says what can run files instead."""
    found = execute(reprolake, little, "true", "--sandbox", "docker")
    assert found.returncode == 23
    assert "--sandbox bubblewrap or apptainer" in found.stderr


@pytest.mark.parametrize("size", [0, 4, 90, 128, 5000, 40000])
def test_a_damaged_sif_is_no_sif(size, tmp_path):
    """A header that is cut off, or leads nowhere, is an error and nothing else."""
    whole = tmp_path / "whole"
    whole.write_bytes(b"x" * 10000)
    file = sif(whole, tmp_path / "x.sif")
    assert squashfs_in(file) == 36864
    data = bytearray(file.read_bytes()[:size])
    data[4200:] = b"\xff" * len(data[4200:])
    file.write_bytes(data)
    with pytest.raises(SandboxError):
        squashfs_in(file)


SCRIPT = "echo ran-before-the-filter; echo ran-before-the-filter >&2"


@pytest.mark.engine("apptainer")
def test_scripts_of_an_image_are_not_run_by_apptainer(little, reprolake, tmp_path):
    """What apptainer itself would run of an image, outside the filter, is hidden from it."""
    folder = tmp_path / "evil"
    shutil.copytree(little, folder, symlinks=True)
    (folder / ".singularity.d/env").mkdir(parents=True)
    for name in ("env/10-evil.sh", "env/99-base.sh", "runscript"):
        (folder / ".singularity.d" / name).write_text(SCRIPT)
    (folder / "environment").symlink_to(".singularity.d/env/99-base.sh")
    found = execute(reprolake, folder, "echo $$ mine", "--sandbox", "apptainer", "--stage", tmp_path)
    assert " mine\n" in found.stderr
    assert "ran-before" not in found.stdout + found.stderr
    plain = [
        "apptainer",
        "--silent",
        "exec",
        "--no-privs",
        "--no-home",
        "--no-mount",
        "cwd",
        folder,
        "/bin/sh",
        "-c",
        ":",
    ]
    home = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    control = subprocess.run(plain, capture_output=True, text=True, check=False, cwd="/", env=home)
    assert "ran-before" in control.stdout + control.stderr, "apptainer itself runs them"
