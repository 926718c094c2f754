"""A lock with everything that it names, brought into one folder: a build from it needs no network."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.debs.mirror import wanted_debs
from reprolake_builder.documents.base import Document, Sha256, Size, pretty
from reprolake_builder.documents.lock import EnvironmentLock, SdistOrigin, StandaloneInterpreter
from reprolake_builder.documents.source import FilesSource, GitSource
from reprolake_builder.engines.conda import fetch_conda
from reprolake_builder.engines.direct import portable
from reprolake_builder.engines.packages import fetch_wheels
from reprolake_builder.engines.sdist import fetch_sdist
from reprolake_builder.errors import FetchError
from reprolake_builder.inventory import index_wheels, items_of, origins, recipe_bases
from reprolake_builder.plain_files import open_below
from reprolake_builder.process import printable
from reprolake_builder.providers.files import fetch_files
from reprolake_builder.providers.git.lfs import bring_objects
from reprolake_builder.providers.git.parts import Part, Walk
from reprolake_builder.providers.links.git import link_of_pin
from reprolake_builder.solvers.pypi_sdists import sdist_url
from reprolake_builder.solvers.standalone import fetch_standalone
from reprolake_builder.source_tree import SourceTree
from reprolake_builder.tools import Tools
from reprolake_builder.trees import Placed, write_tar
from reprolake_builder.vendored import (
    LFS,
    LOCK,
    MARK,
    SOURCE,
    SUMS,
    Vendored,
    commits,
    write_source,
)
from reprolake_builder.whole_files import replacing, write_whole

_PACKING = 3600  # seconds
_PIECE = 1 << 20  # bytes
_SHA1 = 20  # bytes
_TEXT = """\
# Everything that {lock} names

`reprolake build {lock}` in this folder makes the image without any network, on any host, to the same bytes; so does
`reprolake run . NOTEBOOK`. Nothing here has to be trusted: each file is taken only if it has the SHA-256 that the lock names, each
commit only if git computes the same id. `sha256sum -c {sums}` looks at the files without Reprolake.
"""


class Brought(Document, frozen=True, kw_only=True):
    """What `reprolake vendor --json` prints: the folder (host path), how many archives and commits lie in it, and their bytes."""

    folder: str
    archives: int
    commits: int
    size: Size


@dataclass(frozen=True, slots=True)
class _Placed:
    path: str
    sha256: Sha256


def vendor(lock: EnvironmentLock, tree: SourceTree, folder: Path, tools: Tools) -> Brought:
    """Bring all that the lock names, and the source, into a folder (host path) that is new, empty or was vendored before.

    What is there already stays if it is sound. The lock and the list of hashes come last: without them the folder is no vendored one,
    and the call can be made again.
    Raises FetchError for what cannot be had any more.
    """
    _check(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / MARK, _TEXT.format(lock=LOCK, sums=SUMS).encode())
        _bring(lock, tools)
        packs = [pack for source in commits(lock) for pack in _write_packs(source, folder, tools)]
        files = [*_archives(lock), *_large_files(lock, tools)]
        with tools.progress.step(f"Copying archives to {folder}", len(files)) as step:
            for file in files:
                _copy(tools.store.archive(file.sha256), folder, file)
                step.advance()
        _write_source(lock, tree, folder)
        sums = sorted(f"{file.sha256}  {file.path}\n" for file in files)
        write_whole(folder / SUMS, "".join(sums).encode())
        write_whole(folder / LOCK, pretty(portable(lock)))
    except OSError as error:
        raise FetchError(f"{folder} cannot be written: {error.strerror or error}") from error
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Brought(folder=str(folder), archives=len(files), commits=len(packs), size=size)


def _check(folder: Path) -> None:
    if os.path.lexists(folder) and not folder.is_dir():
        raise FetchError(f"{folder} is no folder", hint="name a new folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise FetchError(
            f"{folder} holds other things than a vendored lock",
            hint="name a new folder, or remove what is in it",
        )


def _bring(lock: EnvironmentLock, tools: Tools) -> None:
    """Bring every archive into the store."""
    for debian in (lock.debian, *recipe_bases(lock)):
        debs = wanted_debs((*debian.base, *debian.extra, *debian.toolchain), debian.releases, tools.site)
        tools.downloader.fetch_all(debs, tools.store, tools.progress, "Fetching Debian packages")
    if isinstance(lock.interpreter, StandaloneInterpreter):
        fetch_standalone(lock.interpreter, tools)
    if lock.conda is not None:
        fetch_conda(lock.conda, lock.conda.packages, tools)
    fetch_wheels(index_wheels(lock), tools)
    for name, origin in origins(lock):
        if isinstance(origin, SdistOrigin) and not tools.store.has_sound_archive(origin.sha256):
            fetch_sdist(origin, sdist_url(name, origin, tools), tools)
    if isinstance(lock.source, FilesSource):
        fetch_files(lock.source, tools)


def _archives(lock: EnvironmentLock) -> Iterator[_Placed]:
    """Yield every archive with its place: by kind and name, as people and other tools look for them."""
    taken: set[str] = set()
    conda = {
        package.sha256: f"{package.channel}/{package.subdir}"
        for package in (lock.conda.packages if lock.conda else ())
    }
    named = [
        (item.sha256, "/".join(filter(None, [item.kind, conda.get(item.sha256, ""), item.filename])))
        for item in items_of(lock)
        if not item.built_from
    ]
    named += [
        (origin.sha256, f"python/{origin.filename}")
        for _, origin in origins(lock)
        if isinstance(origin, SdistOrigin)
    ]
    if isinstance(lock.source, FilesSource):
        named += [(file.sha256, f"files/{file.name}") for file in lock.source.files]
    for sha256, path in dict(named).items():
        place = path
        if path in taken:
            start, _, name = path.rpartition("/")
            place = f"{start}/{sha256[:12]}/{name}"
        taken.add(place)
        yield _Placed(place, sha256)


def _large_files(lock: EnvironmentLock, tools: Tools) -> Iterator[_Placed]:
    """Yield what Git LFS keeps of the lock's commits, which is brought into the store for that."""
    found: set[Sha256] = set()
    for source in commits(lock):
        for part in _parts(source, tools) if source.lfs is not None else ():
            bring_objects(part, tools)
            found |= {pointer.sha256 for pointer in part.pointers.values()}
    for sha256 in sorted(found):
        yield _Placed(f"{LFS}{sha256}", sha256)


