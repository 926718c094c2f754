"""What `inspect` finds: a lock, an image of the store or of a layout, a staged result."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec

from reprolake.describe import citation_lines, date, lock_lines
from reprolake.images import find_image, is_written, written_images
from reprolake.lock_file import read_lock
from reprolake.options import UsageError
from reprolake.pipeline import Session
from reprolake_builder import vendored
from reprolake_builder.denied import denied
from reprolake_builder.documents.base import Document
from reprolake_builder.errors import LockError
from reprolake_builder.git_tree import shown
from reprolake_builder.image import CITATION
from reprolake_builder.layouts import WrittenImage
from reprolake_builder.plain_files import open_below, open_plain
from reprolake_builder.process import printable
from reprolake_runner.citing import citation_of
from reprolake_runner.documents.run import CommandSpec, Origin, RunSpec, cell_name
from reprolake_runner.staged import CheckedResult, read_result

_LARGEST_DOCUMENT = 64 << 20  # bytes
_TAKEN = "a lock, an OCI layout, an archive for `docker load`, a staged result"
_BLOBS = "blobs/sha256"


@dataclass(frozen=True, slots=True)
class Found:
    """A document and its description; `sound` is False when a check failed."""

    document: Any
    lines: tuple[str, ...]
    sound: bool = True


class LayoutImage(Document, frozen=True, kw_only=True):
    """An image of an OCI layout or archive: what its manifest and configuration say."""

    name: str
    manifest: str
    id: str
    size: int
    layers: int
    annotations: dict[str, str]


class Layout(Document, frozen=True, kw_only=True):
    """The images of an OCI layout or archive, and the blobs that are missing or whose bytes are not those that their name says."""

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
    if why := denied(what):
        raise UsageError(f"{printable(what)} cannot be read: {why}")
    if vendored.is_vendored(path):
        path /= vendored.LOCK
    if is_written(path):
        return _written(path)
    if os.path.isdir(path):
        return _result(read_result(path))
    if os.path.isfile(path):
        try:
            lock = read_lock(path)
        except LockError as error:
            if _names_itself_a_lock(path):
                raise
            raise UsageError(
                f"{path} is neither a lock nor anything else that `inspect` knows",
                hint=f"it takes {_TAKEN}, or the id of an image",
            ) from error
        return Found(lock, tuple(lock_lines(lock)))
    return _image(what, session)


class _NamesItself(msgspec.Struct):
    """What tells a lock, of whatever version, from other JSON."""

    layout: int
    environment: dict[str, Any]


def _names_itself_a_lock(path: Path) -> bool:
    try:
        with open_plain(path) as stream:
            msgspec.json.decode(stream.read(_LARGEST_DOCUMENT), type=_NamesItself)
    except (OSError, msgspec.DecodeError, RecursionError):
        return path.suffix == ".lock"
    return True


def _image(what: str, session: Session) -> Found:
    image = find_image(what, session, instead=_TAKEN)
    size = sum(layer.size for layer in image.layers)
    lines = [
        f"image       {image.id}",
        f"size        {size / 1e6:.0f} MB in {len(image.layers)} layers",
        f"lock        {image.lock_sha256}",
    ]
    lines += _annotation_lines(image.annotations)
    lines += [f"layer       {layer.size / 1e6:8.1f} MB  {layer.comment}" for layer in image.layers]
    return Found(image, tuple(lines))


def _annotation_lines(annotations: Mapping[str, str]) -> list[str]:
    """Return annotations, and in words what the source says of itself."""
    shown = [f"{'':12}{name} = {value}" for name, value in annotations.items() if name != CITATION]
    return shown + citation_lines(citation_of(annotations))


def _written(path: Path) -> Found:
    """Return what a layout or archive holds, and which of its blobs are missing or damaged."""
    written = written_images(path)
    blobs: dict[str, Callable[[], AbstractContextManager[IO[bytes]]]] = {
        digest.removeprefix("sha256:"): partial(image.blob, digest)
        for image in written
        for digest in image.blobs
    }
    if os.path.isdir(path / _BLOBS):  # what no image names counts, too
        blobs |= {name: partial(open_below, path, f"{_BLOBS}/{name}") for name in os.listdir(path / _BLOBS)}
    damaged = tuple(shown(os.fsencode(name)) for name in sorted(blobs) if _hash(blobs[name]) != name)
    images = tuple(map(_layout_image, written))
    lines = []
    for image in images:
        lines += [
            f"image       {image.id}",
            f"name        {printable(image.name)}",
            f"manifest    {image.manifest}",
            f"size        {image.size / 1e6:.0f} MB compressed in {image.layers} layers",
        ]
        lines += _annotation_lines(image.annotations)
    lines.append(
        "checked     every blob is what its name says" if not damaged else f"DAMAGED     {', '.join(damaged)}"
    )
    return Found(Layout(images=images, damaged=damaged), tuple(lines), sound=not damaged)


def _layout_image(image: WrittenImage) -> LayoutImage:
    return LayoutImage(
        name=image.name,
        manifest=image.digest,
        id=image.id,
        size=sum(layer.size for layer in image.manifest.layers),
        layers=len(image.manifest.layers),
        annotations=image.manifest.annotations,
    )


def _hash(opened: Callable[[], AbstractContextManager[IO[bytes]]]) -> str:
    """Return the SHA-256 of what can be opened, "" for what cannot."""
    try:
        with opened() as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    except OSError:
        return ""


def _source_lines(source: Origin) -> list[str]:
    """Return where what ran comes from, a line for each thing that is known."""
    known = {
        "repository": source.repository,
        "commit": f"{source.commit}{', with changes that are in no commit' if source.is_dirty else ''}",
        "tree": source.tree,
        "record": source.record,
    }
    return [f"{name:<12}{printable(value)}" for name, value in known.items() if value]


def _result(checked: CheckedResult) -> Found:
    record, manifest = checked.staged.record, checked.staged.manifest
    lines = [
        f"run         {record.id}",
        f"status      {record.status} (exit code {record.exit_code}): {record.message}",
        f"{'command' if isinstance(record.spec, CommandSpec) else 'notebook':<12}{record.spec.name}",
        *_source_lines(record.source),
        f"image       {record.spec.image}",
        f"time        {date(record.started)} to {date(record.ended)}",
        f"expires     {date(manifest.expires) if manifest.expires else 'never'}",
    ]
    parameters = record.spec.parameters.parameters if isinstance(record.spec, RunSpec) else ()
    lines += [f"parameter   {item.name} = {item.value!r} ({item.origin})" for item in parameters]
    lines += [f"input       {item.path}  {item.size} bytes" for item in record.spec.inputs]
    if record.network is not None and record.network.policy != "none":
        passed = sum(one.times for one in record.network.passed)
        refused = sum(one.times for one in record.network.refused)
        lines.append(f"network     {record.network.policy}: {passed} requests passed, {refused} were refused")
    lines += [
        f"outputs     {cell_name(one.index)}: {one.verdict} {one.reason}".rstrip() for one in record.checks
    ]
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
