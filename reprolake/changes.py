"""What changed between two locks or images, as a document and in words."""

from __future__ import annotations

from collections.abc import Iterator

from reprolake.options import UsageError
from reprolake.pipeline import Session
from reprolake.sides import Side, side
from reprolake_builder.differences import Change, FileChange, file_changes, lock_changes
from reprolake_builder.documents.base import Digest, Document
from reprolake_builder.image import Image
from reprolake_builder.process import printable

_KIND = 12  # characters before what a line says
_SHOWN_FILES = 100


class Differences(Document, frozen=True, kw_only=True):
    """What `reprolake diff --json` prints: images by their ids where they were compared, and what differs."""

    images: tuple[Digest | None, Digest | None]
    changes: tuple[Change, ...]
    files: tuple[FileChange, ...] = ()


def differences(before: str, after: str, session: Session, *, files: bool) -> Differences:
    """Return what differs between two locks or images; with `files` also every path, which only images of the store tell."""
    old, new = side(before, session), side(after, session)
    changed: tuple[FileChange, ...] = ()
    if files:
        if not isinstance(old.image, Image) or not isinstance(new.image, Image):
            raise UsageError(
                "--files compares images of the store",
                hint="build both, and give the ids that `reprolake build` prints",
            )
        changed = file_changes(old.image, new.image, session.tools.store)
    return Differences(images=(_id(old), _id(new)), changes=lock_changes(old.lock, new.lock), files=changed)


def _id(one: Side) -> Digest | None:
    return one.image.id if one.image is not None else None


def change_lines(found: Differences) -> Iterator[str]:
    """Yield the differences, a fact a line: `-` is what is gone, `+` what is new, `~` what is another one."""
    for change in found.changes:
        name = f"{change.name}{' (asked for)' if change.direct else ''}"
        if change.before and change.after:
            told = f"~ {name}: {change.before} -> {change.after}"
        else:
            told = f"- {name} {change.before}" if change.before else f"+ {name} {change.after}"
        yield f"{change.kind:<{_KIND}}{printable(told)}"
    for file in found.files[:_SHOWN_FILES]:
        yield f"{'file':<{_KIND}}{file.path}: {file.what}"
    if len(found.files) > _SHOWN_FILES:
        yield f"{'file':<{_KIND}}and {len(found.files) - _SHOWN_FILES} more; --json lists them all"
    if not found.changes and not found.files:
        yield "no difference"
