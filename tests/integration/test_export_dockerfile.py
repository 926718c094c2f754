"""`reprolake export --format dockerfile`: docker, without BuildKit, makes of it what the lock names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from apt_base import apt_base
from git_repositories import Repository

from reprolake_builder.documents.base import decode, pretty
from reprolake_builder.documents.lock import EnvironmentLock

pytestmark = [
    pytest.mark.engine("docker"),
    pytest.mark.skipif(shutil.which("debootstrap") is None, reason="debootstrap is not installed"),
]
_TAG = "reprolake-test/dockerfile:1"
_START = "start o'clock $(touch here)"
_ODD = """it's "$HOME" \\ ${PATH} `id` \\"""
_FILES = {
    "runtime.txt": "python-3.11\n",
    "pyproject.toml": '[project]\nname = "mine"\nversion = "1.0"\ndependencies = ["docopt==0.6.2", "attrs"]\n'
    '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    '[tool.hatch.build.targets.wheel]\ninclude = ["mine.py"]\n',
    "mine.py": "ONE = 1\n",
    "apt.txt": "tree\n",
    "postBuild": "#!/bin/sh\nset -e\nid -u > made\n",
    _START: 'export STARTED=yes\nexec "$@"\n',
}


@pytest.fixture(scope="module")
def lock(reprolake, tmp_path_factory) -> tuple[EnvironmentLock, Path]:
    """A lock with a Debian package of the repository's, wheels, a source distribution, the repository's package and scripts, and its folder."""
    folder = tmp_path_factory.mktemp("dockerfile")
    repository = Repository(folder / "repo")
    for name, text in _FILES.items():
        (repository.folder / name).write_text(text)
    repository.git("add", ".")
    repository.git("commit", "-q", "-m", "all")
    done = reprolake("lock", repository.folder, "--as-of", "2026-01-01", "-o", folder / "a.lock")
    assert done.returncode == 0, done.stderr
    plain = decode((folder / "a.lock").read_bytes(), EnvironmentLock)
    spec = msgspec.structs.replace(plain.environment, start=_START, variables={"ODD": _ODD})
    odd = msgspec.structs.replace(plain, environment=spec)
    (folder / "a.lock").write_bytes(pretty(odd))
    done = reprolake("export", folder / "a.lock", "--format", "dockerfile", "-o", folder / "Dockerfile")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(repository.folder / ".git")  # its index is never the same, and docker would copy it anew
    return odd, folder


@pytest.fixture(scope="module")
def built(lock, session) -> str:
    """The image that docker makes of it, with this host's mirror for the dated archive. Docker keeps the steps of earlier runs."""
    pinned, folder = lock
    archives = session.tools.site.archives
    given = {
        "BASE": apt_base(pinned.debian.suite, session.tools.site),
        "DEBIAN_ARCHIVE": archives["debian"][0],
        "DEBIAN_SECURITY_ARCHIVE": archives["debian-security"][0],
    }
    arguments = [part for name, value in given.items() for part in ("--build-arg", f"{name}={value}")]
    build = ["docker", "build", "--network", "host", "--tag", _TAG, "--file", folder / "Dockerfile"]
    done = subprocess.run(
        [*map(str, build), *arguments, str(folder / "repo")],
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return _TAG


def _in_container(image: str, *argv: str) -> str:
    run = ["docker", "run", "--rm", "--network", "none", image, *argv]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_docker_installs_what_the_lock_names(lock, built):
    """Python's packages are the lock's and no others, and each of the lock's Debian packages has its version."""
    pinned, _ = lock
    listed = json.loads(_in_container(built, "pip", "list", "--format=json"))
    wheels = (*pinned.wheels, *pinned.built, pinned.project)
    assert {item["name"].lower().replace("_", "-").replace(".", "-"): item["version"] for item in listed} == {
        wheel.name: wheel.version for wheel in wheels
    }
    told = _in_container(built, "dpkg-query", "-W", "-f", "${Package} ${Version}\\n")
    installed = dict(line.split() for line in told.splitlines())
    debs = (*pinned.debian.base, *pinned.debian.extra)
    assert "tree" in installed
    assert {deb.name: installed.get(deb.name) for deb in debs} == {deb.name: deb.version for deb in debs}


def test_the_image_behaves_as_the_locks_own(built):
    """User, folder, variables, postBuild and start are those of the image that Reprolake builds, whatever characters they have."""
    told = _in_container(
        built,
        "sh",
        "-c",
        'id -u; id -g; pwd; cat made; echo "$STARTED"; python -c "import mine, docopt, attrs"; ls',
    ).splitlines()
    assert told[:5] == ["1000", "100", "/repo", "1000", "yes"]
    assert "here" not in told
    assert _in_container(built, "printenv", "ODD") == f"{_ODD}\n"


def test_the_image_says_what_it_is_of(lock, built):
    """Its labels are those of the lock."""
    pinned, _ = lock
    told = subprocess.run(
        ["docker", "image", "inspect", built], capture_output=True, text=True, check=True
    ).stdout
    labels = json.loads(told)[0]["Config"]["Labels"]
    assert labels["reprolake.source.tree"] == pinned.source.tree
    assert labels["org.opencontainers.image.base.name"] == "debian:bookworm"


def test_what_it_lacks_ends_with_the_way_out(reprolake, lock, tmp_path: Path):
    """A lock that has no Dockerfile is told why, and of a format that it has."""
    pinned, _ = lock
    other = msgspec.structs.replace(pinned, wheels=())
    (tmp_path / "b.lock").write_bytes(pretty(other))
    done = reprolake("export", tmp_path / "b.lock", "--format", "dockerfile")
    assert done.returncode == 13
    assert "has no pip" in done.stderr
    assert "--format requirements" in done.stderr
