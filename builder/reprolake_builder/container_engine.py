"""The client of a container engine, docker or podman: what it has, and how layers get into it that it lacks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from reprolake_builder import oci
from reprolake_builder.documents.base import Digest
from reprolake_builder.errors import BuilderError
from reprolake_builder.process import Completed, feed, run
from reprolake_builder.progress import Progress
from reprolake_builder.trees import Entry, tar_header

_PATIENCE = 120  # seconds for an answer that needs no work
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of an image: digest and size (bytes) of its tar stream, and what writes that stream, piece by piece."""

    diff_id: Digest
    size: int
    write: Callable[[Callable[[bytes], object]], None]


@dataclass(frozen=True, slots=True)
class Load:
    """An image to be loaded; `name` is what the engine is to call it, with its registry, "" for nothing."""

    image: oci.Described
    layers: tuple[Layer, ...]
    name: str = ""

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """Digests of the layers, lowest first."""
        return tuple(layer.diff_id for layer in self.layers)

    @property
    def manifest(self) -> bytes:
        """The manifest over uncompressed layers."""
        layers = [oci.descriptor(oci.PLAIN_LAYER, layer.diff_id, layer.size) for layer in self.layers]
        return oci.manifest(self.image, layers)

    @property
    def ids(self) -> tuple[Digest, Digest]:
        """What engines call it: most by its configuration, those that keep their images in containerd by its manifest."""
        return self.image.id, oci.digest_of(self.manifest)


@dataclass(frozen=True, slots=True)
class EngineClient:
    """Speaks with the engine of the client `program`, which is part of the Debian `package`.

    `whole_chains` says that a layer can only be left out where it lies on the same layers as in the image; otherwise one can be
    left out that the engine has in any image. `environment` is all that the program is started with. `fails` is what is raised
    when the engine does not do its work, and `instead` a hint at what else could be done.
    """

    program: str
    package: str
    whole_chains: bool
    environment: Mapping[str, str]
    fails: type[BuilderError]
    instead: str = ""

    def ask(self, *arguments: str) -> Completed:
        """Run the client to its end. Raises `fails` when it is not installed or does not answer."""
        try:
            return run([self.program, *arguments], env=self.environment, timeout=_PATIENCE)
        except FileNotFoundError as error:
            raise self.fails(
                f"{self.program} is not installed here",
                hint=", or ".join(filter(None, (f"install the Debian package {self.package}", self.instead))),
            ) from error
        except subprocess.TimeoutExpired as error:
            raise self.fails(
                f"{self.program} did not answer within {_PATIENCE} seconds", transient=True
            ) from error

    def images(self) -> list[str]:
        """Return the ids of all images that the engine has."""
        images = self.ask("image", "ls", "--all", "--quiet", "--no-trunc")
        if images.returncode:
            raise self.fails(
                f"{self.program} does not answer: {told(images)}",
                hint="; ".join(filter(None, (f"`{self.program} info` must work for you", self.instead))),
            )
        return sorted(set(images.stdout.decode().split()))

    def in_containerd(self) -> bool:
        """Whether Docker keeps its images in containerd, as it can from version 23 on."""
        return (
            self.whole_chains
            and b"io.containerd.snapshotter" in self.ask("info", "--format", "{{json .DriverStatus}}").stdout
        )

    def lacking(self, load: Load, sent: Callable[[str], Sequence[Digest] | None]) -> tuple[Layer, ...]:
        """Return the layers that the engine has to be sent.

        `sent` returns the diff_ids of an image that we sent, by the engine's id for it: an engine that keeps its images in
        containerd wants the very blobs, and has those of images from elsewhere in compressed form only.
        """
        ids = self.images()
        if not ids:
            return load.layers
        keys: Callable[[Sequence[Digest]], Sequence[Digest]] = tuple
        if self.in_containerd():
            stacks = [layers for name in ids if (layers := sent(name)) is not None]
        else:
            keys = chain_ids if self.whole_chains else tuple
            # An image that is removed between the two questions is missing from the answer, and that is all.
            shown = self.ask("image", "inspect", "--format", "{{json .RootFS.Layers}}", *ids)
            stacks = [json.loads(line) or () for line in shown.stdout.splitlines()]
        there = {key for stack in stacks for key in keys(stack)}
        pairs = zip(load.layers, keys(load.diff_ids), strict=True)
        return tuple(layer for layer, key in pairs if key not in there)

    def load(self, load: Load, layers: Sequence[Layer], progress: Progress) -> int:
        """Load the image of these of its layers, or of all when that is not enough; return how many of them were sent."""
        done = self._load(load, layers, progress)
        if done.returncode and len(layers) < len(load.layers):
            layers = load.layers  # what was there a moment ago was removed
            done = self._load(load, layers, progress)
        if done.returncode:
            raise self.fails(
                f"{self.program} did not take the image: {told(done)}",
                hint="; ".join(filter(None, (f"does {self.program} have room on its disk?", self.instead))),
            )
        return len(layers)

    def _load(self, load: Load, layers: Sequence[Layer], progress: Progress) -> Completed:
        with progress.step(f"Loading into {self.program}", sum(layer.size for layer in layers)) as step:

            def write(out: Callable[[bytes], object]) -> None:
                for layer in _write_archive(load, layers, out):
                    step.advance(layer.size)

            return feed([self.program, "load", "--quiet"], write, env=self.environment)


def chain_ids(diff_ids: Sequence[Digest]) -> list[Digest]:
    """Return the chain id of each layer. Source: OCI image specification 1.1, config.md, "Layer ChainID"."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(oci.digest_of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain


def told(done: Completed) -> str:
    """Return what the client said last, on one line."""
    return " ".join(done.tail.split()) or f"exit code {done.returncode}"


def _write_archive(load: Load, layers: Sequence[Layer], write: Callable[[bytes], object]) -> Iterator[Layer]:
    """Write an archive that is an OCI layout and Docker's older form, of these layers only; yield each when it is written."""
    image, manifest = load.image, load.manifest
    small = {
        "oci-layout": oci.LAYOUT,
        "index.json": oci.index([oci.index_entry(image, manifest, load.name)]),
        "manifest.json": oci.older_manifest(image, [load.name] if load.name else [], load.diff_ids),
        oci.blob_path(image.id): image.config.encode(),
        oci.blob_path(oci.digest_of(manifest)): manifest,
    }
    for path, data in small.items():
        write(tar_header(Entry(path.encode(), "f", 0o644, size=len(data))))
        write(data + bytes(-len(data) % _BLOCK))
    for layer in layers:
        write(tar_header(Entry(oci.blob_path(layer.diff_id).encode(), "f", 0o644, size=layer.size)))
        layer.write(write)
        yield layer
    write(bytes(2 * _BLOCK))
