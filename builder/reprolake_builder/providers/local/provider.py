"""Sources that are folders of this host: the files as they are on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from reprolake_builder.documents.source import LocalSource
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.git_tree import FOLDER, TreeError, TreeHasher, TreeWriter, folder_hash, shown
from reprolake_builder.process import printable
from reprolake_builder.progress import Progress
from reprolake_builder.providers.git.command import Git
from reprolake_builder.providers.interface import LinkRequest, checked_subdir
from reprolake_builder.providers.local.listing import (
    LOCK,
    LocalFiles,
    WorkTree,
    list_files,
    read_files,
    submodule_git,
)
from reprolake_builder.tools import Tools

_LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z


class LocalProvider:
    """A git work tree (the tracked files), a folder inside one, or any other folder (all files)."""

    def recognises(self, link: str) -> bool:
        """Whether the link is a folder that is there."""
        return "://" not in link and "\0" not in link and os.path.isdir(link)

    def resolve(self, request: LinkRequest, tools: Tools) -> LocalSource:
        """Return the folder's identity: the git tree hash of its files on disk. Raises ResolveError."""
        folder, progress = Path(request.link).resolve(), tools.progress
        if request.ref:
            raise ResolveError(
                f"{printable(request.link)} is a folder, whose files are taken as they are on disk: "
                f"--ref {printable(request.ref)} has no meaning for it",
                hint=f"for a committed state give the repository: file://{shown(os.fsencode(folder))}@{printable(request.ref)}",
            )
        place = shown(os.fsencode(folder))
        if place != str(folder):
            raise ResolveError(
                f"the folder's path {place} holds bytes that no document can", hint="rename it"
            )
        subdir = checked_subdir(request.subdir)
        hasher = TreeHasher()
        try:
            listed = list_files(folder, progress, tools.git_environment)
            _check_subdir(listed, subdir)
            with progress.step(f"Reading {place}"):
                read_files(listed, hasher)
        except TreeError as error:
            raise ResolveError(f"the folder {place} cannot be taken: {error}") from error
        found = LocalSource(path=place, tree=hasher.tree_hash, date=request.now, date_is="now", subdir=subdir)
        if listed.work_tree is None:
            return found
        _tell_untracked(listed.work_tree, progress)
        return _in_history(found, listed.work_tree, listed)


def copy_local(
    source: LocalSource,
    source_dir: Path | None,
    root: Path,
    progress: Progress,
    environment: Mapping[str, str],
) -> str:
    """Write the folder's files below `root` (empty host folder) and return the hash of what was written.

    `source_dir` is where the folder is now, None for where it was. Raises FetchError when its files are not the pinned ones.
    """
    if source_dir is None and not source.path:
        raise FetchError(
            "the lock is of a folder on another host", hint="say where its files are here: --source-dir DIR"
        )
    folder = (source_dir or Path(source.path)).resolve()
    place = shown(os.fsencode(folder))
    if not os.path.isdir(folder):
        raise FetchError(
            f"the pinned folder {place} is not here",
            hint="say where its files are now: --source-dir DIR",
        )
    writer = TreeWriter(root)
    try:
        listed = list_files(folder, progress, environment)
        if source_dir is None:
            # Only the pin names this folder, and a stranger may have written it: nothing is copied of any other content.
            hasher = TreeHasher()
            with progress.step(f"Reading {place}"):
                read_files(listed, hasher)
            _refuse_others(hasher, source, place)
        with progress.step(f"Copying {place}"):
            read_files(listed, writer)
    except TreeError as error:
        raise FetchError(f"the folder {place} cannot be taken: {error}") from error
    _refuse_others(writer, source, place)
    return writer.tree_hash


def _refuse_others(found: TreeHasher, source: LocalSource, place: str) -> None:
    """Raise FetchError unless what was taken of the folder is what was pinned."""
    if found.tree_hash != source.tree:
        raise FetchError(
            f"the files in {place} are not the pinned ones: their tree is {found.tree_hash[:12]}, pinned is "
            f"{source.tree[:12]}; they changed since, or it is another folder",
            hint="pin them anew by giving the folder as the link, or name the folder with the pinned files: --source-dir DIR",
        )


def _in_history(found: LocalSource, work_tree: WorkTree, listed: LocalFiles) -> LocalSource:
    """Return the source with what git knows of it: its commit if the files equal it, and when it was last changed."""
    run = work_tree.git.run
    head = run("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    found = msgspec.structs.replace(found, dirty=True)
    if head.returncode:
        return found
    clean = _committed_tree(work_tree.git, f"HEAD:{work_tree.prefix}", listed) == found.tree
    told = run("rev-list", "-1", "--format=%ct", "HEAD", "--", ".")
    seconds = told.stdout.decode("ascii", "replace").strip().rpartition("\n")[2]
    if not seconds.isdigit() or int(seconds) > _LAST_SECOND:
        return found  # nothing of the folder was ever committed
    return msgspec.structs.replace(
        found,
        date=datetime.fromtimestamp(int(seconds), UTC),
        date_is="commit" if clean else "last commit",
        commit=head.stdout.decode().strip() if clean else None,
        dirty=not clean,
    )


def _committed_tree(git: Git, treeish: str, listed: LocalFiles, inside: bytes = b"") -> str:
    """Return the hash of a folder's tree in a commit, as it is without the lock and with the submodules that are checked out.

    `inside` leads from the source's folder to that tree's. Source: git's tree object format.
    """
    told: list[tuple[bytes, int, bytes]] = []
    for line in filter(None, git.run("ls-tree", "--full-tree", "-z", treeish).stdout.split(b"\0")):
        head, _, name = line.partition(b"\t")
        mode, object_id = int(head.split()[0], 8), head.split()[2].decode()
        path = inside + name
        if path in listed.submodules:
            inner = submodule_git(git, os.fsencode(listed.folder) + b"/" + path)
            mode, object_id = FOLDER, _committed_tree(inner, f"{object_id}^{{tree}}", listed, path + b"/")
        elif mode == FOLDER and any(module.startswith(path + b"/") for module in listed.submodules):
            object_id = _committed_tree(git, object_id, listed, path + b"/")
        if path != LOCK:
            told.append((name, mode, bytes.fromhex(object_id)))
    return folder_hash(told).hex()


def _check_subdir(listed: LocalFiles, subdir: str) -> None:
    start = subdir.encode() + b"/"
    if not subdir or any(item.path.startswith(start) for item in listed.files):
        return
    folders = sorted({shown(item.path.partition(b"/")[0]) for item in listed.files if b"/" in item.path})
    raise ResolveError(
        f"{shown(os.fsencode(listed.folder))} has no files in a folder {subdir!r}",
        hint="its folders: " + (", ".join(folders[:10]) or "none"),
    )


def _tell_untracked(work_tree: WorkTree, progress: Progress) -> None:
    listed = work_tree.git.run(
        "ls-files", "--others", "--exclude-standard", "--directory", "--no-empty-directory", "-z"
    ).stdout
    names = [shown(name) for name in listed.split(b"\0") if name]
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        progress.note(
            f"Not part of the source, because git does not track them: {', '.join(names[:3])}{more}"
        )
