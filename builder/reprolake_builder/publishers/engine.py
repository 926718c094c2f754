"""A container engine on this host: the image is loaded into it, and only the layers go there that it lacks."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reprolake_builder.compare import compare_diff_ids
from reprolake_builder.documents.base import Digest, Document, Sha256
from reprolake_builder.errors import PublishError
from reprolake_builder.image import Image, ImageLayer
from reprolake_builder.process import Completed, feed, printable, run
from reprolake_builder.progress import Progress
from reprolake_builder.publishers import parts
from reprolake_builder.publishers.interface import Destination, Publication
from reprolake_builder.rootfs import write_layer
from reprolake_builder.store import Store
from reprolake_builder.trees import Entry, tar_header

_PATIENCE = 120  # seconds for an answer that needs no work
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class _Load:
    """What is to be loaded, as the engine calls it: `name` with its registry, `manifest` over uncompressed layers."""

    image: Image
    name: str
    manifest: bytes


class _Loaded(Document, frozen=True, kw_only=True):
    """The diff_ids of an image, lowest first, that an engine once confirmed; its key follows from our manifest."""

    layers: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class ContainerEngine:
    """Loads into the engine of the client `program`: `docker:` or `podman:`, with a name of its own or the image's.

    `registry` is what the engine puts before a name. `whole_chains` says that a layer can only be left out where it lies on
    the same layers as in the image; otherwise one can be left out that the engine has in any image.
    """

    program: str
    package: str
    registry: str
    whole_chains: bool

    def check(self, to: Destination) -> None:
        """Raise PublishError when the engine is not there or does not answer."""
        self._images(to)

    def publish(self, image: Image, to: Destination, store: Store, progress: Progress) -> Publication:
        """Load the image and return its name once the engine confirms id and layers."""
        started = time.monotonic()
        layers = [parts.descriptor(parts.PLAIN_LAYER, layer.diff_id, layer.size) for layer in image.layers]
        load = _Load(image, self.registry + to.name, parts.manifest(image, layers))
        lacking = self._lacking(image, to, store)
        done = self._load(load, lacking, to, store, progress)
        if done.returncode and len(lacking) < len(image.layers):
            lacking = image.layers  # what was there a moment ago was removed
            done = self._load(load, lacking, to, store, progress)
        if done.returncode:
            raise PublishError(
                f"{self.program} did not take the image: {_told(done)}",
                hint=f"does {self.program} have room on its disk? A file for later is -o docker-archive:FILE",
            )
        self._confirm(load, to)
        store.put("loaded", _key(parts.digest_of(load.manifest)), _Loaded(layers=image.diff_ids))
        progress.note(
            f"{self.program} was sent {len(lacking)} of {len(image.layers)} layers"
            f" ({sum(layer.size for layer in lacking) / 1e6:.1f} MB) in {time.monotonic() - started:.1f} s"
        )
        return Publication(reference=f"{self.program}:{to.name}", image=image.id)

    def _lacking(self, image: Image, to: Destination, store: Store) -> Sequence[ImageLayer]:
        """Return the layers that the engine has to be sent."""
        ids = self._images(to)
        if not ids:
            return image.layers
        keys: Callable[[Sequence[Digest]], Sequence[Digest]] = tuple
        if self._in_containerd(to):
            # It wants the very blobs, and has those of images from elsewhere in compressed form only: what we sent counts.
            sent = (store.get("loaded", _key(name), _Loaded) for name in ids)
            stacks = [record.layers for record in sent if record is not None]
        else:
            keys = _chain_ids if self.whole_chains else tuple
            # An image that is removed between the two questions is missing from the answer, and that is all.
            shown = self._ask(to, "image", "inspect", "--format", "{{json .RootFS.Layers}}", *ids)
            stacks = [json.loads(line) or () for line in shown.stdout.splitlines()]
        there = {key for stack in stacks for key in keys(stack)}
        return [
            layer for layer, key in zip(image.layers, keys(image.diff_ids), strict=True) if key not in there
        ]

    def _images(self, to: Destination) -> list[str]:
        """Return the ids of all images that the engine has."""
        images = self._ask(to, "image", "ls", "--all", "--quiet", "--no-trunc")
        if images.returncode:
            raise PublishError(
                f"{self.program} does not answer: {_told(images)}",
                hint=f"`{self.program} info` must work for you; a file for later is -o docker-archive:FILE",
            )
        return sorted(set(images.stdout.decode().split()))

    def _in_containerd(self, to: Destination) -> bool:
        """Whether Docker keeps its images in containerd, as it can from version 23 on."""
        return (
            self.whole_chains
            and b"io.containerd.snapshotter"
            in self._ask(to, "info", "--format", "{{json .DriverStatus}}").stdout
        )

    def _load(
        self, load: _Load, layers: Sequence[ImageLayer], to: Destination, store: Store, progress: Progress
    ) -> Completed:
        with progress.step(f"Loading into {self.program}", sum(layer.size for layer in layers)) as step:

            def write(out: Callable[[bytes], object]) -> None:
                for layer in _write_archive(load, layers, store, out):
                    step.advance(layer.size)

            return feed([self.program, "load", "--quiet"], write, env=to.environment)

    def _confirm(self, load: _Load, to: Destination) -> None:
        """Raise PublishError unless the engine has our image under our name."""
        answer = self._ask(to, "image", "inspect", "--format", "{{.Id}} {{json .RootFS.Layers}}", load.name)
        if answer.returncode:
            raise PublishError(f"{self.program} took the image but does not have {to.name}: {_told(answer)}")
        found, _, stack = answer.stdout.decode().strip().partition(" ")
        difference = compare_diff_ids(load.image, json.loads(stack) or [])
        digest = "sha256:" + found.removeprefix("sha256:")
        # An engine that keeps its images in containerd names them by the manifest, which holds our id.
        if difference is None and digest in {load.image.id, parts.digest_of(load.manifest)}:
            return
        raise PublishError(
            f"{self.program} has {to.name} as {printable(digest)}, and the image is {load.image.id}"
            + (f": {difference}" if difference else ""),
            hint=f"does another program name an image {to.name}? Choose another name with --name",
        )

    def _ask(self, to: Destination, *arguments: str) -> Completed:
        try:
            return run([self.program, *arguments], env=to.environment, timeout=_PATIENCE)
        except FileNotFoundError as error:
            raise PublishError(
                f"{self.program} is not installed here",
                hint=f"install the Debian package {self.package}, or write a file for later: -o docker-archive:FILE",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise PublishError(
                f"{self.program} did not answer within {_PATIENCE} seconds", transient=True
            ) from error


def _chain_ids(diff_ids: Sequence[Digest]) -> list[Digest]:
    """Return the chain id of each layer. Source: OCI image specification 1.1, config.md, "Layer ChainID"."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(parts.digest_of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain


