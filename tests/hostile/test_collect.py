"""Hostile output folders: links, pipes, devices, set-uid files, odd names, endless files, floods of names (H05 to H11)."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outcomes import outcome

from reprolake_runner.collect import Collector, Limits
from reprolake_runner.stage_out import Staging, stage_out
from reprolake_runner.staged import read_result

SECRET = "only the host may know this"


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "host" / "secret"
    path.parent.mkdir()
    path.write_text(SECRET)
    return path


def everything_below(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def stage(tmp_path, run, limits=None):
    result = stage_out(run, Staging(tmp_path / "stage", limits=limits or Limits()))
    assert read_result(result.folder).intact
    assert not [path for path in result.folder.rglob("*") if path.is_symlink()]
    return result


def outputs(result):
    return sorted(file.path for file in result.manifest.files if file.path.startswith("outputs/"))


def warned(result, text):
    return any(text in warning for warning in result.record.warnings)


def test_links_are_not_followed_and_are_named(tmp_path, secret):
    """H05: links to files and folders of the host, up, and in circles are left out with a warning."""
    run = outcome(tmp_path / "run")
    for name, target in {
        "file": secret,
        "folder": secret.parent,
        "root": "/",
        "up": "..",
        "self": "self",
    }.items():
        (run.output / name).symlink_to(target)
        (run.upper / name).symlink_to(target)
    result = stage(tmp_path, run)
    assert outputs(result) == []
    assert SECRET not in everything_below(result.folder)
    assert warned(result, "symbolic link: outputs/")


def test_links_in_place_of_our_own_files_are_not_followed(tmp_path, secret):
    """What the driver should have left may be a link: then it is missing, and the secret stays where it is."""
    run = outcome(tmp_path / "run")
    for path in (run.notebook, run.printed["log.txt"], run.events, run.basket):
        path.unlink()
        path.symlink_to(secret)
    result = stage(tmp_path, run)
    assert SECRET not in everything_below(result.folder)
    assert warned(result, "lightcurve.ipynb is missing")


def test_the_output_folder_itself_may_be_a_link(tmp_path, secret):
    """A run that replaced its output folder by a link gets nothing collected through it."""
    run = outcome(tmp_path / "run")
    run.output.rmdir()
    run.output.symlink_to(secret.parent)
    assert outputs(stage(tmp_path, run)) == []


def test_links_of_the_repository_do_not_open_host_files_for_comparison(tmp_path, secret):
    """The repository may hold a link where the run made a folder: the host file behind it is never looked at."""
    run = outcome(tmp_path / "run")
    (run.repository / "data").symlink_to(secret.parent)
    (run.upper / "data").mkdir()
    (run.upper / "data" / "secret").write_text(SECRET)
    result = stage(tmp_path, run)
    assert outputs(result) == ["outputs/repository/data/secret"]
    assert "changed in the repository" not in (result.folder / "index.html").read_text()


def test_a_link_swapped_in_while_collecting_gains_nothing(tmp_path, secret):
    """H06: a file that turns into a link to the host and back, all the time, never yields the host's bytes."""
    folder, target = tmp_path / "out", tmp_path / "kept"
    (folder / "d").mkdir(parents=True)
    names = [folder / f"f{n}" for n in range(20)] + [folder / "d" / f"f{n}" for n in range(20)]
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            for name in names:
                for make in (lambda n: n.symlink_to(secret), lambda n: n.write_text("harmless")):
                    with suppress(OSError):
                        name.unlink(missing_ok=True)
                        make(name)
            with suppress(OSError):
                (folder / "d").rename(folder / "e")
                (folder / "d").symlink_to(secret.parent)
                (folder / "d").unlink()
                (folder / "e").rename(folder / "d")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        ends = time.monotonic() + 1.5
        count, naive = 0, False
        while count <= 5 or time.monotonic() < ends:
            Collector(target / str(count), Limits()).collect(folder, "outputs")
            count += 1
        ends = time.monotonic() + 60
        while not naive and time.monotonic() < ends:
            with suppress(OSError):
                naive = names[0].read_text() == SECRET  # the control: who opens by name is led astray
    finally:
        stop.set()
        thread.join()
    assert naive
    assert SECRET not in everything_below(target)


