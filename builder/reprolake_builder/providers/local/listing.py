"""The files of a folder on this host that make up a source, listed and read without following links."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from reprolake_builder.git_tree import MOST_ENTRIES, PIECE, SUBMODULE, TreeError, TreeHasher, shown
from reprolake_builder.process import printable
from reprolake_builder.progress import Progress
from reprolake_builder.providers.git.command import Git, git_in

_RUN = re.compile(rb"(?:\.tmp-)?[0-9a-hjkmnp-tv-z]{26}")  # names of results, and of unfinished ones
LOCK = b"reprolake.lock"
"""A lock beside what it pins is no part of that: it could not hold its own hash."""
_DEEPEST = 100  # folders
VCS = frozenset({b".git", b".hg", b".svn", b".bzr"})


@dataclass(frozen=True, slots=True)
class Listed:
    """A path below the folder; `submodule` is the commit of one, else ""."""

    path: bytes
    submodule: str = ""


@dataclass(frozen=True, slots=True)
class WorkTree:
    """A folder inside a git work tree: `prefix` leads from the work tree's root to it ("" or ending in a slash)."""

    git: Git
    prefix: str


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """What a folder holds: of a git work tree the tracked files (`work_tree` is set), else all of them.

    `submodules` are the paths of those that are checked out, whose tracked files are among the others.
    """

    folder: Path
    files: tuple[Listed, ...]
    work_tree: WorkTree | None
    submodules: frozenset[bytes] = frozenset()


def list_files(folder: Path, progress: Progress, environment: Mapping[str, str]) -> LocalFiles:
    """Return what the folder (host path, without links in it) holds.

    Raises TreeError when it cannot be listed, with git's reason where git refuses.
    """
    work_tree = _find_work_tree(folder, environment)
    if work_tree is not None:
        submodules: set[bytes] = set()
        if tracked := _tracked(work_tree.git, os.fsencode(folder), submodules):
            files = tuple(tracked[path] for path in sorted(tracked))
            return LocalFiles(folder, _without_lock(files, progress), work_tree, frozenset(submodules))
        progress.note(f"git tracks nothing in {printable(str(folder))}: all of its files are taken")
    results: list[bytes] = []
    try:
        every = tuple(_all_files(os.fsencode(folder), results))
        found = LocalFiles(folder, _without_lock(every, progress), None)
    except OSError as error:
        raise TreeError(f"{shown(os.fsencode(error.filename))} cannot be read: {error.strerror}") from error
    if results:
        places = sorted({shown(path.rpartition(b"/")[0] or b".") for path in results})
        progress.note(f"Not part of the source: results staged in {', '.join(places)}")
    return found


def _without_lock(files: tuple[Listed, ...], progress: Progress) -> tuple[Listed, ...]:
    kept = tuple(item for item in files if item.path != LOCK)
    if len(kept) < len(files):
        progress.note(f"Not part of the source: {LOCK.decode()}, which pins it")
    return kept


def read_files(listed: LocalFiles, into: TreeHasher) -> None:
    """Read the files into a hasher or writer, piece by piece; tracked files that are gone are left out.

    Raises TreeError for what is neither a file nor a link, for unreadable files and for those that change meanwhile.
    """
    base = os.fsencode(listed.folder) + b"/"
    plain: dict[bytes, bool] = {b"": True}
    for item in listed.files:
        if item.submodule:
            into.submodule(item.path, item.submodule)
            continue
        if not _below_folders(base, item.path.rpartition(b"/")[0], plain):
            continue
        try:
            _read_file(base, item.path, into)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise TreeError(f"{shown(item.path)} cannot be read: {error.strerror}") from error