def _parts(source: GitSource, tools: Tools) -> Iterator[Part]:
    """Yield the commit and those of its submodules."""
    yield from Walk(tools, FetchError, source.left).parts(link_of_pin(source.url), source.commit)


def _write_packs(source: GitSource, folder: Path, tools: Tools) -> Iterator[Path]:
    """Write the objects of a commit and of its submodules' as one pack each, without what came before; yield their places."""
    packs = folder / "git"
    _make_folders(folder, packs)
    for part in _parts(source, tools):
        commit, git = part.facts.commit, part.cache.git
        place = packs / f"{commit}.pack"
        if not _is_sound(place):
            objects = git.run("rev-list", "--objects", "--no-walk", commit, timeout=_PACKING)
            start = packs / f".{secrets.token_hex(4)}"
            done = git.run("pack-objects", "--quiet", str(start), stdin=objects.stdout, timeout=_PACKING)
            made = Path(f"{start}-{done.stdout.decode('ascii', 'replace').strip()}.pack")
            if objects.returncode or done.returncode or not made.is_file():
                words = printable(objects.tail or done.tail)
                raise FetchError(f"the commit {commit} of {source.url} cannot be packed: {words}")
            made.replace(place)
            for left in packs.glob(f"{start.name}-*"):
                left.unlink()
        yield place


def _is_sound(pack: Path) -> bool:
    """Whether a pack is there whole: its last bytes are the SHA-1 of all before. Source: git, pack format."""
    try:
        with open_below(pack.parent, pack.name) as stream:
            left = os.fstat(stream.fileno()).st_size - _SHA1
            digest = hashlib.sha1(usedforsecurity=False)
            while left > 0 and (piece := stream.read(min(left, _PIECE))):
                digest.update(piece)
                left -= len(piece)
            return stream.read(_SHA1) == digest.digest()
    except OSError:
        return False


def _write_source(lock: EnvironmentLock, tree: SourceTree, folder: Path) -> None:
    """Write the source's files as one archive, where neither archives nor commits hold them. Raises FetchError."""
    if isinstance(lock.source, FilesSource | GitSource):
        return
    place = folder / SOURCE
    with replacing(place) as partial, partial.open("wb") as stream:
        write_tar((Placed(entry, tree.tree.root) for entry in tree.tree.entries), stream.write)
    with tempfile.TemporaryDirectory(dir=folder) as again:
        found = write_source(Vendored(folder, {}), Path(again))
    if found != lock.source.tree:
        place.unlink()
        raise FetchError(
            f"the source cannot be brought along: its files alone make the tree {found}, pinned is {lock.source.tree}",
            hint="it has submodules that are not checked out, or empty folders",
        )


def _copy(source: Path, folder: Path, file: _Placed) -> None:
    """Copy a file of the store, hashed on the way; one that is there with these bytes already stays."""
    target = folder / file.path
    _make_folders(folder, target.parent)
    with contextlib.suppress(OSError), open_below(folder, file.path) as there:
        if hashlib.file_digest(there, "sha256").hexdigest() == file.sha256:
            return
    digest = hashlib.sha256()
    with replacing(target) as partial:
        with source.open("rb") as stream, partial.open("wb") as copy:
            while piece := stream.read(_PIECE):
                digest.update(piece)
                copy.write(piece)
        if digest.hexdigest() != file.sha256:
            raise FetchError(
                f"{source} is damaged", hint="run the command again: it is fetched anew", transient=True
            )


def _make_folders(top: Path, folder: Path) -> None:
    """Make a folder below `top` (host paths). Raises FetchError for a link on the way: who left it there decides where it leads."""
    for part in (*reversed(folder.relative_to(top).parents), folder.relative_to(top)):
        place = top / part
        if place != top and place.is_symlink():
            raise FetchError(f"{place} is a symbolic link", hint="name a new folder, or remove it")
        place.mkdir(exist_ok=True)
