"""The direct engine: an image from its lock without a daemon, a container or root."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from reprolake_builder.citations.annotations import citation_annotations
from reprolake_builder.documents.base import Sha256, content_hash, pretty
from reprolake_builder.documents.lock import LAYOUT, EnvironmentLock
from reprolake_builder.documents.source import FilesSource, LocalSource, RecordPin, record_of
from reprolake_builder.image import ENTRY_POINT, LOCK_IN_IMAGE, START, USER, Image, ImageLayer, working_folder
from reprolake_builder.store import Store, Tree
from reprolake_builder.tools import Tools


class DirectEngine:
    """Lays every locked package out by itself and stacks the results."""

    def build(self, lock: EnvironmentLock, repository: Tree, tools: Tools) -> Image:
        """Return the image of the lock; what the store holds already is not made again."""
        carried = portable(lock)
        lock_text = pretty(carried)
        lock_sha256 = hashlib.sha256(lock_text).hexdigest()
        key = content_hash({"image": lock_sha256, "layout": LAYOUT, "repository": repository.key})
        if (known := tools.store.get("images", key, Image)) is not None and _whole(known, tools.store):
            tools.store.get("images-by-id", known.id.removeprefix("sha256:"), Image)  # it is in use, too
            return known
        # Most calls end above, and these bring every solver with them: a fifth of a second.
        from reprolake_builder.engines.conda import link_scripts
        from reprolake_builder.engines.image_environment import image_variables
        from reprolake_builder.engines.layers import conflicts, make_layers
        from reprolake_builder.engines.parts import make_parts

        groups = make_parts(lock, repository, _lock_tree(lock_text, tools.store), tools)
        parts = [part for group in groups for part in group]
        for conflict in (*conflicts(groups), *link_scripts(parts)):
            tools.progress.warn(conflict)
        layers = make_layers(groups, tools.store, tools.progress)
        variables = image_variables(lock, [part.tree for part in parts], tools.store)
        config = _config(carried, layers, variables, lock_sha256)
        image = Image(
            id="sha256:" + hashlib.sha256(config.encode()).hexdigest(),
            config=config,
            layers=layers,
            annotations=image_annotations(carried, lock_sha256),
            lock_sha256=lock_sha256,
        )
        tools.store.put("images", key, image)
        tools.store.put("images-by-id", image.id.removeprefix("sha256:"), image)
        return image


def portable(lock: EnvironmentLock) -> EnvironmentLock:
    """Return the lock without what only this host knows: the folder that a local source was in."""
    if isinstance(lock.source, LocalSource):
        return msgspec.structs.replace(lock, source=msgspec.structs.replace(lock.source, path=""))
    return lock


def image_annotations(lock: EnvironmentLock, lock_sha256: Sha256) -> dict[str, str]:
    """Return the image's annotations. Source: OCI image specification 1.1, annotations.md; `reprolake.*` are ours."""
    source = lock.source
    found = {
        "org.opencontainers.image.created": _date(lock),
        "org.opencontainers.image.base.name": f"debian:{lock.debian.suite}",
        "reprolake.as-of": lock.as_of.isoformat().replace("+00:00", "Z"),
        "reprolake.lock.sha256": lock_sha256,
        "reprolake.layout": str(LAYOUT),
        "reprolake.source.tree": source.tree,
    }
    if not isinstance(source, FilesSource) and source.commit is not None:
        found["org.opencontainers.image.revision"] = source.commit
    if not isinstance(source, LocalSource):
        found["org.opencontainers.image.source"] = source.url
    elif source.dirty:
        found["reprolake.source.state"] = "dirty"
    if (record := record_of(source)) is not None:
        found |= _record_annotations(record)
    if lock.citation is not None:
        found |= citation_annotations(lock.citation)
    if lock.environment.start:
        found[START] = lock.environment.start
    if lock.post_build is not None and lock.post_build.reached:
        hosts = sorted({one.host for one in lock.post_build.reached})
        found["reprolake.closed"] = f"no: {lock.post_build.script} fetched from {', '.join(hosts)}"
    for recipe in lock.recipes:
        found |= {f"reprolake.recipe.{recipe.name}": recipe.sha256, **recipe.labels}
    return dict(sorted(found.items()))


def _record_annotations(record: RecordPin) -> dict[str, str]:
    told = {
        "site": record.site,
        "id": record.id,
        "doi": record.doi,
        "concept-doi": record.concept_doi,
        "version": record.version,
        "title": record.title,
        "state": record.state,
        "tag": record.tag,
    }
    return {f"reprolake.record.{name}": value for name, value in told.items() if value}


def _config(
    lock: EnvironmentLock, layers: Sequence[ImageLayer], variables: Mapping[str, str], lock_sha256: Sha256
) -> str:
    """Return the configuration's JSON text. Source: OCI image specification 1.1, config.md."""
    config: dict[str, Any] = {
        "architecture": lock.platform.split("/")[1],
        "os": lock.platform.split("/")[0],
        "created": _date(lock),
        "config": {
            "User": f"{USER[0]}:{USER[1]}",
            "Env": [f"{name}={value}" for name, value in variables.items()],
            "Entrypoint": [ENTRY_POINT],
            "Cmd": next(
                (list(recipe.command) for recipe in reversed(lock.recipes) if recipe.command), ["bash"]
            ),
            "WorkingDir": working_folder(lock.source.subdir),
            "Labels": image_annotations(lock, lock_sha256),
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [
            {"created": _date(lock), "created_by": f"reprolake: {layer.comment}"} for layer in layers
        ],
    }
    return json.dumps(config, sort_keys=True, separators=(",", ":"))


def _date(lock: EnvironmentLock) -> str:
    return lock.source.date.strftime("%Y-%m-%dT%H:%M:%SZ")


def _lock_tree(text: bytes, store: Store) -> Tree:
    """Return the tree that carries the lock into the image."""
    key = content_hash({"layer": "lock", "layout": LAYOUT, "lock": hashlib.sha256(text).hexdigest()})

    def fill(root: Path) -> None:
        path = root / LOCK_IN_IMAGE.lstrip("/")
        path.parent.mkdir(parents=True)
        path.write_bytes(text)

    return store.make_tree(key, fill)


def _whole(image: Image, store: Store) -> bool:
    return all(store.tree(key) is not None for key in image.trees)
