"""`reprolake diff` and `verify`: what changed, and whether an image follows from its lock to the last byte."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import msgspec
import pytest

from reprolake_builder.documents.base import decode, pretty
from reprolake_builder.documents.lock import EnvironmentLock, ScriptLock

SAMPLES = Path(__file__).parent.parent.parent / "sample-repos"


@pytest.fixture(scope="module")
def store(small_store, tmp_path_factory):
    """A copy of the small store, to be worked in."""
    return shutil.copytree(small_store, tmp_path_factory.mktemp("verify") / "store", symlinks=True)


def _changed(lock: Path, to: Path) -> tuple[str, str]:
    """Write the lock with another version and hash of its first wheel; return the wheel's name and former version."""
    pinned = decode(lock.read_bytes(), EnvironmentLock)
    first, *rest = pinned.wheels
    other = msgspec.structs.replace(first, version="99.0", sha256="f" * 64)
    to.write_bytes(pretty(msgspec.structs.replace(pinned, wheels=(other, *rest))))
    return first.name, first.version


def test_a_lock_differs_from_itself_in_nothing(reprolake, small_lock):
    """Two equal locks have no difference, and the exit code of --exit-code is 0."""
    done = reprolake("diff", small_lock, small_lock, "--exit-code")
    assert (done.returncode, done.stdout) == (0, "no difference\n"), done.stderr


def test_a_changed_package_is_named_with_both_versions(reprolake, small_lock, tmp_path):
    """The one package that differs is the one line, with the version before and after."""
    name, version = _changed(small_lock, tmp_path / "b.lock")
    done = reprolake("diff", small_lock, tmp_path / "b.lock", "--exit-code")
    assert done.returncode == 1
    assert re.fullmatch(rf"python +~ {name}( \(asked for\))?: {version} -> 99\.0\n", done.stdout)


def test_the_same_version_from_another_file_is_a_difference(reprolake, small_lock, tmp_path):
    """A package that was uploaded anew under its old version differs by its file and hash."""
    pinned = decode(small_lock.read_bytes(), EnvironmentLock)
    first, *rest = pinned.wheels
    other = msgspec.structs.replace(first, sha256="f" * 64)
    (tmp_path / "b.lock").write_bytes(pretty(msgspec.structs.replace(pinned, wheels=(other, *rest))))
    done = reprolake("diff", small_lock, tmp_path / "b.lock", "--json")
    (change,) = json.loads(done.stdout)["changes"]
    assert first.sha256[:12] in change["before"]
    assert "f" * 12 in change["after"]


def test_another_outcome_of_a_script_is_a_difference(reprolake, small_lock, tmp_path):
    """Two locks of the same packages whose postBuild left other files, or that set other variables, are not the same."""
    pinned = decode(small_lock.read_bytes(), EnvironmentLock)
    for name, digit, value in (("a", "a", "1"), ("b", "b", "2")):
        script = ScriptLock(script="postBuild", files={"repo/x": ""}, sha256=digit * 64, policy="all")
        spec = msgspec.structs.replace(pinned.environment, variables={"X": value})
        other = msgspec.structs.replace(pinned, post_build=script, environment=spec)
        (tmp_path / f"{name}.lock").write_bytes(pretty(other))
    done = reprolake("diff", tmp_path / "a.lock", tmp_path / "b.lock")
    told = "postBuild that left 1 paths {}, with the network all"
    assert f"~ postBuild: {told.format('a' * 12)} -> {told.format('b' * 12)}" in done.stdout
    assert "~ variable X: 1 -> 2" in done.stdout


@pytest.mark.engine("bubblewrap")
def test_files_of_two_images_are_compared(reprolake, tmp_path):
    """With --files every path that differs between two images is listed, and none that does not."""
    shutil.copytree(SAMPLES / "no-parameters", tmp_path / "repo")
    (tmp_path / "repo" / "data.txt").write_text("one\n")
    before = reprolake("build", tmp_path / "repo")
    (tmp_path / "repo" / "data.txt").write_text("three\n")
    (tmp_path / "repo" / "new.txt").write_text("new\n")
    after = reprolake("build", tmp_path / "repo")
    assert before.returncode == after.returncode == 0, before.stderr + after.stderr
    done = reprolake("diff", before.stdout.strip(), after.stdout.strip(), "--files", "--json")
    files = {item["path"]: item["what"] for item in json.loads(done.stdout)["files"]}
    assert files.pop("/repo/data.txt") == "bytes 4 -> 6"
    assert files.pop("/repo/new.txt") == "is new"
    assert list(files) == ["/opt/reprolake/reprolake.lock"]


