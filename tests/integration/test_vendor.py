"""`reprolake vendor`: a folder with everything that a lock names, from which any host builds without a network."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from conda_sets import with_channels
from git_repositories import Repository
from lfs_store import LfsStore
from source_trees import source_tree

from reprolake_builder import inventory
from reprolake_builder.detect import detect
from reprolake_builder.git_tree import TreeHasher
from reprolake_builder.lock import LockOptions, lock
from reprolake_builder.store import Store
from reprolake_builder.vendor import vendor
from reprolake_builder.vendored import open_vendored, take_vendored

SAMPLE = Path(__file__).parent.parent.parent / "sample-repos" / "no-parameters"
pytestmark = [
    pytest.mark.engine("bubblewrap"),
    pytest.mark.skipif(os.geteuid() != 0, reason="unshare -n is root's"),
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Repository:
    """A repository with a submodule, a large file in Git LFS, a requirement built from source and one that is a commit."""
    top = tmp_path_factory.mktemp("origin")
    inner, library = Repository(top / "inner"), Repository(top / "library")
    inner.commit(data__txt="inner\n")
    library.commit(
        setup__py="from setuptools import setup\nsetup(name='a-library', version='1.0', py_modules=['a_library'])\n",
        a_library__py="ONE = 1\n",
    )
    made = Repository(top / "repo")
    made.commit(first__txt="the commit before, which does not come along\n")
    made.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", inner.url, "inner")
    kept = made.folder / ".git" / "lfs" / "objects"
    pointer = LfsStore().add(b"large\n" * 1000)
    digest = hashlib.sha256(b"large\n" * 1000).hexdigest()
    (kept / digest[:2] / digest[2:4]).mkdir(parents=True)
    (kept / digest[:2] / digest[2:4] / digest).write_bytes(b"large\n" * 1000)
    made.commit(
        __gitattributes="*.bin filter=lfs diff=lfs merge=lfs -text\n",
        large__bin=pointer,
        runtime__txt="python-3.11\n",
        requirements__txt=f"docopt==0.6.2\na-library @ git+{library.url}@{library.git('rev-parse', 'HEAD')}\n",
    )
    return made


@pytest.fixture(scope="module")
def bundle(reprolake, repository, tmp_path_factory) -> tuple[Path, str]:
    """That repository vendored, with the id of its image; the repository itself is gone afterwards."""
    folder = tmp_path_factory.mktemp("bundle") / "vendored"
    lock = folder.with_name("a.lock")
    for arguments in (
        ("lock", repository.url, "--as-of", "2026-01-01", "-o", lock),
        ("vendor", lock, folder),
    ):
        done = reprolake(*arguments)
        assert done.returncode == 0, done.stderr
    built = reprolake("build", lock)
    assert built.returncode == 0, built.stderr
    shutil.rmtree(repository.folder.parent)
    return folder, built.stdout.strip()


def _without_network(*arguments: str | Path, store: Path) -> subprocess.CompletedProcess[str]:
    """Call the command with a new store in a network namespace that has not even a loopback."""
    program = Path(__file__).parent.parent.parent / ".venv" / "bin" / "reprolake"
    return subprocess.run(
        [
            "unshare",
            "-n",
            str(program if program.exists() else shutil.which("reprolake")),
            *map(str, arguments),
        ],
        env={**os.environ, "REPROLAKE_STORE": str(store)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_build_from_the_folder_needs_no_network(bundle, tmp_path):
    """Submodule, Git LFS, an sdist and a git requirement: all is there, and the image is the same, built once more by verify, too."""
    folder, image = bundle
    done = _without_network("build", folder, store=tmp_path / "store")
    assert (done.returncode, done.stdout.strip()) == (0, image), done.stderr
    verified = _without_network("verify", folder, store=tmp_path / "store")
    assert (verified.returncode, image in verified.stdout) == (0, True), verified.stdout + verified.stderr


def test_other_tools_can_look_at_what_is_there(bundle):
    """`sha256sum -c` agrees, and archives have the names that people know."""
    folder, _ = bundle
    done = subprocess.run(
        ["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"")
    assert (folder / "python" / "docopt-0.6.2.tar.gz").is_file()
    assert any(path.name.startswith("libc6_") for path in (folder / "debian").iterdir())


def test_vendoring_again_changes_nothing(reprolake, small_lock, tmp_path):
    """A second call finds everything there; times of files stay."""
    first = reprolake("vendor", small_lock, tmp_path / "v", "--json")
    assert first.returncode == 0, first.stderr
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "v" / "python").iterdir()}
    second = reprolake("vendor", small_lock, tmp_path / "v", "--json")
    assert json.loads(first.stdout) == json.loads(second.stdout)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "v" / "python").iterdir()}


def test_a_local_folder_comes_along(reprolake, small_lock, tmp_path):
    """The files of a folder that no other host has are in the vendored one, too."""
    assert reprolake("vendor", small_lock, tmp_path / "v").returncode == 0
    built = reprolake("build", small_lock)
    done = _without_network("build", tmp_path / "v", store=tmp_path / "store")
    assert (done.returncode, done.stdout) == (0, built.stdout), done.stderr


def _spoil(folder: Path, pattern: str) -> Path:
    victim = next(iter(sorted(folder.glob(pattern))))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    return victim


@pytest.mark.parametrize("pattern", ["python/docopt-*", "debian/libc6_*", "git/*.pack", "lfs/*"])
def test_a_file_that_was_changed_is_not_taken(bundle, tmp_path, pattern):
    """One bit in any archive or pack: the build ends with 11 and names the file."""
    folder = shutil.copytree(bundle[0], tmp_path / "v", copy_function=os.link)
    victim = next(iter(sorted(folder.glob(pattern))))
    shutil.copy(victim, tmp_path / "copy")
    victim.unlink()
    shutil.copy(tmp_path / "copy", victim)
    assert _spoil(folder, pattern) == victim
    done = _without_network("build", folder, store=tmp_path / "store")
    assert done.returncode == 11
    assert victim.name in done.stderr


def test_other_files_for_the_source_are_refused(reprolake, small_lock, tmp_path):
    """A source.tar with other files than the lock names is not built."""
    assert reprolake("vendor", small_lock, tmp_path / "v").returncode == 0
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "evil.py").write_text("print()\n")
    subprocess.run(["tar", "-cf", tmp_path / "v" / "source.tar", "-C", tmp_path, "repo"], check=True)
    done = _without_network("build", tmp_path / "v", store=tmp_path / "store")
    assert done.returncode == 11
    assert "pinned is" in done.stderr


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../secret", "python/\x1b[2J"])
def test_a_list_that_leads_out_is_refused(reprolake, small_lock, tmp_path, path):
    """The list of hashes may name no file outside of the folder."""
    assert reprolake("vendor", small_lock, tmp_path / "v").returncode == 0
    with (tmp_path / "v" / "SHA256SUMS").open("a") as stream:
        stream.write(f"{'0' * 64}  {path}\n")
    done = reprolake("build", tmp_path / "v")
    assert done.returncode == 11
    assert "SHA256SUMS:" in done.stderr
    assert "\x1b" not in done.stderr


def test_a_folder_with_other_things_is_left_alone(reprolake, small_lock, tmp_path):
    """What lies in a folder already is neither mixed nor removed."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("important")
    done = reprolake("vendor", small_lock, tmp_path / "mine")
    assert done.returncode == 11
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_what_was_damaged_is_brought_anew(reprolake, small_lock, tmp_path):
    """Vendoring again, as the error says, mends a file that was changed; so does it a folder that was left half done."""
    folder = tmp_path / "v"
    assert reprolake("vendor", small_lock, folder).returncode == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    _spoil(folder, "debian/libc6_*")
    (folder / "SHA256SUMS").unlink()
    (folder / "reprolake.lock").unlink()
    assert reprolake("vendor", small_lock, folder).returncode == 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_vendoring_does_not_write_through_links(reprolake, small_lock, tmp_path):
    """A folder from a stranger in which `python` leads elsewhere is refused, and nothing is written there."""
    (tmp_path / "v").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "v" / "VENDORED.md").write_text("x")
    (tmp_path / "v" / "python").symlink_to(tmp_path / "outside")
    done = reprolake("vendor", small_lock, tmp_path / "v")
    assert done.returncode == 11
    assert "v/python is a symbolic link" in done.stderr
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_build_does_not_read_through_links(bundle, tmp_path):
    """Neither a folder nor a file of a vendored folder may be a link, whatever its content is."""
    folder = shutil.copytree(bundle[0], tmp_path / "v", copy_function=os.link)
    (folder / "python").rename(tmp_path / "outside")
    (folder / "python").symlink_to(tmp_path / "outside")
    done = _without_network("build", folder, store=tmp_path / "store")
    assert done.returncode == 11
    assert "cannot be read: Not a directory" in done.stderr


