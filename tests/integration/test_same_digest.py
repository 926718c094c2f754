"""Same lock, same digest: on another system, as another user, in another time zone, under another Python."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import git_repositories
import pytest
from conda_channel import MAIN, channels, served
from one_of_each import git_package, one_of_each, recipes

from reprolake.lock_file import read_lock, write_lock
from reprolake.options import load_options
from reprolake.pipeline import Request, obtain_lock, open_session
from reprolake_builder.documents.environment import Asked
from reprolake_builder.engines.debian import fetch_debian, make_debian_trees
from reprolake_builder.errors import BuildError
from reprolake_builder.progress import SILENT
from reprolake_builder.solvers.debian import solve_debian

ROOT = Path(__file__).parent.parent.parent
CRAB, CONDA, EACH = "crab-lightcurve", "conda-packages", "one of each"
OTHER_USER = 23456
MAIN_PROGRAM = "from reprolake.__main__ import main; main()"
LATER_LAYERS = "import reprolake_builder.trees as t; t.MTIME += 1"
# The image and the trees of scripts get keys of this run's own, or what is known of them would be taken.
LATER_FILES = (
    "import os; from reprolake_builder.engines import direct, scripts, script_trees; "
    "scripts.MTIME += 1; direct.LAYOUT = script_trees.LAYOUT = -os.getpid()"
)


def contents(layout: Path) -> dict[str, str]:
    """Return each file of an OCI layout with the hash of its bytes."""
    return {
        str(path.relative_to(layout)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in layout.rglob("*")
        if path.is_file()
    }


def give(folder: Path) -> None:
    """Let the other system's user own a folder, and get to it."""
    if os.geteuid() == 0:
        os.chown(folder, OTHER_USER, OTHER_USER)
    reachable(folder.parent)


def reachable(folder: Path) -> None:
    """Let every user pass through a folder below that of temporary files."""
    for place in (folder, *folder.parents):
        is_ours = place.owner() == Path.home().owner() and place.is_relative_to(Path("/tmp"))
        if is_ours and place != Path("/tmp"):
            place.chmod(0o755)


@pytest.fixture(scope="module")
def channel(session):
    """What tells the command where the tests' channel is: on the loopback."""
    with served(channels(session.tools)) as address:
        yield {"REPROLAKE_CONDA_CHANNELS": f"conda-forge={address}/{MAIN}"}


@pytest.fixture(scope="module")
def forge(tmp_path_factory):
    """The address of a git repository with a package: on the loopback."""
    root = tmp_path_factory.mktemp("forge")
    git_package(root / "rl-git.git")
    with git_repositories.served(root) as address:
        yield f"{address}/rl-git.git"


@pytest.fixture(scope="module")
def lock(request, session, channel, forge, tmp_path_factory):
    """A lock of a sample repository, or of one of each, and a copy of its files that is no git work tree."""
    folder = tmp_path_factory.mktemp("source") / "sample"
    stacked: tuple[str, ...] = ()
    if request.param == EACH:
        one_of_each(folder, forge)
        stacked = recipes(folder.parent / "recipes")
    else:
        shutil.copytree(ROOT / "sample-repos" / request.param, folder)
    path = folder.parent / "sample.lock"
    options = load_options({**os.environ, **channel}, str(session.options.store))
    with open_session(options, SILENT, session.now) as opened:
        asked = Request(link=str(folder), as_of="2024-06-01", recipes=stacked)
        write_lock(obtain_lock(asked, opened).lock, path)
    return path, folder


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A store that is empty before the first build of this host."""
    return tmp_path_factory.mktemp("own") / "store"


@pytest.fixture(scope="module")
def own_store(lock, session, empty_store):
    """Where this host builds: for one of each where it was locked, as its scripts and sources ran there just now."""
    return session.options.store if read_lock(lock[0]).post_build is not None else empty_store


@pytest.fixture(scope="module")
def other_store(tmp_path_factory):
    """A store that was empty before the first build of the other system, which shares nothing with this host's."""
    store = tmp_path_factory.mktemp("other") / "store"
    store.mkdir()
    give(store)
    return store


@pytest.fixture(scope="module")
def here(lock, own_store, channel, tmp_path_factory):
    """The folder with the image as this host builds it."""
    path, _ = lock
    work = tmp_path_factory.mktemp("here")
    env = {**os.environ, **channel, "TZ": "UTC", "LANG": "C", "PYTHONHASHSEED": "0"}
    command = (sys.executable, "-m", "reprolake", "build", path, "--store", own_store)
    done = subprocess.run(
        [*command, "-o", f"oci:{work}/image", "--name", "a:b"],
        env=env,
        check=False,
        capture_output=True,
        text=True,
        umask=0o022,
    )
    assert done.returncode == 0, done.stderr
    return work


@pytest.fixture(scope="module")
def trixie(session, tmp_path_factory):
    """A Debian 13 root with Python 3.13, bubblewrap, git and the built wheel of Reprolake in it."""
    tools = session.tools
    wanted = tuple(Asked(text=name, origin="this test") for name in ("bubblewrap", "git"))
    debian = solve_debian("3.13", wanted, tools).debian
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
@pytest.mark.parametrize("lock", [CRAB, CONDA, EACH], indirect=True)
def test_another_system_builds_the_same_bytes(lock, here, other_store, trixie, session, channel, tmp_path):
    """Debian 13 under Python 3.13, with another user, folder, umask, time zone, language, hash seed and CPU count, gives the same layout."""
    path, folder = lock
    (tmp_path / "out").mkdir()
    give(tmp_path / "out")
    for place in (trixie.parent, folder.parent):
        reachable(place)
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
            other_store,
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


def sabotaged(code: str, path: Path, store: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build a lock on a store after running some code."""
    command = (sys.executable, "-c", f"{code}; {MAIN_PROGRAM}", "build", path, "--store", store)
    return subprocess.run(
        [*command, "-o", f"oci:{out}", "--name", "a:b"], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("lock", [CRAB], indirect=True)
def test_a_seeded_difference_is_noticed(lock, here, own_store, tmp_path):
    """The comparison above is able to fail: one changed second in the layers' dates changes digests."""
    shutil.copytree(own_store, tmp_path / "store", symlinks=True, copy_function=os.link)
    for kind in ("layers", "images", "images-by-id"):
        shutil.rmtree(tmp_path / "store/documents" / kind)
    done = sabotaged(LATER_LAYERS, lock[0], tmp_path / "store", tmp_path / "image")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "image") != contents(here / "image")


@pytest.mark.engine("bubblewrap")
@pytest.mark.parametrize("lock", [EACH], indirect=True)
def test_a_seeded_difference_in_what_a_script_sees_is_noticed(lock, here, own_store, tmp_path):
    """The lock has one of each, and one changed second in the dates that postBuild packs makes it refuse what came out."""
    pinned = read_lock(lock[0])
    assert {wheel.name for wheel in pinned.built} == {"docopt", "rl-git"}
    assert pinned.project is not None
    assert pinned.environment.start
    assert pinned.set_up is not None
    assert {"repo/docs.tar", "repo/imported.txt"} <= pinned.post_build.files.keys()
    assert [recipe.interpreter is not None for recipe in pinned.recipes] == [True, False]
    done = sabotaged(LATER_FILES, lock[0], own_store, tmp_path / "image")
    assert done.returncode == BuildError.exit_code
    assert "postBuild left something else than the lock has: first repo/docs.tar" in done.stderr
