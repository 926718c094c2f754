"""Annotations of an image → Origin: where its repository comes from."""

from __future__ import annotations

from collections.abc import Mapping

from reprolake_runner.documents.run import Origin


def origin_of(annotations: Mapping[str, str]) -> Origin:
    """Return what an image says of its source. Source: OCI image specification 1.1, annotations.md; `reprolake.*` are ours."""

    def told(name: str) -> str:
        return annotations.get(name, "")

    return Origin(
        repository=told("org.opencontainers.image.source"),
        commit=told("org.opencontainers.image.revision"),
        is_dirty=told("reprolake.source.state") == "dirty",
        tree=told("reprolake.source.tree"),
        record=told("reprolake.record.doi") or told("reprolake.record.id"),
        proof=told("reprolake.record.state"),
    )