def test_pipes_sockets_and_devices_do_not_block(tmp_path):
    """H07: what is no plain file is named and left, without being opened."""
    run = outcome(tmp_path / "run")
    os.mkfifo(run.output / "pipe")
    here = os.getcwd()
    os.chdir(run.output)  # the name of a socket has to be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        os.chdir(here)
        with suppress(PermissionError):  # only root can make a device
            os.mknod(run.output / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        made = (run.output / "zero").exists()
        result = stage(tmp_path, run)
    assert outputs(result) == []
    assert warned(result, "pipe: outputs/pipe")
    assert warned(result, "socket: outputs/socket")
    assert warned(result, "device: outputs/zero") == made


def test_set_uid_bits_are_dropped(tmp_path):
    """H08: a set-uid program comes out as a plain file that nobody executes."""
    run = outcome(tmp_path / "run")
    (run.output / "tool").write_bytes(b"\x7fELF")
    (run.output / "tool").chmod(0o6755)
    result = stage(tmp_path, run)
    assert (result.folder / "outputs" / "tool").stat().st_mode & 0o7111 == 0


def test_a_notebook_cannot_lock_its_outputs_away(tmp_path):
    """Files and folders without permissions are collected: they are ours."""
    run = outcome(tmp_path / "run")
    (run.output / "d").mkdir()
    (run.output / "d" / "f").write_text("x")
    (run.output / "d" / "f").chmod(0)
    (run.output / "d").chmod(0)
    assert outputs(stage(tmp_path, run)) == ["outputs/d/f"]


def test_odd_names_come_out_safe_with_the_original_recorded(tmp_path):
    """H09: newlines, dashes, bytes that are no text, directions, capitals, 255 bytes: safe names, originals in the record."""
    run = outcome(tmp_path / "run")
    names = [
        b"new\nline",
        b"-rf",
        b"not\xfftext",
        "\u202egnp.exe".encode(),
        b"\x1b[2J",
        b"a" * 255,
        b"Fig",
        b"fig",
        b"a\\b",
    ]
    for name in names:
        with open(os.fsencode(run.output) + b"/" + name, "wb") as stream:
            stream.write(name)
    result = stage(tmp_path, run)
    found = outputs(result)
    assert len(found) == len(names)
    assert len({path.casefold() for path in found}) == len(names)
    for path in found:
        assert path.isprintable()
        assert not path.removeprefix("outputs/").startswith("-")
        assert "\\" not in path
    for original in (r"new\nline", "-rf", r"not\udcfftext", r"\u202egnp.exe", r"\x1b[2J"):
        page = (result.folder / "index.html").read_text()
        assert f"(was {original})" in page


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.sets(st.binary(min_size=1, max_size=60), max_size=8))
def test_no_name_leaves_the_result(tmp_path, names):
    """Whatever files are called, their copies are direct children of the target."""
    base = tmp_path / os.urandom(6).hex()
    (base / "out").mkdir(parents=True)
    made = 0
    for name in names:
        with suppress(OSError, ValueError):
            os.close(
                os.open(os.fsencode(base / "out") + b"/" + name.replace(b"/", b"_"), os.O_CREAT | os.O_EXCL)
            )
            made += 1
    collector = Collector(base / "kept", Limits())
    collector.collect(base / "out", "outputs")
    assert len(collector.files) == made
    for file in collector.files:
        assert (base / "kept" / file.path).resolve().parent == (base / "kept" / "outputs").resolve()


def test_a_sparse_giant_is_refused_by_its_size(tmp_path):
    """H10: ten terabytes of nothing are not read, and the run is no success."""
    run = outcome(tmp_path / "run")
    with (run.output / "giant").open("wb") as stream:
        stream.truncate(10 << 40)
    result = stage(tmp_path, run)
    assert outputs(result) == []
    assert result.record.status == "limit-exceeded"


def test_files_that_are_as_before_leave_no_folders(tmp_path):
    """Where the repository was copied for the run, its own folders are no outputs; those of changed files are."""
    same, changed = outcome(tmp_path / "same"), outcome(tmp_path / "changed")
    for place in (same.repository, same.upper, changed.repository, changed.upper):
        for name in ("same/deep", "other"):
            (place / name).mkdir(parents=True)
            (place / name / "file").write_text("x")
    assert not (stage(tmp_path / "first", same).folder / "outputs").exists()
    (changed.upper / "other/file").write_text("y")
    result = stage(tmp_path / "second", changed)
    assert outputs(result) == ["outputs/repository/other/file"]
    assert [path.name for path in (result.folder / "outputs/repository").iterdir()] == ["other"]