def _read_file(base: bytes, path: bytes, into: TreeHasher) -> None:
    info = os.lstat(base + path)
    if stat.S_ISLNK(info.st_mode):
        into.symlink(path, os.readlink(base + path))
    elif stat.S_ISREG(info.st_mode):
        descriptor = os.open(base + path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            info = os.fstat(descriptor)
            pieces = iter(lambda: stream.read(PIECE), b"")
            into.file(path, info.st_size, pieces, executable=bool(info.st_mode & stat.S_IXUSR))
    elif not stat.S_ISDIR(info.st_mode):  # a tracked file that is a folder now is gone
        raise TreeError(f"{shown(path)} is neither a file nor a folder nor a link")


def _below_folders(base: bytes, folder: bytes, plain: dict[bytes, bool]) -> bool:
    """Whether all that leads to a path are real folders: git counts what lies behind a link as gone, and so must we."""
    if folder not in plain:
        try:
            real = stat.S_ISDIR(os.lstat(base + folder).st_mode)
        except OSError:
            real = False
        plain[folder] = real and _below_folders(base, folder.rpartition(b"/")[0], plain)
    return plain[folder]


def _find_work_tree(folder: Path, environment: Mapping[str, str]) -> WorkTree | None:
    if not any(os.path.exists(parent / ".git") for parent in (folder, *folder.parents)) and not _is_bare(
        folder
    ):
        return None
    git = git_in(folder, environment)
    asked = git.run("rev-parse", "--is-inside-work-tree", "--show-object-format", "--show-prefix")
    if asked.returncode:
        if "dubious ownership" in asked.tail:
            raise TreeError(
                "git does not trust the folder: it belongs to another user "
                f"(to trust it: git config --global --add safe.directory {printable(str(folder))})"
            )
        if "not a git repository" in asked.tail:
            return None
        raise TreeError(f"git cannot read it: {asked.tail}")
    inside, object_format, prefix = asked.stdout.decode("utf-8", "surrogateescape").split("\n", 2)
    if inside != "true":
        raise TreeError(
            f"it is git's own folder or a bare repository (give it as file://{printable(str(folder))})"
        )
    if object_format != "sha1":
        raise TreeError(
            f"its git repository uses the object format {object_format}; only sha1 is understood yet"
        )
    return WorkTree(git, prefix.removesuffix("\n"))


def _is_bare(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


def _tracked(git: Git, folder: bytes, submodules: set[bytes], inside: bytes = b"") -> dict[bytes, Listed]:
    """Return the tracked files by their paths, with those of submodules that are checked out, whose paths go to `submodules`.

    `inside` leads from the folder to a submodule's work tree, where `git` works.
    """
    done = git.run("ls-files", "--stage", "-z")
    if done.returncode:
        where = f" in {shown(inside)}" if inside else ""
        raise TreeError(f"git cannot list its files{where}: {done.tail}")
    found: dict[bytes, Listed] = {}
    for line in filter(None, done.stdout.split(b"\0")):
        head, _, name = line.partition(b"\t")
        mode, object_id, _ = head.split()
        path = inside + name
        if int(mode, 8) != SUBMODULE:
            found[path] = Listed(path)
        elif inner := _checked_out(git, folder, submodules, path):
            submodules.add(path)
            found |= inner
        else:
            found[path] = Listed(path, object_id.decode())
    return found


def _checked_out(git: Git, folder: bytes, submodules: set[bytes], path: bytes) -> dict[bytes, Listed]:
    """Return the files of a submodule, none where only its place is there."""
    place = folder + b"/" + path
    real = os.path.realpath(place) == place  # never a link to another repository
    if not real or not os.path.lexists(place + b"/.git") or path.count(b"/") > _DEEPEST:
        return {}
    return _tracked(submodule_git(git, place), folder, submodules, path + b"/")


def submodule_git(git: Git, place: bytes) -> Git:
    """Return git in a submodule's work tree (host path), as careful as in the one around it."""
    return replace(git, place=("-C", os.fsdecode(place)))


def _all_files(base: bytes, results: list[bytes]) -> Iterator[Listed]:
    """Yield all files but those of staged results, whose folders go to `results`: else every run would change the source."""
    pending = [b""]
    count = 0
    while pending:
        folder = pending.pop()
        with os.scandir(base + b"/" + folder) as listing:
            for item in listing:
                path = folder + item.name
                count += 1
                if count > MOST_ENTRIES:
                    raise TreeError(f"it holds more than {MOST_ENTRIES} entries")
                if item.name.lower() in VCS:
                    continue
                if item.is_dir(follow_symlinks=False) and _is_result(base + b"/" + path, item.name):
                    results.append(path)
                elif item.is_dir(follow_symlinks=False):
                    pending.append(path + b"/")
                else:
                    yield Listed(path)


def _is_result(folder: bytes, name: bytes) -> bool:
    """Whether a folder is what `reprolake run` staged, or is about to."""
    return _RUN.fullmatch(name) is not None and (
        name.startswith(b".") or os.path.isfile(folder + b"/ro-crate-metadata.json")
    )
