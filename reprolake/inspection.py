"""What `inspect` finds: a lock, an image of the store or of a layout, a staged result."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from reprolake.describe import date, lock_lines
from reprolake.options import UsageError
from reprolake.pipeline import Session, read_lock
from reprolake_builder.documents.base import Document
from reprolake_builder.image import Image
from reprolake_runner.staged import CheckedResult, read_result

_SHORTEST_ID = 6


@dataclass(frozen=True, slots=True)
class Found:
    """A document and its description; `sound` is False when a check failed."""

    document: Any
    lines: tuple[str, ...]
    sound: bool = True


class LayoutImage(Document, frozen=True, kw_only=True):
    """An image of an OCI layout: what its manifest and configuration say."""

    name: str
    manifest: str
    id: str
    size: int
    layers: int
    annotations: dict[str, str]


class Layout(Document, frozen=True, kw_only=True):
    """The images of an OCI layout, and the blobs whose bytes are not those that their name says."""

    images: tuple[LayoutImage, ...]
    damaged: tuple[str, ...]


class CheckedStage(Document, frozen=True, kw_only=True):
    """A staged result: its record, and how it differs from its manifest."""

    record: Any
    expires: str | None
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    unlisted: tuple[str, ...]


def inspect(what: str, session: Session) -> Found:
    """Return what `what` names: a host path, or an image id of the store (`sha256:…`, or its first characters)."""
    path = Path(what)
    if os.path.isdir(path):
        return _layout(path) if os.path.isfile(path / "oci-layout") else _result(read_result(path))
    if os.path.isfile(path):
        if path.suffix == ".tar":
            raise UsageError(
                f"{path} is an archive for `docker load`", hint="give the id that `reprolake build` printed"
            )
        lock = read_lock(path)
        return Found(lock, tuple(lock_lines(lock)))
    return _image(what, session)


def _image(what: str, session: Session) -> Found:
    digits = what.removeprefix("sha256:")
    folder = session.tools.store.root / "documents" / "images-by-id"
    wanted = len(digits) >= _SHORTEST_ID and digits.isalnum()
    names = sorted(path.name for path in folder.glob(f"{digits}*")) if wanted else []
    if len(names) != 1:
        many = f"{len(names)} images of the store begin with {what}" if names else f"{what} is not here"
        raise UsageError(
            many, hint="give a lock, an OCI layout, a staged result, or the id that `reprolake build` printed"
        )
    image = session.tools.store.get("images-by-id", names[0], Image)
    if image is None:
        raise UsageError(
            f"the image {what} was made by another version", hint="build it again: `reprolake build`"
        )
    size = sum(layer.size for layer in image.layers)
    lines = [
        f"image       {image.id}",
        f"size        {size / 1e6:.0f} MB in {len(image.layers)} layers",
        f"lock        {image.lock_sha256}",
    ]
    lines += [f"{'':12}{name} = {value}" for name, value in image.annotations.items()]
    lines += [f"layer       {layer.size / 1e6:8.1f} MB  {layer.comment}" for layer in image.layers]
    return Found(image, tuple(lines))


def _layout(path: Path) -> Found:
    blobs = path / "blobs" / "sha256"
    try:
        index = json.loads((path / "index.json").read_bytes())
        images = tuple(_layout_image(entry, blobs) for entry in index["manifests"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is no sound OCI layout: {error!r}") from error
    damaged = tuple(blob.name for blob in sorted(blobs.iterdir()) if _hash(blob) != blob.name)
    lines = []
    for image in images:
        lines += [
            f"image       {image.id}",
            f"name        {image.name}",
            f"manifest    {image.manifest}",
            f"size        {image.size / 1e6:.0f} MB compressed in {image.layers} layers",
        ]
        lines += [f"{'':12}{name} = {value}" for name, value in image.annotations.items()]
    lines.append(
        "checked     every blob is what its name says" if not damaged else f"DAMAGED     {', '.join(damaged)}"
    )
    return Found(Layout(images=images, damaged=damaged), tuple(lines), sound=not damaged)


def _layout_image(entry: dict[str, Any], blobs: Path) -> LayoutImage:
    manifest = json.loads((blobs / entry["digest"].removeprefix("sha256:")).read_bytes())
    return LayoutImage(
        name=entry.get("annotations", {}).get("org.opencontainers.image.ref.name", ""),
        manifest=entry["digest"],
        id=manifest["config"]["digest"],
        size=sum(layer["size"] for layer in manifest["layers"]),
        layers=len(manifest["layers"]),
        annotations=manifest.get("annotations", {}),
    )


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _result(checked: CheckedResult) -> Found:
    record, manifest = checked.staged.record, checked.staged.manifest
    lines = [
        f"run         {record.id}",
        f"status      {record.status} (exit code {record.exit_code}): {record.message}",
        f"notebook    {record.spec.notebook}",
        f"image       {record.spec.image}",
        f"time        {date(record.started)} to {date(record.ended)}",
        f"expires     {date(manifest.expires) if manifest.expires else 'never'}",
    ]
    lines += [
        f"parameter   {item.name} = {item.value!r} ({item.origin})"
        for item in record.spec.parameters.parameters
    ]
    lines += [f"input       {item.path}  {item.size} bytes" for item in record.spec.inputs]
    lines += [f"file        {file.path}  {file.size} bytes" for file in manifest.files]
    lines += [f"warning     {text}" for text in record.warnings]
    for label, paths in (
        ("MISSING", checked.missing),
        ("CHANGED", checked.changed),
        ("UNLISTED", checked.unlisted),
    ):
        lines += [f"{label:<12}{path}" for path in paths]
    if checked.intact:
        lines.append("checked     every file is what was staged")
    document = CheckedStage(
        record=msgspec.to_builtins(record),
        expires=manifest.expires.isoformat() if manifest.expires else None,
        missing=checked.missing,
        changed=checked.changed,
        unlisted=checked.unlisted,
    )
    return Found(document, tuple(lines), sound=checked.intact)
