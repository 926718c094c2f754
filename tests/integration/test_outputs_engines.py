"""`docker:` and `podman:` load an image into the engine of this host, and send only what it lacks."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from published import noted, publish_to
from small_image import base, small_image, top

from reprolake.pipeline import Request, obtain_image, obtain_lock
from reprolake_builder import oci
from reprolake_builder.container_engine import chain_ids
from reprolake_builder.errors import PublishError
from reprolake_builder.progress import SILENT
from reprolake_builder.publish import parse_destination, publish
from reprolake_builder.store import Store

SAMPLE = Path(__file__).parent.parent.parent / "sample-repos/no-parameters"
NAME = "reprolake-test/engine:1"
# What a process may open and start: this host need not be allowed to raise it.
LIMITS = {"docker": [], "podman": ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]}
ENGINES = [pytest.param(name, marks=pytest.mark.engine(name)) for name in ("docker", "podman")]


@pytest.fixture(scope="module")
def changed_image(session, tmp_path_factory):
    """The image of the same environment and a repository with one more file."""
    copy = tmp_path_factory.mktemp("changed") / "repository"
    shutil.copytree(SAMPLE, copy)
    (copy / "notes.txt").write_text(os.urandom(8).hex())
    image = obtain_image(obtain_lock(Request(link=str(copy)), session), session)
    yield image
    for program in filter(shutil.which, LIMITS):
        remove(program, image.id.removeprefix("sha256:"))


@pytest.fixture(params=ENGINES)
def engine(request):
    """An engine by name, without our image before and after."""
    remove(request.param)
    yield request.param
    remove(request.param)


def remove(program, name=NAME):
    subprocess.run([program, "image", "rm", "--force", name], capture_output=True, check=False)


def asked(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_engine_has_and_runs_the_image(engine, built_image, session):
    """After loading, the engine has our id under our name, and runs it as the notebook's user."""
    publication, notes = noted(f"{engine}:{NAME}", built_image, session)
    assert publication.reference == f"{engine}:{NAME}"
    shown = asked(engine, "image", "inspect", "--format", "{{.Id}}", NAME)
    assert shown.removeprefix("sha256:") == built_image.id.removeprefix("sha256:")
    assert any(f"of {len(built_image.layers)} layers (" in note and note.endswith(" s") for note in notes)
    command = [engine, "run", "--rm", "--network", "none", *LIMITS[engine], NAME]
    assert asked(*command, "sh", "-c", "id -u; pwd; touch x && echo ok").split() == ["1000", "/repo", "ok"]


def test_only_what_is_lacking_is_sent(engine, built_image, changed_image, session):
    """Of an image that differs in its repository alone, one layer is sent; of one that is there, none."""
    count = len(built_image.layers)
    publish_to(f"{engine}:{NAME}", built_image, session)
    _, notes = noted(f"{engine}:{NAME}", changed_image, session)
    assert notes[0].startswith(f"{engine} was sent 1 of {count} layers")
    _, notes = noted(f"{engine}:", built_image, session, NAME)
    assert notes[0].startswith(f"{engine} was sent 0 of {count} layers (0.0 MB)")
    shown = asked(engine, "image", "inspect", "--format", "{{.Id}}", NAME)
    assert shown.removeprefix("sha256:") == built_image.id.removeprefix("sha256:")


