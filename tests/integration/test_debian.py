"""Debian's bookworm from the mirror: signed, resolved, unpacked, the same bytes every time, and it runs."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprolake.options import load_options
from reprolake_builder.documents.base import encode
from reprolake_builder.documents.environment import Asked
from reprolake_builder.download import Downloader
from reprolake_builder.engines.debian import fetch_debian, make_debian_trees
from reprolake_builder.errors import BuildError, FetchError, LockError
from reprolake_builder.progress import SILENT
from reprolake_builder.site import Site
from reprolake_builder.solvers.debian import SolvedDebian, solve_debian
from reprolake_builder.solvers.debian_versions import version_key
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools
from reprolake_builder.trees import merge

CACHE = Path(__file__).parents[2] / ".cache" / "tests" / "debian"
EXTRA = (Asked(text="jq", origin="apt.txt:1"), Asked(text="gawk", origin="apt.txt:2"))

BUILD = """
import hashlib, os, sys
from pathlib import Path
from reprolake_builder.documents.base import decode
from reprolake_builder.documents.lock import DebianLock
from reprolake_builder.engines.debian import make_debian_trees
from reprolake_builder.progress import SILENT
from reprolake_builder.store import Store
from reprolake_builder.trees import merge, write_tar

os.umask(int(sys.argv[3], 8))
os.cpu_count = lambda: int(sys.argv[4])
for tree in make_debian_trees(decode(Path(sys.argv[1]).read_bytes(), DebianLock), Store(Path(sys.argv[2])), SILENT):
    digest = hashlib.sha256()
    write_tar(merge([(tree.root, tree.entries)])[0], digest.update)
    print(digest.hexdigest())
"""


@pytest.fixture(scope="session")
def tools():
    """The host's mirror and a store that later runs find filled."""
    site = load_options(os.environ).site
    return Tools(store=Store(CACHE), site=site, downloader=Downloader(site), progress=SILENT)


@pytest.fixture(scope="session")
def solved(tools) -> SolvedDebian:
    """Bookworm with two packages of an apt.txt, all of it fetched."""
    found = solve_debian("3.11", EXTRA, tools)
    fetch_debian(found.debian, tools)
    return found


def fresh_store(folder: Path, tools: Tools) -> Store:
    """Return a store that has the archives of `tools` and nothing else."""
    folder.mkdir(parents=True)
    (folder / "archives").symlink_to(tools.store.root / "archives")
    return Store(folder)


@pytest.fixture(scope="session")
def root(solved, tools, tmp_path_factory) -> Path:
    """The two trees laid over each other, as a folder to run things in."""
    store = fresh_store(tmp_path_factory.mktemp("debian") / "store", tools)
    folder = tmp_path_factory.mktemp("root")
    for tree in make_debian_trees(solved.debian, store, SILENT):
        shutil.copytree(tree.root, folder, symlinks=True, dirs_exist_ok=True)
    return folder