def test_holes_stay_holes(tmp_path):
    """A sparse file within the limits does not take the space that it claims."""
    run = outcome(tmp_path / "run")
    with (run.output / "holes").open("wb") as stream:
        stream.truncate(64 << 20)
        stream.seek(32 << 20)
        stream.write(b"x")
    copy = stage(tmp_path, run).folder / "outputs" / "holes"
    assert copy.stat().st_size == 64 << 20
    assert copy.stat().st_blocks * 512 < 4 << 20
    with copy.open("rb") as stream:
        stream.seek(32 << 20)
        assert stream.read(2) == b"x\0"


def test_a_flood_of_files_ends_at_the_limit(tmp_path):
    """H10: only as many entries are visited as the limit allows, and the run is no success."""
    run = outcome(tmp_path / "run")
    for number in range(300):
        (run.output / f"f{number:04}").touch()
    result = stage(tmp_path, run, Limits(entries=100))
    assert len(outputs(result)) == 100
    assert (result.record.status, result.record.exit_code) == ("limit-exceeded", 26)
    assert warned(result, "there are more than 100 files and folders")


def test_a_deep_tree_ends_at_the_limit(tmp_path):
    """H10: folders in folders in folders end at the limit of depth."""
    run = outcome(tmp_path / "run")
    descriptor = os.open(run.output, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    result = stage(tmp_path, run)
    assert result.record.status == "limit-exceeded"
    assert warned(result, "deeper than 64 folders")


def test_a_path_beyond_what_the_host_takes_loses_that_file_only(tmp_path, monkeypatch):
    """H10: long names in long names, made step by step, are cut off with a warning; everything else is staged."""
    run = outcome(tmp_path / "run")
    (run.output / "kept.txt").write_text("kept")
    for base in (run.output, run.upper):
        monkeypatch.chdir(base)
        for _ in range(50):
            os.mkdir("x" * 110)
            os.chdir("x" * 110)
        Path("far.txt").write_text("far")
    monkeypatch.chdir(tmp_path)
    result = stage(tmp_path, run)
    assert outputs(result) == ["outputs/kept.txt"]
    assert result.record.status == "limit-exceeded"
    assert warned(result, "its path has more than 2000 bytes")


def test_hard_links_are_mere_files(tmp_path):
    """H11: several names of one file are several files."""
    run = outcome(tmp_path / "run")
    (run.output / "a").write_text("x")
    os.link(run.output / "a", run.output / "b")
    assert outputs(stage(tmp_path, run)) == ["outputs/a", "outputs/b"]


def test_a_whiteout_is_a_deleted_file(tmp_path):
    """What an overlay writes for a deleted file is told as that."""
    run = outcome(tmp_path / "run")
    os.mknod(run.upper / "gone.txt", stat.S_IFCHR, 0)  # the kernel lets everybody make this one
    result = stage(tmp_path, run)
    assert warned(result, "deleted from the repository by the notebook: outputs/repository/gone.txt")


def test_what_a_copy_lacks_was_deleted(tmp_path):
    """Where the repository was copied, files and folders that are gone are told of; in an overlay they are merely unchanged."""
    for name, told in (("copy", True), ("upper", False)):
        run = outcome(tmp_path / name / "run")
        for path in (
            "gone/file",
            "kept/file",
            "kept/gone",
            "__pycache__/x",
            "kept/x.pyc",
            "turned/x",
            "other",
        ):
            (run.repository / path).parent.mkdir(exist_ok=True)
            (run.repository / path).write_text("x")
        written = run.upper.rename(run.upper.parent / name)
        for path in ("kept/file", "other/was-a-file"):
            (written / path).parent.mkdir()
            (written / path).write_text("x")
        (written / "turned").write_text("x")
        (written / "lightcurve.ipynb").write_bytes((run.repository / "lightcurve.ipynb").read_bytes())
        result = stage(tmp_path / name, replace(run, upper=written))
        listed = "outputs/repository/gone, outputs/repository/kept/gone"
        assert warned(result, f"deleted from the repository by the notebook: {listed}") is told
        assert told or not warned(result, "deleted")
