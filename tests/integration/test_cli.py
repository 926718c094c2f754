"""The command line as a user meets it: results on standard output, the rest on standard error, one code per failure."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent.parent.parent / "sample-repos"

PLAIN = SAMPLES / "no-parameters"


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "exec",
        "shell",
        "plan",
        "build",
        "lock",
        "resolve",
        "inspect",
        "diff",
        "verify",
        "vendor",
        "export",
        "cache",
        "config",
        "doctor",
    ],
)
def test_every_command_has_help_with_an_example(reprolake, command):
    """`--help` of each command shows an example that begins with the command itself."""
    done = reprolake(command, "--help")
    assert done.returncode == 0
    assert f"\n    reprolake {command}" in done.stdout or f"\n  reprolake {command}" in done.stdout


def test_resolve_names_the_tree(reprolake, tmp_path):
    """A folder is named by the hash that git gives its files."""
    (tmp_path / "a.py").write_text("print()\n")
    done = reprolake("resolve", tmp_path, "--json")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    tree = subprocess.run(
        ["git", "write-tree"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert json.loads(done.stdout)["tree"] == tree.strip()


def test_a_link_that_is_nothing_exits_10(reprolake):
    """An unknown link is an error with the next step, not a traceback."""
    done = reprolake("resolve", "/does/not/exist")
    assert (done.returncode, done.stdout) == (10, "")
    assert done.stderr.startswith("error: ")
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_lock_file_decides_everything(reprolake, tmp_path):
    """Options that would change a lock are refused when a lock is given."""
    lock = tmp_path / "a.lock"
    assert reprolake("lock", PLAIN, "-o", lock).returncode == 0
    done = reprolake("build", lock, "--as-of", "2020-01-01")
    assert done.returncode == 2
    assert "--as-of cannot change it" in done.stderr


def test_a_lock_builds_the_image_of_its_source(reprolake, tmp_path):
    """Building the lock and building the folder give the same id."""
    lock = tmp_path / "a.lock"
    assert reprolake("lock", PLAIN, "-o", lock).returncode == 0
    from_lock = reprolake("build", lock)
    from_folder = reprolake("build", PLAIN)
    assert from_lock.returncode == 0, from_lock.stderr
    assert from_lock.stdout.startswith("sha256:")
    assert from_lock.stdout == from_folder.stdout


def test_locked_refuses_to_resolve(reprolake, tmp_path):
    """`--locked` with a source that was never locked exits 13 and says how to lock it."""
    (tmp_path / "requirements.txt").write_text("attrs\n")
    done = reprolake("build", tmp_path, "--locked")
    assert done.returncode == 13
    assert "reprolake lock" in done.stderr


def test_a_file_that_is_no_lock_exits_13(reprolake, tmp_path):
    """A file of another kind given as a lock is named with what is wrong in it."""
    (tmp_path / "x.lock").write_text('{"version": 1, "surprise": true}')
    done = reprolake("build", tmp_path / "x.lock")
    assert done.returncode == 13
    assert "surprise" in done.stderr


def test_an_environment_that_cannot_be_honoured_stops(reprolake, tmp_path):
    """A Dockerfile is never ignored in silence: the build stops, names it and the way on."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    done = reprolake("build", tmp_path)
    assert done.returncode == 12
    assert "Dockerfile" in done.stderr
    assert "--ignore" in done.stderr


def test_inspect_shows_and_checks_an_image(reprolake, tmp_path):
    """An exported layout is sound until a blob is changed; then inspect exits 11 and names it."""
    built = reprolake("build", PLAIN, "-o", f"oci:{tmp_path}/image")
    assert built.returncode == 0, built.stderr
    assert reprolake("inspect", built.stdout.strip()[:19]).returncode == 0
    assert reprolake("inspect", tmp_path / "image").returncode == 0
    blob = max((tmp_path / "image/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    with blob.open("ab") as stream:
        stream.write(b"x")
    done = reprolake("inspect", tmp_path / "image")
    assert done.returncode == 11
    assert blob.name in done.stdout


@pytest.mark.engine("bubblewrap")
def test_doctor_shows_settings_and_their_origin(reprolake, tmp_path):
    """Doctor lists each setting with the place where it was said."""
    done = reprolake("doctor", "--json", REPROLAKE_STORE=str(tmp_path / "store"))
    report = json.loads(done.stdout)
    assert report["settings"]["store"] == {"value": f"{tmp_path}/store", "origin": "REPROLAKE_STORE"}
    assert {"sandbox bubblewrap", "git", "store"} <= {
        check["name"] for check in report["checks"] if check["ok"]
    }


def test_json_output_is_json_alone(reprolake):
    """With --json, standard output is one JSON document; everything for people goes to standard error."""
    done = reprolake("lock", PLAIN, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == 1


def test_config_shows_each_setting_and_its_origin(reprolake, tmp_path):
    """Every setting is printed with where it was said, without logins; a file of the working folder is mentioned, not read."""
    (tmp_path / "reprolake.toml").write_text('index_url = "https://jane:pw@index.example/simple"\n')
    unread = reprolake("config", cwd=tmp_path)
    assert "index.example" not in unread.stdout
    assert "reprolake.toml in this folder is not read" in unread.stderr
    done = reprolake("config", "--config", "reprolake.toml", cwd=tmp_path, REPROLAKE_MAX_PROCESSES="99")
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["index_url"] == "https://***@index.example/simple (reprolake.toml)"
    assert lines["max_processes"] == "99 (REPROLAKE_MAX_PROCESSES)"
    assert done.stderr == ""