def inside(root: Path, *argv: str) -> str:
    """Return what a command prints inside the root."""
    bwrap = [
        "bwrap",
        "--unshare-all",
        "--uid",
        "1000",
        "--gid",
        "100",
        "--clearenv",
        "--setenv",
        "PATH",
        "/usr/bin:/usr/sbin",
    ]
    bwrap += [
        "--ro-bind",
        str(root),
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--tmpfs",
        "/tmp",
        "--chdir",
        "/tmp",
    ]
    done = subprocess.run([*bwrap, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_lock_holds_a_signed_state(solved):
    """Three releases with their signers, the interpreter of the suite, and no host name anywhere."""
    assert [release.suite for release in solved.debian.releases] == [
        "bookworm",
        "bookworm-updates",
        "bookworm-security",
    ]
    assert all(release.signed_by for release in solved.debian.releases)
    assert solved.interpreter.version.startswith("3.11.")
    assert solved.interpreter.sha256 in {deb.sha256 for deb in solved.debian.base}
    assert {"jq", "gawk"} <= {deb.name for deb in solved.debian.extra}
    assert "://" not in encode(solved).decode()


def test_the_base_does_not_depend_on_the_extra_packages(solved, tools):
    """All images of one state share the base layer; a second look at the same state is answered from the store."""
    alone = solve_debian("3.11", (), tools)
    assert alone.debian.base == solved.debian.base
    assert alone.debian.extra == ()


def test_a_typing_mistake_in_apt_txt_is_answered(tools):
    """The message names the line and the nearest package of the real suite."""
    asked = (Asked(text="grahpviz", origin="apt.txt:3"),)
    with pytest.raises(LockError, match=r"apt\.txt:3: .*did you mean graphviz"):
        solve_debian("3.11", asked, tools)


@pytest.mark.engine("bubblewrap")
def test_python_and_its_libraries_work(root):
    """The interpreter runs from byte code, with certificates, time zones, databases and the library cache in place."""
    program = (
        "import ctypes.util, json, os, pwd, sqlite3, ssl, sys, zoneinfo, distutils.util, lib2to3.pygram\n"
        "print(json.dumps([sys.version.split()[0], ctypes.util.find_library('m'), os.path.exists(json.__cached__),"
        "ssl.create_default_context().cert_store_stats()['x509_ca'] > 100, str(zoneinfo.ZoneInfo('US/Eastern')),"
        "pwd.getpwuid(os.getuid()).pw_name, json.dumps.__code__.co_filename, os.path.expanduser('~')]))"
    )
    found = json.loads(inside(root, "python3.11", "-W", "ignore", "-c", program))
    assert found[0].startswith("3.11.")
    assert found[1:] == [
        "libm.so.6",
        True,
        True,
        "US/Eastern",
        "jovyan",
        "/usr/lib/python3.11/json/__init__.py",
        "/home/jovyan",
    ]


@pytest.mark.engine("bubblewrap")
def test_the_package_database_and_alternatives_are_in_place(root):
    """The tool dpkg knows the packages and finds nothing amiss, and the alternative of higher priority is the one in use."""
    assert inside(root, "dpkg-query", "-W", "-f", "${Status}", "jq") == "install ok installed"
    assert "/usr/bin/jq" in inside(root, "dpkg", "-L", "jq").split()
    assert inside(root, "dpkg", "-S", "/usr/bin/gawk").startswith("gawk:")
    assert inside(root, "dpkg", "--audit") == ""
    assert inside(root, "readlink", "-f", "/usr/bin/awk").strip() == "/usr/bin/gawk"
    assert inside(root, "sh", "-c", "echo '{\"a\": 1}' | jq .a").strip() == "1"


def test_the_library_cache_is_the_one_that_ldconfig_writes(root, tmp_path):
    """Names and paths are those of the real tool, in its order."""
    ldconfig = shutil.which("ldconfig", path="/usr/sbin:/sbin")
    if ldconfig is None or os.geteuid() != 0:
        pytest.skip("only root's ldconfig looks into another root")
    copy = tmp_path / "root"
    shutil.copytree(root, copy, symlinks=True)
    subprocess.run([ldconfig, "-r", str(copy), "-X", "-C", "/real.cache"], check=True, capture_output=True)
    listed = []
    for cache in (copy / "real.cache", copy / "etc/ld.so.cache"):
        shown = subprocess.run(
            [ldconfig, "-p", "-C", str(cache)], check=True, capture_output=True, text=True
        ).stdout
        listed.append([line for line in shown.splitlines() if "=>" in line])
    assert listed[0] == listed[1]
    assert len(listed[0]) > 50


def test_the_trees_are_the_same_bytes_everywhere(solved, tools, tmp_path):
    """Two stores filled under another umask, time zone, language, hash seed and CPU count agree on both trees."""
    (tmp_path / "lock").write_bytes(encode(solved.debian))
    answers = []
    for number, (umask, cpus, environment) in enumerate(
        (
            ("022", "1", {"TZ": "UTC", "LANG": "C", "PYTHONHASHSEED": "1"}),
            (
                "077",
                "5",
                {"TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2"},
            ),
        )
    ):
        store = fresh_store(tmp_path / f"a store {number}" / ("x" * number), tools)
        argv = [sys.executable, "-c", BUILD, str(tmp_path / "lock"), str(store.root), umask, cpus]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answers.append(done.stdout.split())
    assert answers[0] == answers[1]
    assert len(set(answers[0])) == 2


def test_the_base_is_shared_and_the_rest_lies_apart(solved, tools, tmp_path):
    """The base's tree is the same with other extra packages, and no file stands in both trees."""
    store = fresh_store(tmp_path / "store", tools)
    base, system = make_debian_trees(solved.debian, store, SILENT)
    other_base, other = make_debian_trees(msgspec.structs.replace(solved.debian, extra=()), store, SILENT)
    assert other_base.key == base.key
    assert other.key != system.key
    assert merge([(base.root, base.entries), (system.root, system.entries)])[1] == []
    modes = {entry.path: (entry.mode, entry.uid, entry.gid) for entry in (*base.entries, *system.entries)}
    assert modes[b"tmp"] == (0o1777, 0, 0)
    assert modes[b"usr/bin/su"] == (0o4755, 0, 0)
    assert modes[b"etc/shadow"] == (0o640, 0, 42)
    assert modes[b"home/jovyan"] == (0o755, 1000, 100)
    assert not any(path.lstat().st_mode & 0o6000 for path in base.root.rglob("*")), "no set-uid bit on disk"


def test_a_package_that_is_not_there_is_named(solved, tmp_path):
    """Building without the packages is an error, never a smaller image."""
    with pytest.raises(BuildError, match="lacks the Debian packages base-files"):
        make_debian_trees(solved.debian, Store(tmp_path), SILENT)


class Mirror:
    """A copy of a few files of the mirror in a folder, to tamper with."""

    def __init__(self, folder: Path, tools: Tools) -> None:
        self.folder = folder
        self._tools = tools
        archives = {alias: (f"file://{folder}/{alias}",) for alias in ("debian", "debian-security")}
        self.site = Site(archives=archives)
        for alias, suite in (
            ("debian", "bookworm"),
            ("debian", "bookworm-updates"),
            ("debian-security", "bookworm-security"),
        ):
            base = tools.site.archives[alias][0]
            self.put(
                f"{alias}/dists/{suite}/InRelease", tools.downloader.get(f"{base}/dists/{suite}/InRelease")
            )

    def put(self, path: str, data: bytes) -> None:
        """Write a file of the mirror."""
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_bytes(data)

    def solve(self, store: Store) -> SolvedDebian:
        """Resolve against this mirror."""
        return solve_debian("3.11", (), Tools(store, self.site, Downloader(self.site)))


@pytest.fixture
def mirror(tools, tmp_path):
    """A mirror with the three releases and nothing else."""
    return Mirror(tmp_path / "mirror", tools)


def test_a_tampered_release_is_refused(mirror, tmp_path):
    """One digit changed in a signed release, and nothing is resolved."""
    path = mirror.folder / "debian/dists/bookworm/InRelease"
    path.write_bytes(path.read_bytes().replace(b"Version: 12", b"Version: 13"))
    with pytest.raises(LockError, match="is not signed by Debian"):
        mirror.solve(Store(tmp_path / "store"))


def test_a_release_of_another_suite_is_refused(mirror, tmp_path):
    """A mirror cannot hold updates back by serving another suite's genuine release."""
    dists = mirror.folder / "debian/dists"
    shutil.copy(dists / "bookworm/InRelease", dists / "bookworm-updates/InRelease")
    with pytest.raises(LockError, match="is the release of bookworm, not of bookworm-updates"):
        mirror.solve(Store(tmp_path / "store"))


def test_a_changed_list_of_packages_is_refused(mirror, tmp_path):
    """The list counts only with the hash that the release gives for it."""
    for suite in (
        "debian/dists/bookworm",
        "debian/dists/bookworm-updates",
        "debian-security/dists/bookworm-security",
    ):
        mirror.put(f"{suite}/main/binary-amd64/Packages.xz", b"something else")
    with pytest.raises(
        FetchError, match=r"list of packages of bookworm.* could not be fetched.*arrived with SHA-256"
    ):
        mirror.solve(Store(tmp_path / "store"))


def test_a_changed_package_is_refused(mirror, solved, tmp_path):
    """A deb with other bytes than the lock says is not kept, even when its length is right."""
    deb = solved.debian.extra[0]
    mirror.put(f"{deb.archive}/{deb.path}", bytes(deb.size))
    store = Store(tmp_path / "store")
    lock = msgspec.structs.replace(solved.debian, base=(), extra=(deb,))
    with pytest.raises(FetchError, match=f"{deb.name} .*arrived with SHA-256"):
        fetch_debian(lock, Tools(store, mirror.site, Downloader(mirror.site), SILENT))
    assert not store.has_archive(deb.sha256)


def test_a_package_is_taken_from_the_next_place_when_the_first_has_changed(mirror, solved, tools, tmp_path):
    """A bad mirror does not stop the build while another place holds the right bytes."""
    deb = solved.debian.extra[0]
    mirror.put(f"{deb.archive}/{deb.path}", bytes(deb.size))
    mirror.put(f"dated/{deb.path}", tools.store.archive(deb.sha256).read_bytes())
    places = (mirror.site.archives[deb.archive][0], f"file://{mirror.folder}/dated")
    site = Site(archives={deb.archive: places})
    store = Store(tmp_path / "store")
    fetch_debian(
        msgspec.structs.replace(solved.debian, base=(), extra=(deb,)),
        Tools(store, site, Downloader(site), SILENT),
    )
    assert hashlib.sha256(store.archive(deb.sha256).read_bytes()).hexdigest() == deb.sha256


VERSIONS = st.from_regex(r"\A(?:[0-2]:)?[0-9][0-9ab.+~]{0,6}(?:-[0-9ab.+~]{1,4})?\Z")


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed")
@settings(max_examples=150, deadline=None)
@given(VERSIONS, VERSIONS)
def test_versions_compare_as_dpkg_says(one, other):
    """Debian's own tool agrees on which of two versions is the older."""
    relation = (
        "lt"
        if version_key(one) < version_key(other)
        else "gt"
        if version_key(one) > version_key(other)
        else "eq"
    )
    done = subprocess.run(
        ["dpkg", "--compare-versions", one, relation, other], capture_output=True, check=False
    )
    assert done.returncode == 0, f"dpkg does not find {one} {relation} {other}"
