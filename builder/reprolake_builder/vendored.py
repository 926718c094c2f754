"""A folder with everything that a lock names, read: what it holds is believed for its bytes alone, whoever it came from.

reprolake.lock   VENDORED.md   SHA256SUMS   debian/  python/  conda/  standalone/  files/  lfs/  git/COMMIT.pack  source.tar
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.archives.formats import reading
from reprolake_builder.documents.base import Sha256
from reprolake_builder.documents.lock import EnvironmentLock, GitOrigin
from reprolake_builder.documents.source import FilesSource, GitSource
from reprolake_builder.errors import FetchError
from reprolake_builder.git_tree import MOST_BYTES, MOST_ENTRIES, TreeError, TreeWriter, shown
from reprolake_builder.inventory import fetched, origins
from reprolake_builder.plain_files import open_below
from reprolake_builder.process import printable
from reprolake_builder.providers.git.cache import opened
from reprolake_builder.providers.git.command import git_on
from reprolake_builder.providers.links.git import link_of_pin
from reprolake_builder.source_tree import INSIDE
from reprolake_builder.tools import Tools

LOCK = "reprolake.lock"
MARK = "VENDORED.md"
SUMS = "SHA256SUMS"
SOURCE = "source.tar"
LFS = "lfs/"
_LINE = re.compile(r"([0-9a-f]{64})  ((?!/)(?:(?!\.{1,2}(?:/|$))[^/\x00-\x1f\x7f]+/)*[^/\x00-\x1f\x7f]+)")
_LARGEST_LIST = 64 << 20  # bytes
_PIECE = 1 << 20  # bytes
_UNPACKING = 3600  # seconds
_AGAIN = "vendor the lock again"


@dataclass(frozen=True, slots=True)
class Vendored:
    """The folder (host path), and the path in it of each archive, by SHA-256: its own word, which is looked at before it counts."""

    folder: Path
    files: dict[Sha256, str]

    @property
    def source(self) -> Path:
        """Host path of the source's files as one archive; there is none where the source can be had from archives or commits."""
        return self.folder / SOURCE


def is_vendored(folder: Path) -> bool:
    """Whether a folder (host path) is what `reprolake vendor` writes."""
    return all(os.path.isfile(folder / name) for name in (LOCK, MARK, SUMS))