@pytest.mark.engine("docker")
def test_a_daemon_that_does_not_answer_is_told(built_image, session):
    """Where no daemon listens, Docker's own words are passed on before anything is built."""
    with pytest.raises(PublishError, match="docker does not answer") as caught:
        noted("docker:", built_image, session, NAME, DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert "docker-archive:FILE" in caught.value.hint
    assert caught.value.exit_code == 15


def test_an_engine_that_is_not_installed_is_told(built_image, session):
    """Without the client program the package that has it is named."""
    with pytest.raises(PublishError, match="podman is not installed here") as caught:
        noted("podman:", built_image, session, NAME, PATH="/nonexistent")
    assert "Debian package podman" in caught.value.hint


@pytest.mark.parametrize("name", ["Lab/x:1", "lab/x", "lab//x:1", "-rm:1", "lab/x:1;id", "../x:1"])
def test_a_name_that_no_engine_takes_is_refused(name):
    """Names are checked before any program sees them."""
    with pytest.raises(PublishError, match="is no image name"):
        parse_destination(f"docker:{name}", NAME, {})


def test_chain_ids_follow_the_specification():
    """A chain id is the layer's own digest at the bottom, above it the digest of both, and never depends on what follows."""
    one, two, three = ("sha256:" + letter * 64 for letter in "abc")
    chain = chain_ids([one, two, three])
    assert chain[0] == one
    assert chain[1] == "sha256:" + hashlib.sha256(f"{one} {two}".encode()).hexdigest()
    assert chain_ids([one, two]) == chain[:2]
    assert chain_ids([one, three])[1] != chain[1]


FAKE = """#!{python}
import json, os, sys, tarfile
state = json.load(open({state!r}))
word = sys.argv[1:3]
if word == ["image", "ls"]:
    print("\\n".join(state["images"]))
elif word == ["image", "inspect"] and sys.argv[-1] in state["images"]:
    print(*(json.dumps(state["images"][name]) for name in sys.argv[5:]), sep="\\n")
elif word == ["image", "inspect"]:
    print(state["answer"]["id"], json.dumps(state["answer"]["layers"]))
elif word[0] == "info":
    print(json.dumps([["driver-type", state["driver"]]]))
elif word[0] == "load":
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        names = [member.name for member in archive]
    with open({state!r} + ".loads", "a") as log:
        print(len([name for name in names if name.startswith("blobs/")]) - 2, file=log)
    missing = [layer for layer in state["needs"] if "blobs/sha256/" + layer[7:] not in names]
    if missing:
        sys.exit("layer does not exist: \\x1b[31m" + missing[0])
"""


class FakeEngine:
    """A `docker` that has, wants and answers what a test says."""

    def __init__(self, folder, image):
        self.folder, self.image = folder, image
        self.diff_ids = list(image.diff_ids)
        self.state = {
            "driver": "",
            "images": {},
            "needs": [],
            "answer": {"id": image.id, "layers": self.diff_ids},
        }
        (folder / "docker").write_text(FAKE.format(python=sys.executable, state=str(folder / "state")))
        (folder / "docker").chmod(0o755)

    def load(self, store):
        (self.folder / "state").write_text(json.dumps(self.state))
        to = parse_destination("docker:lab/x:1", "", {"PATH": str(self.folder)})
        return publish(self.image, to, store, SILENT)

    @property
    def manifest(self):
        layers = [oci.descriptor(oci.PLAIN_LAYER, layer.diff_id, layer.size) for layer in self.image.layers]
        return oci.digest_of(oci.manifest(self.image, layers))

    @property
    def loads(self):
        return [int(line) for line in (self.folder / "state.loads").read_text().split()]


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def fake(tmp_path, store):
    (tmp_path / "bin").mkdir()
    return FakeEngine(tmp_path / "bin", small_image(store, base, top))


def test_layers_on_another_stack_are_sent_again(fake, store):
    """Docker reuses a layer on the same layers only: the top one that it has elsewhere is sent, the base it has is not."""
    fake.state["images"] = {"a": fake.diff_ids[:1], "b": fake.diff_ids[1:]}
    fake.state["needs"] = fake.diff_ids[1:]
    fake.load(store)
    assert fake.loads == [1]


def test_containerd_is_sent_all_but_what_we_sent_before(fake, store):
    """Docker over containerd has other images' layers in another form; our own, under our manifest, need not be sent again."""
    fake.state |= {"driver": "io.containerd.snapshotter.v1", "images": {"sha256:1": fake.diff_ids}}
    fake.load(store)
    assert fake.loads == [2]
    fake.state["images"] = {fake.manifest: fake.diff_ids}
    fake.load(store)
    assert fake.loads == [2, 0]


def test_containerd_may_answer_with_the_manifest(fake, store):
    """Docker over containerd names an image by its manifest, which holds our id."""
    fake.state["answer"]["id"] = fake.manifest
    assert fake.load(store).image == fake.image.id


def test_layers_that_vanish_meanwhile_are_sent_after_all(fake, store):
    """When a load fails for what was left out, everything is sent once."""
    fake.state |= {"images": {"a": fake.diff_ids}, "needs": fake.diff_ids}
    fake.load(store)
    assert fake.loads == [0, 2]


def test_an_engine_that_refuses_is_quoted(fake, store):
    """What the engine says is passed on without control characters and colours, and a full load is not repeated."""
    fake.state["needs"] = ["sha256:" + "0" * 64]
    with pytest.raises(PublishError, match="docker did not take the image: layer does not exist: sha256:0"):
        fake.load(store)
    assert fake.loads == [2]


def test_another_id_is_an_error_that_names_the_layer(fake, store):
    """An engine that ends with another image has failed, whatever its exit code, and the first other layer is named."""
    other = "sha256:" + "1" * 64
    fake.state["answer"] = {"id": other, "layers": [fake.diff_ids[0], other]}
    with pytest.raises(
        PublishError, match=rf"has lab/x:1 as {other}.*: layer 2 of 2 \(top\): its content is {other}"
    ):
        fake.load(store)


def test_another_configuration_over_the_same_layers_is_an_error(fake, store):
    """The same layers under another id are not our image."""
    fake.state["answer"]["id"] = "sha256:" + "1" * 64
    with pytest.raises(PublishError, match="and the image is sha256:"):
        fake.load(store)


def test_a_changed_store_never_reaches_the_engine_whole(fake, store):
    """When a stored file no longer has its bytes, the load is broken off and the layer is named."""
    changed = next(path for path in store.root.rglob("etc/passwd") if "jovyan" in path.read_text())
    changed.write_text(changed.read_text().replace("jovyan", "mallet"))
    with pytest.raises(PublishError, match="layer 'top' no longer has the bytes it was built with"):
        fake.load(store)
    assert not (fake.folder / "state.loads").exists()