@pytest.mark.engine("bubblewrap")
@pytest.mark.parametrize("kind", ["lock", "id", "layout", "archive"])
def test_an_image_is_what_its_lock_gives(reprolake, small_lock, store, tmp_path, kind):
    """A lock, an id, a layout and an archive of one image all verify: it is built again to the same bytes."""
    settings = {"REPROLAKE_STORE": str(store)}
    written = tmp_path / ("image.tar" if kind == "archive" else "image")
    scheme = {"layout": "oci:", "archive": "docker-archive:"}.get(kind)
    output = ("-o", f"{scheme}{written}") if scheme else ()
    built = reprolake("build", small_lock, *output, **settings)
    assert built.returncode == 0, built.stderr
    what = {"lock": small_lock, "id": built.stdout.strip()[:20]}.get(kind, written)
    done = reprolake("verify", what, "--source-dir", SAMPLES / "no-parameters", "--json", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["image"] == verdict["rebuilt"] == built.stdout.strip()


@pytest.mark.engine("bubblewrap")
def test_a_file_that_does_not_follow_from_the_lock_is_found(reprolake, small_lock, small_store, tmp_path):
    """Somebody changed one file of a package in the store before the image was made: verify exits 3 and names it."""
    store = tmp_path / "store"
    shutil.copytree(small_store, store, symlinks=True)
    image = next((store / "documents" / "images-by-id").iterdir())
    victim = _bend(store, json.loads(image.read_bytes()))
    for kind in ("images", "images-by-id", "layers"):
        shutil.rmtree(store / "documents" / kind)
    settings = {"REPROLAKE_STORE": str(store)}
    built = reprolake("build", small_lock, **settings)
    assert built.returncode == 0, built.stderr
    done = reprolake("verify", built.stdout.strip(), **settings)
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"/{victim}: built again: bytes" in done.stdout
    assert built.stdout.strip() in done.stdout


@pytest.mark.engine("bubblewrap")
def test_a_source_that_is_not_the_pinned_one_is_found(reprolake, small_lock, small_store, tmp_path):
    """Somebody changed a file of the source in the store: verify does not build from that and call it the same."""
    store = tmp_path / "store"
    shutil.copytree(small_store, store, symlinks=True)
    for notebook in store.glob("trees/*/*/root/repo/*.ipynb"):
        notebook.write_text("{}")
    done = reprolake("verify", small_lock, REPROLAKE_STORE=str(store))
    assert done.returncode == 11, done.stdout + done.stderr
    assert "the files of the source in the store are not the pinned ones" in done.stderr


def _bend(store: Path, image: dict) -> str:
    """Make the tree of a package anew under its old key with one file changed, and return that file's path in the image."""
    from reprolake_builder.removal import remove_tree
    from reprolake_builder.store import Store

    opened = Store(store)
    for layer in image["layers"]:
        for key in layer["trees"]:
            tree = opened.tree(key)
            found = [entry for entry in tree.entries if entry.path.endswith(b"/traitlets/__init__.py")]
            if not found:
                continue
            shutil.copytree(tree.root, store.parent / "copy", symlinks=True)
            path = found[0].path.decode()
            (store.parent / "copy" / path).write_text("changed = True\n")
            remove_tree(tree.root.parent)
            opened.make_tree(
                key, lambda root: shutil.copytree(store.parent / "copy", root, dirs_exist_ok=True) and None
            )
            opened.close()
            return path
    raise AssertionError("the image has no traitlets")


def test_files_need_images(reprolake, small_lock):
    """--files with locks says what it takes instead."""
    done = reprolake("diff", small_lock, small_lock, "--files")
    assert done.returncode == 2
    assert "reprolake build" in done.stderr


def test_a_layout_without_a_lock_is_refused(reprolake, tmp_path):
    """An image that carries no lock cannot be verified, and that is said."""
    blobs = tmp_path / "image" / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    empty = b'{"config": {"digest": "sha256:%s", "size": 2}, "layers": []}' % (b"0" * 64)
    digest = hashlib.sha256(empty).hexdigest()
    (blobs / digest).write_bytes(empty)
    index = {"manifests": [{"digest": f"sha256:{digest}", "size": len(empty)}]}
    (tmp_path / "image" / "index.json").write_text(json.dumps(index))
    (tmp_path / "image" / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    done = reprolake("verify", tmp_path / "image")
    assert done.returncode == 2
    assert "carries no lock" in done.stderr