def _write_archive(
    load: _Load, layers: Sequence[ImageLayer], store: Store, write: Callable[[bytes], object]
) -> Iterable[ImageLayer]:
    """Write an archive that is an OCI layout and Docker's older form, of these layers only; yield each when it is written."""
    image = load.image
    small = {
        "oci-layout": parts.LAYOUT,
        "index.json": parts.index([parts.index_entry(image, load.manifest, load.name)]),
        "manifest.json": parts.older_manifest(image, load.name, [layer.diff_id for layer in image.layers]),
        parts.blob_path(image.id): image.config.encode(),
        parts.blob_path(parts.digest_of(load.manifest)): load.manifest,
    }
    for path, data in small.items():
        write(tar_header(Entry(path.encode(), "f", 0o644, size=len(data))))
        write(data + bytes(-len(data) % _BLOCK))
    for layer in layers:
        write(tar_header(Entry(parts.blob_path(layer.diff_id).encode(), "f", 0o644, size=layer.size)))
        write_layer(image, layer, store, write)
        yield layer
    write(bytes(2 * _BLOCK))


def _key(image: str) -> Sha256:
    """Return a key of the store for what an engine calls an image."""
    return hashlib.sha256(image.encode()).hexdigest()


def _told(done: Completed) -> str:
    return " ".join(done.tail.split()) or f"exit code {done.returncode}"
