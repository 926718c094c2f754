"""Images leave the store in forms that other tools take, with the id that we promise."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import tarfile

import pytest
from published import NAME, publish_to
from small_image import base, small_image, top

from reprolake_builder.compare import compare_root
from reprolake_builder.errors import PublishError
from reprolake_builder.progress import SILENT
from reprolake_builder.publish import parse_destination, publish
from reprolake_builder.rootfs import flatten, layer_entries
from reprolake_builder.store import Store
from reprolake_builder.trees import merge


@pytest.mark.engine("umoci")
def test_umoci_unpacks_what_the_image_is_made_of(built_image, session, layout, tmp_path):
    """Unpacked by umoci, the root file system has every path, mode, owner, link, date and content of the image."""
    root = os.geteuid() == 0
    command = [
        "umoci",
        "unpack",
        *([] if root else ["--rootless"]),
        "--image",
        f"{layout}:1",
        tmp_path / "bundle",
    ]
    subprocess.run(command, check=True, capture_output=True)
    items = flatten([layer_entries(built_image, layer, session.tools.store) for layer in built_image.layers])
    assert compare_root(built_image, items, os.fsencode(tmp_path / "bundle/rootfs"), owners=root) is None


def blobs(folder):
    return {path.name: path.read_bytes() for path in (folder / "blobs/sha256").iterdir()}


@pytest.fixture(scope="module")
def layout(built_image, session, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "image"
    publish_to(f"oci:{folder}", built_image, session)
    return folder


def test_writing_twice_gives_the_same_bytes(built_image, session, layout, tmp_path):
    """Two exports of one image are equal byte for byte."""
    publish_to(f"oci:{tmp_path}/again", built_image, session)
    assert blobs(layout) == blobs(tmp_path / "again")
    assert (layout / "index.json").read_bytes() == (tmp_path / "again/index.json").read_bytes()


def test_a_layout_keeps_its_other_images(built_image, session, tmp_path):
    """A second name in the same layout stands beside the first; the same name replaces it."""
    for name in (NAME, NAME, "reprolake-test/archive:2"):
        publish_to(f"oci:{tmp_path}/o", built_image, session, name)
    index = json.loads((tmp_path / "o/index.json").read_bytes())
    tags = [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in index["manifests"]]
    assert tags == ["1", "2"]


def test_a_folder_with_other_things_is_left_alone(built_image, session, tmp_path):
    """An output never mixes with files that are not an OCI layout."""
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(PublishError, match="other things"):
        publish_to(f"oci:{tmp_path}", built_image, session)


@pytest.mark.parametrize("text", ["oci:", "tar:x", "nothing", ":x", "dir:", "docker"])
def test_an_unknown_output_lists_the_known_ones(text):
    """A misspelt output is refused before any work, with what would be right."""
    with pytest.raises(PublishError) as caught:
        parse_destination(text, NAME, {})
    assert "docker-archive:FILE" in caught.value.hint


@pytest.mark.engine("skopeo")
def test_skopeo_reads_the_layout(built_image, layout):
    """Skopeo accepts the layout and sees our image id, user and working folder."""
    done = subprocess.run(
        ["skopeo", "inspect", "--config", f"oci:{layout}:1"], capture_output=True, check=True, text=True
    )
    assert json.loads(done.stdout) == json.loads(built_image.config)


@pytest.mark.engine("skopeo")
def test_skopeo_decompresses_every_layer(built_image, layout, tmp_path):
    """Decompressed by skopeo, each layer has the digest that the image id stands on."""
    subprocess.run(
        ["skopeo", "copy", "--quiet", "--dest-decompress", f"oci:{layout}:1", f"dir:{tmp_path}/plain"],
        check=True,
        capture_output=True,
    )
    manifest = json.loads((tmp_path / "plain/manifest.json").read_bytes())
    assert [layer["digest"] for layer in manifest["layers"]] == [
        layer.diff_id for layer in built_image.layers
    ]


@pytest.fixture(scope="module")
def archive(built_image, session, tmp_path_factory):
    archive = tmp_path_factory.mktemp("archive") / "image.tar"
    publish_to(f"docker-archive:{archive}", built_image, session)
    return archive


@pytest.mark.engine("skopeo")
@pytest.mark.parametrize("reader", ["docker-archive", "oci-archive"])
def test_skopeo_reads_the_archive_either_way(built_image, archive, reader):
    """As Docker's archive and as an OCI layout in a tar file, the image has our configuration."""
    done = subprocess.run(
        ["skopeo", "inspect", "--config", f"{reader}:{archive}"], capture_output=True, check=True, text=True
    )
    assert json.loads(done.stdout) == json.loads(built_image.config)