def open_vendored(folder: Path) -> Vendored:
    """Return what a vendored folder says that it holds. Raises FetchError when that cannot be read."""
    path = folder / SUMS
    try:
        with open_below(folder, SUMS) as stream:
            text = stream.read(_LARGEST_LIST + 1)
    except OSError as error:
        raise FetchError(f"{path} cannot be read: {error.strerror}", hint=_AGAIN) from error
    files = {}
    for number, line in enumerate(text[:_LARGEST_LIST].decode("utf-8", "replace").splitlines(), 1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise FetchError(
                f"{path}:{number}: {printable(line[:100])!r} is no SHA-256 and path",
                hint=f"the folder was changed by hand: {_AGAIN}",
            )
        files[found[1]] = found[2]
    return Vendored(folder, files)


def take_vendored(vendored: Vendored, lock: EnvironmentLock, tools: Tools) -> None:
    """Bring what the lock names from the folder into the store, so far as it is not there; what the folder lacks is left.

    Raises FetchError for a file that is another one than its hash says.
    """
    source = lock.source
    wanted = {sha256: archive.size for sha256, archive in fetched(lock).items()}
    if isinstance(source, FilesSource):
        wanted |= {file.sha256: file.size for file in source.files}
    large = sum(git.lfs.size for git in commits(lock) if git.lfs is not None)
    if large:  # which ones only the commits tell, and those may have to be taken first
        wanted |= {sha256: large for sha256, path in vendored.files.items() if path.startswith(LFS)}
    here = [sha256 for sha256 in wanted if sha256 in vendored.files]
    missing = [sha256 for sha256 in here if not tools.store.has_sound_archive(sha256)]
    with tools.progress.step(f"Taking archives from {vendored.folder}", len(missing)) as step:
        for sha256 in missing:
            path = vendored.files[sha256]
            told = shown(os.fsencode(vendored.folder / path))
            tools.store.add_archive(_pieces(vendored.folder, path, wanted[sha256]), sha256, told)
            step.advance()
    for git in commits(lock):
        _take_commit(vendored, git.url, git.commit, tools)
        for part in git.submodules:
            _take_commit(vendored, part.url, part.commit, tools)


def commits(lock: EnvironmentLock) -> tuple[GitSource, ...]:
    """Return the commits that a lock's source and its wheels are."""
    own = (lock.source,) if isinstance(lock.source, GitSource) else ()
    return (*own, *(origin.source for _, origin in origins(lock) if isinstance(origin, GitOrigin)))


def write_source(vendored: Vendored, root: Path) -> str:
    """Write the files in the folder's source.tar below `root` (empty host folder) and return git's hash of what was written.

    Raises FetchError for an archive that cannot be taken.
    """
    writer = TreeWriter(root)
    try:
        open_below(vendored.folder, SOURCE).close()  # nothing but a plain file of the folder
        with reading(vendored.source, MOST_BYTES) as members:
            for count, member in enumerate(members):
                path = member.path.removeprefix(INSIDE.encode() + b"/")
                if count > MOST_ENTRIES:
                    raise TreeError(f"it holds more than {MOST_ENTRIES} entries")
                if member.kind == "link":
                    writer.symlink(path, member.target)
                elif member.kind == "file":
                    writer.file(path, member.size, member.pieces(), executable=member.executable)
    except TreeError as error:
        raise FetchError(f"{vendored.source} cannot be taken: {error}", hint=_AGAIN) from error
    except OSError as error:
        raise FetchError(f"{vendored.source} cannot be read: {error.strerror}", hint=_AGAIN) from error
    return writer.tree_hash


def _take_commit(vendored: Vendored, url: str, commit: str, tools: Tools) -> None:
    """Put a commit into the store's cache of its repository; git computes the id of every object anew."""
    name = f"git/{commit}.pack"
    if not os.path.isfile(vendored.folder / name):
        return
    with opened(tools, link_of_pin(url), FetchError) as cache, tools.store.scratch() as scratch:
        ref = f"refs/reprolake/commits/{commit}"
        if cache.facts(ref) is not None:
            return
        # A repository of its own first: what is not whole must not lie where it would pass for fetched.
        repository = scratch / "git"
        git = git_on(repository, tools.git_environment)
        done = git.run("init", "--quiet", "--bare", "--template=", "--initial-branch=none")
        if not done.returncode:
            (repository / "shallow").write_text(f"{commit}\n")  # the commits before it did not come along
            place = repository / "objects" / "pack" / f"pack-{commit}.pack"
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as copy:
                copy.writelines(_pieces(vendored.folder, name, MOST_BYTES))
            done = git.run("index-pack", "--strict", str(place), timeout=_UNPACKING)
        if not done.returncode:
            done = git.run("update-ref", ref, commit)
        if words := done.tail if done.returncode else cache.take(commit, repository):
            raise FetchError(
                f"{shown(os.fsencode(vendored.folder / name))} is damaged, or does not hold the whole commit: {words}",
                hint=_AGAIN,
            )


def _pieces(folder: Path, path: str, most: int) -> Iterator[bytes]:
    """Yield what a file of the folder holds. Raises FetchError for a link on the way, and for more than `most` bytes."""
    told = shown(os.fsencode(folder / path))
    try:
        with open_below(folder, path) as stream:
            if os.fstat(stream.fileno()).st_size > most:
                raise FetchError(f"{told} is larger than the lock says", hint=_AGAIN)
            while piece := stream.read(_PIECE):
                yield piece
    except OSError as error:
        raise FetchError(f"{told} cannot be read: {error.strerror}", hint=_AGAIN) from error
