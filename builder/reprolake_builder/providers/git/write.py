"""A commit's files on disk: its own, those of its submodules, and those that Git LFS keeps."""

from __future__ import annotations

import os
from pathlib import Path

from reprolake_builder.errors import FetchError
from reprolake_builder.git_tree import LONGEST_TARGET, SUBMODULE, SYMLINK, TreeError, TreeWriter, shown
from reprolake_builder.providers.git.lfs import bring_objects
from reprolake_builder.providers.git.parts import FILES, Part, Walk
from reprolake_builder.providers.git.rows import Blobs, rows
from reprolake_builder.providers.links.git import GitLink
from reprolake_builder.tools import Tools


def write_commit(link: GitLink, commit: str, left: tuple[str, ...], root: Path, tools: Tools) -> str:
    """Write the files of a commit below `root` (empty host folder) and return the hash of the tree that was written.

    `left` are the submodules, and the .gitattributes whose files in Git LFS, that are left as git itself has them. The tree
    of a submodule is that of the commit that is named for it. Raises FetchError when something cannot be had or be taken.
    """
    written = ""
    for part in Walk(tools, FetchError, left).parts(link, commit):
        bring_objects(part, tools)
        try:
            found = _write(part, root / os.fsdecode(part.path), tools)
        except TreeError as error:
            raise FetchError(f"the commit {part.facts.commit} cannot be taken: {error}") from error
        if not part.path:
            written = found
        elif found != part.facts.tree:
            raise FetchError(
                f"the submodule {shown(part.path)} has the tree {found}, and its commit {part.facts.tree}",
                hint="the repository's objects are damaged",
            )
    return written


def _write(part: Part, root: Path, tools: Tools) -> str:
    writer, git, tree = TreeWriter(root), part.cache.git, part.facts.tree
    total = sum(row.size for row in rows(git, tree))
    with (
        tools.progress.step("Writing the repository's files", total) as step,
        git.converse("cat-file", "--batch") as pipes,
    ):
        blobs = Blobs(*pipes)
        for row in rows(git, tree):
            if row.mode == SUBMODULE:
                writer.submodule(row.name, row.object_id.decode())
            elif row.mode == SYMLINK:
                if row.size > LONGEST_TARGET:
                    raise TreeError(f"the symbolic link {shown(row.name)} has a target of {row.size} bytes")
                writer.symlink(row.name, blobs.content(row))
            elif row.mode not in FILES:
                raise TreeError(f"{shown(row.name)} has the mode {row.mode:o}, which no file may have")
            elif pointer := part.pointers.get(row.name):
                content = tools.store.pieces(pointer.sha256)
                blob = row.object_id.decode()
                writer.file_for(blob, row.name, pointer.size, content, executable=FILES[row.mode])
            else:
                writer.file(row.name, row.size, blobs.pieces(row), executable=FILES[row.mode])
            step.advance(row.size)
    return writer.tree_hash