@pytest.mark.parametrize("pattern", ["python/docopt-*", "lfs/*"])
def test_a_file_larger_than_the_lock_says_is_not_read(bundle, tmp_path, pattern):
    """A file without end fills no disk: the lock knows its size."""
    folder = shutil.copytree(bundle[0], tmp_path / "v", copy_function=os.link)
    victim = next(iter(folder.glob(pattern)))
    victim.unlink()
    with victim.open("wb") as stream:
        stream.truncate(1 << 40)
    done = _without_network("build", folder, store=tmp_path / "store")
    assert done.returncode == 11
    assert f"{victim.name} is larger than the lock says" in done.stderr


def test_conda_packages_come_along(session, tmp_path):
    """Every conda archive that a lock names is in the folder, by channel and platform, and is taken from there."""
    tools = with_channels(session.tools)
    text = "channels: [main]\ndependencies: [python=3.11, timely=1.0]\n"
    tree = source_tree(tmp_path / "r", {"environment.yml": text})
    made = lock(
        tree, detect(tree), LockOptions(now=datetime(2026, 5, 4, tzinfo=UTC), as_of="2024-01-01"), tools
    )
    files = TreeHasher()
    files.file(b"environment.yml", len(text), [text.encode()], executable=False)
    source = msgspec.structs.replace(made.source, tree=files.tree_hash)
    bare = msgspec.structs.replace(made, wheels=(), source=source)
    first, second = Store(tmp_path / "first"), Store(tmp_path / "second")
    for deb in inventory.fetched(bare):  # all but conda's are there already
        if session.tools.store.has_archive(deb):
            first.add_archive([session.tools.store.archive(deb).read_bytes()], deb, deb)
    conda = {package.sha256: package for package in made.conda.packages}
    for sha256 in conda:
        first.archive(sha256).unlink(missing_ok=True)
    vendor(bare, tree, tmp_path / "v", dataclasses.replace(tools, store=first))
    brought = open_vendored(tmp_path / "v")
    take_vendored(brought, bare, dataclasses.replace(tools, store=second))
    assert {sha256 for sha256 in conda if second.has_sound_archive(sha256)} == conda.keys()
    some = next(iter(conda.values()))
    assert brought.files[some.sha256] == f"conda/{some.channel}/{some.subdir}/{some.filename}"