@pytest.mark.engine("podman")
@pytest.mark.parametrize("form", ["oci", "docker-archive"])
def test_podman_reads_what_the_image_is_made_of(tmp_path, form):
    """From the layout and from the archive, podman ends with our id and every path, mode, owner, link and content."""
    store = Store(tmp_path / "store")
    image = small_image(store, base, top)
    publish(image, parse_destination(f"{form}:{tmp_path}/image", NAME, {}), store, SILENT)
    source = f"oci:{tmp_path}/image:1" if form == "oci" else f"docker-archive:{tmp_path}/image"
    podman = functools.partial(subprocess.run, capture_output=True, text=True, check=True)
    assert podman(["podman", "pull", "--quiet", source]).stdout.strip() == image.id.removeprefix("sha256:")
    try:
        if os.geteuid() == 0:
            root = podman(["podman", "image", "mount", image.id]).stdout.strip()
            items = flatten([layer_entries(image, layer, store) for layer in image.layers])
            assert compare_root(image, items, os.fsencode(root), owners=True) is None
            podman(["podman", "image", "unmount", image.id])
    finally:
        podman(["podman", "image", "rm", "--force", image.id])
        store.close()


@pytest.fixture(scope="module")
def loaded(archive):
    done = subprocess.run(["docker", "load", "-i", str(archive)], capture_output=True, text=True, check=True)
    yield done.stdout
    subprocess.run(["docker", "image", "rm", "-f", NAME], capture_output=True, check=True)


def in_docker(*command):
    return subprocess.run(
        ["docker", "run", "--rm", "--network", "none", NAME, *command],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.engine("docker")
def test_docker_loads_the_image_under_our_id(built_image, loaded):
    """After docker load the image has the id that build printed."""
    assert NAME in loaded
    shown = subprocess.run(
        ["docker", "inspect", "-f", "{{.Id}}", NAME], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == built_image.id


@pytest.mark.engine("docker")
def test_docker_runs_the_image_as_the_notebook_user(loaded):
    """Plain docker run starts in the repository, as user 1000:100, and executes its arguments."""
    del loaded
    done = in_docker(
        "sh",
        "-c",
        "id -u; id -g; pwd; ls; python -c 'import ipykernel, sys; print(sys.prefix)'; touch x && echo ok",
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["1000", "100", "/repo", *in_docker("ls").stdout.split(), "/opt/env", "ok"]
    assert "sum.ipynb" in done.stdout


@pytest.mark.engine("docker")
def test_docker_passes_the_exit_code_on(loaded):
    """The entry point becomes the command, so its exit code is the container's."""
    del loaded
    assert in_docker("python", "-c", "raise SystemExit(7)").returncode == 7


def test_the_repository_is_the_last_layer_with_its_lock(built_image, session):
    """The top layer holds the repository's files, without .git, and the lock that made the image."""
    trees = [session.tools.store.tree(key) for key in built_image.layers[-1].trees]
    paths = {item.entry.path for item in merge((tree.root, tree.entries) for tree in trees)[0]}
    assert b"opt/reprolake/reprolake.lock" in paths
    assert any(path.endswith(b".ipynb") for path in paths)
    assert not any(b".git" in path.split(b"/") for path in paths)


def test_the_docker_archive_is_one_file_for_both_readers(built_image, session, tmp_path):
    """The archive is an OCI layout and carries Docker's older manifest over the same blobs."""
    publish_to(f"docker-archive:{tmp_path}/image.tar", built_image, session)
    with tarfile.open(tmp_path / "image.tar") as archive:
        names = archive.getnames()
        older = json.load(archive.extractfile("manifest.json"))
    assert {"oci-layout", "index.json"} <= set(names)
    assert older[0]["RepoTags"] == [NAME]
    assert set(older[0]["Layers"]) <= set(names)
