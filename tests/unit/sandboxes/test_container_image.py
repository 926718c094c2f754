"""The image that a container runs from."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

from reprolake_builder.container_engine import Layer
from reprolake_builder.sandboxes import init_program
from reprolake_builder.sandboxes.container_image import image_of
from reprolake_builder.sandboxes.interface import Bind, CopyOnWrite, HostRoot, ImageRoot, SandboxSpec

OWN = Layer("sha256:" + "1" * 64, 3, lambda write: write(b"own"))
SPEC = SandboxSpec(
    root=ImageRoot((Path("/store/one"),), (OWN,)),
    argv=("x",),
    env={},
    copy_on_write=CopyOnWrite(Path("/store/repo"), Path("/scratch"), "/repo"),
    home="/home/jovyan",
)


def top(spec):
    """The members of the highest layer, whose digest is its own."""
    layer = image_of(spec).layers[-1]
    content = io.BytesIO()
    layer.write(content.write)
    data = content.getvalue()
    assert (layer.diff_id, layer.size) == ("sha256:" + hashlib.sha256(data).hexdigest(), len(data))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive}


def test_the_configuration_is_ours(tmp_path):
    """It names layers and a label and nothing that an engine would do by itself, and its digest is the image's id."""
    load = image_of(SPEC)
    config = json.loads(load.image.config)
    assert config["config"] == {"Labels": {"reprolake.sandbox": "1"}}
    assert config["rootfs"]["diff_ids"] == [OWN.diff_id, load.layers[-1].diff_id]
    assert load.image.id == "sha256:" + hashlib.sha256(load.image.config.encode()).hexdigest()


def test_every_mount_has_its_place(tmp_path):
    """Folders and files stand above whatever the image has there, with all folders above them."""
    (tmp_path / "in").mkdir()
    (tmp_path / "file").touch()
    spec = replace(SPEC, binds=(Bind(tmp_path / "in", "/deep/er/in"), Bind(tmp_path / "file", "/data/file")))
    members = top(spec)
    assert all(
        members[name].isdir()
        for name in ("deep", "deep/er", "deep/er/in", "data", "repo", "tmp", "home/jovyan")
    )
    assert all(
        members[name].isfile() for name in ("data/file", "etc/passwd", "etc/hosts", init_program.REPORT[1:])
    )
    assert (members["tmp"].mode, members["home/jovyan"].mode) == (0o1777, 0o700)
    assert members[init_program.PATH[1:]].mode == 0o755
    assert all(member.uid == member.gid == 0 for member in members.values())


def test_a_root_of_host_paths_is_an_empty_image(tmp_path):
    """Nothing of the host is in it, only places for what will be bound."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "program").write_text("secret")
    spec = replace(SPEC, root=HostRoot((tmp_path / "lib", tmp_path / "program")), copy_on_write=None)
    assert len(image_of(spec).layers) == 1
    members = top(spec)
    assert members[str(tmp_path / "lib")[1:]].isdir()
    assert members[str(tmp_path / "program")[1:]].size == 0


def test_it_is_the_same_for_the_same_places(tmp_path):
    """What is bound does not change it, so one that was loaded serves all runs of an image."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, other = (image_of(replace(SPEC, binds=(Bind(tmp_path / name, "/data"),))) for name in ("a", "b"))
    assert one.ids == other.ids
    assert one.ids != image_of(SPEC).ids
