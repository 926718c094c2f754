"""Sources made of files that a record or an address offers: fetched, checked, laid out as one tree, archives unpacked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from reprolake_builder.archives.formats import folder_name, is_archive
from reprolake_builder.archives.unpack import unpack
from reprolake_builder.documents.base import Document, Sha256, TreeHash, content_hash
from reprolake_builder.documents.source import FilesSource, PinnedFile, RecordPin
from reprolake_builder.download import Offer, Wanted, make_room
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.git_tree import TreeError, TreeHasher, TreeWriter, folders_above, folders_of, shown
from reprolake_builder.process import printable
from reprolake_builder.tools import Tools

_LAYOUT = 1  # of what stands below: it goes up when the same files are laid out otherwise
_MOST_FILES = 10_000
_LAID_OUT = "laid-out"


@dataclass(frozen=True, slots=True)
class Offering:
    """Files that belong together: `url` is the page for people, `date` that of the publication (UTC), None where none is told."""

    url: str
    offers: tuple[Offer, ...]
    date: datetime | None = None
    subdir: str = ""
    record: RecordPin | None = None


class _LaidOut(Document, frozen=True, kw_only=True):
    """The tree that files make, and what people are told of it."""

    tree: TreeHash
    notes: tuple[str, ...]


def pin_files(offering: Offering, now: datetime, tools: Tools) -> FilesSource:
    """Return the source that the offered files make; they are fetched for that, and their checksums proven.

    Files whose names are those of archives are unpacked: the only one at the source's root, of several each in a folder of its
    name. Without a date of publication the newest of the files' own counts, then `now`.
    Raises FetchError for files that cannot be had, ResolveError for those that make no tree.
    """
    if not offering.offers:
        raise ResolveError(f"{printable(offering.url)} offers no files")
    if len(offering.offers) > _MOST_FILES:
        raise ResolveError(
            f"{printable(offering.url)} offers {len(offering.offers)} files, too many for a source"
        )
    for offer in offering.offers:
        _pinned(offer, "0" * 64, 0)  # what cannot be pinned need not be fetched
    offers = sorted(offering.offers, key=lambda offer: offer.name)
    arrived = tools.downloader.receive_all(
        offers, tools.store, tools.progress, f"Fetching {len(offers)} files of {offering.url}"
    )
    files = [_pinned(offer, file.sha256, file.size) for offer, file in zip(offers, arrived, strict=True)]
    dates = [file.modified for file in arrived if file.modified is not None and file.modified <= now]
    try:
        laid_out = _laid_out(tuple(files), tools, offering.subdir)
    except TreeError as error:
        raise ResolveError(f"the files of {printable(offering.url)} make no source: {error}") from error
    for note in laid_out.notes:
        tools.progress.note(note)
    date, date_is = offering.date or now, "published" if offering.date else "now"
    if offering.date is None and dates:
        date, date_is = max(dates), "last modified"
    return FilesSource(
        url=offering.url,
        files=tuple(files),
        tree=laid_out.tree,
        date=date,
        date_is=date_is,
        subdir=offering.subdir,
        record=offering.record,
    )


def prove_files(source: FilesSource, tools: Tools) -> None:
    """Return when the pinned files make the pinned tree. Raises FetchError: whoever wrote the lock may have lied."""
    if tools.store.get(_LAID_OUT, _key(source.files), _LaidOut) is None:
        fetch_files(source, tools)
    try:
        found = _laid_out(source.files, tools).tree
    except TreeError as error:
        raise FetchError(f"the files of {source.url} make no source: {error}") from error
    if found != source.tree:
        raise FetchError(
            f"the files of {source.url} have the tree {found}, pinned is {source.tree}",
            hint="the lock was changed by hand: lock the link again",
        )


def write_files(source: FilesSource, root: Path, tools: Tools) -> TreeHash:
    """Write the files of a source below `root` (empty host folder) and return the hash of what was written.

    What the store lacks is fetched. Raises FetchError for files that cannot be had, or that make no tree.
    """
    fetch_files(source, tools)
    writer = TreeWriter(root)
    try:
        with tools.progress.step(f"Unpacking {source.url}"):
            _lay_out(source.files, writer, tools)
    except TreeError as error:
        raise FetchError(f"the files of {source.url} make no source: {error}") from error
    return writer.tree_hash


def fetch_files(source: FilesSource, tools: Tools) -> None:
    """Bring the files of a source into the store. Raises FetchError."""
    missing = [file.size for file in source.files if not tools.store.has_archive(file.sha256)]
    make_room(sum(missing), f"Fetching {len(missing)} files of {source.url}", tools.store, tools.progress)
    wanted = [Wanted(file.name, (file.url,), file.sha256, file.size) for file in source.files]
    tools.downloader.fetch_all(wanted, tools.store, tools.progress, f"Fetching {source.url}")


def _pinned(offer: Offer, sha256: str, size: int) -> PinnedFile:
    """Return the file as a pin. Raises ResolveError for a name or an address that no pin may hold."""
    told = {
        "name": offer.name,
        "url": offer.url,
        "size": size,
        "sha256": sha256,
        "unpacked": is_archive(offer.name),
    }
    try:
        return msgspec.convert(told, PinnedFile)
    except msgspec.ValidationError as error:
        raise ResolveError(
            f"the file {printable(offer.name)!r} at {printable(offer.url)} cannot be pinned: {error}"
        ) from error


def _laid_out(files: tuple[PinnedFile, ...], tools: Tools, subdir: str = "") -> _LaidOut:
    """Return the tree that the files make; the same files are looked through once.

    Raises TreeError when they make none, or none with the folder `subdir`.
    """
    key = _key(files)
    known = tools.store.get(_LAID_OUT, key, _LaidOut)
    if known is None or subdir:
        hasher = TreeHasher()
        with tools.progress.step("Reading the files"):
            notes = _lay_out(files, hasher, tools)
        if subdir and subdir.encode() not in (paths := folders_of(hasher.blobs)):
            tops = sorted(shown(path) for path in paths if b"/" not in path)
            raise TreeError(f"there is no folder {subdir} in them; folders: {', '.join(tops[:10]) or 'none'}")
        known = _LaidOut(tree=hasher.tree_hash, notes=notes)
        tools.store.put(_LAID_OUT, key, known)
    return known


def _key(files: Sequence[PinnedFile]) -> Sha256:
    named = [(file.name, file.sha256, file.unpacked) for file in files]
    return content_hash({"layout": _LAYOUT, "files": named})


def _lay_out(files: Sequence[PinnedFile], sink: TreeHasher, tools: Tools) -> tuple[str, ...]:
    """Put the files, which are in the store, where they belong, and return what people are told of it."""
    notes: list[str] = []
    folders = _folders(files)
    if len({file.name for file in files}) < len(files):
        raise TreeError("two of them have one name")
    for file in files:
        if file.unpacked:
            place = folders[file.name].encode()
            told = unpack(tools.store.archive(file.sha256), file.name, sink, below=place)
            notes += [f"{printable(file.name)}: {note}" for note in told.notes]
    taken = sink.blobs
    above = folders_of(taken)
    for file in files:
        path = file.name.encode()
        if file.unpacked:
            continue
        content = tools.store.pieces(file.sha256)
        if path in taken:
            # Records of a project often have its metadata beside the archive, too: notebooks know the archive's.
            lone = TreeHasher()
            lone.file(path, file.size, content, executable=False)
            if lone.blobs[path][1] != taken[path][1]:
                notes.append(
                    f"{printable(file.name)} is not taken: the archive has another file of that name"
                )
        elif path in above or any(parent in taken for parent in folders_above(path)):
            raise TreeError(f"{shown(path)} is a file and a folder in it")
        else:
            sink.file(path, file.size, content, executable=False)
    return tuple(notes)


def _folders(files: Sequence[PinnedFile]) -> dict[str, str]:
    """Return the folder of each archive's content: the root for the only one, else its name, in full where two are alike."""
    archives = [file.name for file in files if file.unpacked]
    if len(archives) == 1:
        return {archives[0]: ""}
    alike = Counter(folder_name(name) for name in archives)
    return {name: name if alike[folder_name(name)] > 1 else folder_name(name) for name in archives}
