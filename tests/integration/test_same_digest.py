"""Same lock, same digest: on another system, as another user, in another time zone, under another Python."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conda_channel import MAIN, channels, served

from reprolake.options import load_options
from reprolake.pipeline import Request, obtain_lock, open_session, write_lock
from reprolake_builder.documents.environment import Asked
from reprolake_builder.engines.debian import fetch_debian, make_debian_trees
from reprolake_builder.progress import SILENT
from reprolake_builder.solvers.debian import solve_debian

ROOT = Path(__file__).parent.parent.parent
CRAB, CONDA = "crab-lightcurve", "conda-packages"
OTHER_USER = 23456
SABOTAGE = "import reprolake_builder.trees as t; t.MTIME += 1; from reprolake.__main__ import main; main()"


def contents(layout: Path) -> dict[str, str]:
    """Return each file of an OCI layout with the hash of its bytes."""
    return {
        str(path.relative_to(layout)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in layout.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def channel(session):
    """What tells the command where the tests' channel is: on the loopback."""
    with served(channels(session.tools)) as address:
        yield {"REPROLAKE_CONDA_CHANNELS": f"conda-forge={address}/{MAIN}"}


@pytest.fixture(scope="module")
def lock(request, session, channel, tmp_path_factory):
    """A lock of a sample repository, and a copy of its files that is no git work tree."""
    folder = tmp_path_factory.mktemp("source") / "sample"
    shutil.copytree(ROOT / "sample-repos" / request.param, folder)
    path = folder.parent / "sample.lock"
    options = load_options({**os.environ, **channel}, str(session.options.store))
    with open_session(options, SILENT, session.now) as opened:
        write_lock(obtain_lock(Request(link=str(folder), as_of="2024-06-01"), opened).lock, path)
    return path, folder


@pytest.fixture(scope="module")
def here(lock, channel, tmp_path_factory):
    """The image as this host builds it from nothing; and its store."""
    path, _ = lock
    work = tmp_path_factory.mktemp("here")
    env = {**os.environ, **channel, "TZ": "UTC", "LANG": "C", "PYTHONHASHSEED": "0"}
    subprocess.run(
        [
            sys.executable,
            "-m",
            "reprolake",
            "build",
            path,
            "--store",
            work / "store",
            "-o",
            f"oci:{work}/image",
            "--name",
            "a:b",
        ],
        env=env,
        check=True,
        capture_output=True,
        umask=0o022,
    )
    return work


@pytest.fixture(scope="module")
def trixie(session, tmp_path_factory):
    """A Debian 13 root with Python 3.13, bubblewrap and the built wheel of Reprolake in it."""
    tools = session.tools
    debian = solve_debian("3.13", (Asked(text="bubblewrap", origin="this test"),), tools).debian
    fetch_debian(debian, tools)
    root = tmp_path_factory.mktemp("trixie") / "root"
    root.mkdir(mode=0o755)
    for tree in make_debian_trees(debian, tools.store, tools.progress):
        subprocess.run(["cp", "-a", f"{tree.root}/.", str(root)], check=True)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", root.parent],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    wheel = next(root.parent.glob("reprolake-*.whl"))
    subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "uv",
                "pip",
                "install",
                "--quiet",
                "--native-tls",
                "--target",
                root / "opt/reprolake",
            ),
            *("--python-version", "3.13", "--only-binary", ":all:", wheel),
        ],
        check=True,
    )
    return root


@pytest.mark.engine("bubblewrap")
@pytest.mark.parametrize("lock", [CRAB, CONDA], indirect=True)
def test_another_system_builds_the_same_bytes(lock, here, trixie, session, channel, tmp_path):
    """Debian 13 under Python 3.13, with another user, folder, umask, time zone, language, hash seed and CPU count, gives the same layout."""
    path, folder = lock
    for name in ("out", "store"):
        (tmp_path / name).mkdir()
        if os.geteuid() == 0:
            os.chown(tmp_path / name, OTHER_USER, OTHER_USER)
    for parent in (tmp_path, *tmp_path.parents, *trixie.parents, *folder.parents):
        if (
            parent.owner() == Path.home().owner()
            and parent.is_relative_to(Path("/tmp"))
            and parent != Path("/tmp")
        ):
            parent.chmod(0o755)
    path.chmod(0o644)
    as_other = (
        ("setpriv", f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", "--clear-groups")
        if os.geteuid() == 0
        else ()
    )
    bundle = session.options.site.ca_bundle
    variables = {
        **channel,
        "PATH": "/usr/bin",
        "HOME": "/out",
        "TZ": "Pacific/Kiritimati",
        "LANG": "de_DE.UTF-8",
        "PYTHONHASHSEED": "4242",
        "PYTHONPATH": "/opt/reprolake",
        "REPROLAKE_DEBIAN_MIRROR": session.options.site.archives["debian"][0],
        "REPROLAKE_DEBIAN_SECURITY_MIRROR": session.options.site.archives["debian-security"][0],
        "REPROLAKE_INDEX_URL": session.options.site.index_url,
        "REPROLAKE_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt" if bundle else "",
    }
    command = [
        *("taskset", "-c", str(min(os.sched_getaffinity(0)))),
        *as_other,
        *("bwrap", "--ro-bind", trixie, "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"),
        *("--tmpfs", "/mnt", "--ro-bind", folder, "/mnt/elsewhere", "--ro-bind", path, "/mnt/a.lock"),
        *(
            "--tmpfs",
            "/srv",
            "--bind",
            tmp_path / "out",
            "/srv/out",
            "--bind",
            tmp_path / "store",
            "/srv/store",
        ),
        *("--ro-bind", Path("/etc/resolv.conf").resolve(), "/etc/resolv.conf"),
        *("--ro-bind", Path("/etc/hosts").resolve(), "/etc/hosts"),
        *(("--ro-bind", bundle, "/etc/ssl/certs/ca-certificates.crt") if bundle else ()),
        *(
            "--clearenv",
            *(word for item in variables.items() for word in ("--setenv", *item)),
            "--die-with-parent",
        ),
        *("/usr/bin/python3.13", "-m", "reprolake", "build", "/mnt/a.lock", "--source-dir", "/mnt/elsewhere"),
        *("--store", "/srv/store", "-o", "oci:/srv/out/image", "--name", "a:b"),
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, umask=0o077)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out/image") == contents(here / "image")


@pytest.mark.parametrize("lock", [CRAB], indirect=True)
def test_a_seeded_difference_is_noticed(lock, here, tmp_path):
    """The comparison above is able to fail: one changed second in the layers' dates changes digests."""
    path, _ = lock
    shutil.copytree(here / "store", tmp_path / "store", symlinks=True, copy_function=os.link)
    for kind in ("layers", "images", "images-by-id"):
        shutil.rmtree(tmp_path / "store/documents" / kind)
    subprocess.run(
        [
            sys.executable,
            "-c",
            SABOTAGE,
            "build",
            path,
            "--store",
            tmp_path / "store",
            "-o",
            f"oci:{tmp_path}/image",
            "--name",
            "a:b",
        ],
        check=True,
        capture_output=True,
    )
    assert contents(tmp_path / "image") != contents(here / "image")
