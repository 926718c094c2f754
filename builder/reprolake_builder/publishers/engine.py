"""A container engine on this host: the image is loaded into it, and only the layers go there that it lacks."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from reprolake_builder.compare import compare_diff_ids
from reprolake_builder.container_engine import EngineClient, Layer, Load, told
from reprolake_builder.documents.base import Digest, Document, Sha256
from reprolake_builder.errors import PublishError
from reprolake_builder.image import Image
from reprolake_builder.process import printable
from reprolake_builder.progress import Progress
from reprolake_builder.publishers.interface import Destination, Publication
from reprolake_builder.rootfs import write_layer
from reprolake_builder.store import Store


class _Loaded(Document, frozen=True, kw_only=True):
    """The diff_ids of an image, lowest first, that an engine once confirmed; its key follows from our manifest."""

    layers: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class ContainerEngine:
    """Loads into the engine of the client `program`: `docker:` or `podman:`, with a name of its own or the image's.

    `registry` is what the engine puts before a name; for `whole_chains` see EngineClient.
    """

    program: str
    package: str
    registry: str
    whole_chains: bool

    def check(self, to: Destination) -> None:
        """Raise PublishError when the engine is not there or does not answer."""
        self._client(to).images()

    def publish(self, image: Image, to: Destination, store: Store, progress: Progress) -> Publication:
        """Load the image and return its name once the engine confirms id and layers."""
        started, client = time.monotonic(), self._client(to)
        layers = (
            Layer(layer.diff_id, layer.size, functools.partial(write_layer, image, layer, store))
            for layer in image.layers
        )
        load = Load(image, tuple(layers), self.registry + to.name)

        def sent_before(name: str) -> Sequence[Digest] | None:
            known = store.get("loaded", _key(name), _Loaded)
            return known.layers if known is not None else None

        lacking = client.lacking(load, sent_before)
        sent = client.load(load, lacking, progress)
        self._confirm(image, load, to)
        store.put("loaded", _key(load.ids[1]), _Loaded(layers=image.diff_ids))
        size = sum(layer.size for layer in (lacking if sent == len(lacking) else load.layers))
        progress.note(
            f"{self.program} was sent {sent} of {len(image.layers)} layers"
            f" ({size / 1e6:.1f} MB) in {time.monotonic() - started:.1f} s"
        )
        return Publication(reference=f"{self.program}:{to.name}", image=image.id)

    def _client(self, to: Destination) -> EngineClient:
        later = "a file for later is -o docker-archive:FILE"
        return EngineClient(
            self.program, self.package, self.whole_chains, to.environment, PublishError, later
        )

    def _confirm(self, image: Image, load: Load, to: Destination) -> None:
        """Raise PublishError unless the engine has our image under our name."""
        answer = self._client(to).ask(
            "image", "inspect", "--format", "{{.Id}} {{json .RootFS.Layers}}", load.name
        )
        if answer.returncode:
            raise PublishError(f"{self.program} took the image but does not have {to.name}: {told(answer)}")
        found, _, stack = answer.stdout.decode().strip().partition(" ")
        difference = compare_diff_ids(image, json.loads(stack) or [])
        digest = "sha256:" + found.removeprefix("sha256:")
        if difference is None and digest in load.ids:
            return
        raise PublishError(
            f"{self.program} has {to.name} as {printable(digest)}, and the image is {image.id}"
            + (f": {difference}" if difference else ""),
            hint=f"does another program name an image {to.name}? Choose another name with --name",
        )


def _key(image: str) -> Sha256:
    """Return a key of the store for what an engine calls an image."""
    return hashlib.sha256(image.encode()).hexdigest()
