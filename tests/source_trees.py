"""Source trees for tests, made from a mapping of paths to contents."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reprolake_builder.documents.source import GitSource, LocalSource
from reprolake_builder.git_tree import TreeWriter
from reprolake_builder.source_tree import SourceTree
from reprolake_builder.store import Store

DATE = datetime(2024, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Link:
    """A symbolic link to a target."""

    target: str


def source_tree(
    folder: Path, files: Mapping[str, str | bytes | Link | None], *, subdir: str = "", from_git: bool = False
) -> SourceTree:
    """Return a tree in a store below `folder`; None stands for a submodule."""

    def fill(root: Path) -> None:
        (root / "repo").mkdir()
        writer = TreeWriter(root / "repo")
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            if data is None:
                writer.submodule(path.encode(), "1" * 40)
            elif isinstance(data, Link):
                writer.symlink(path.encode(), data.target.encode())
            else:
                writer.file(path.encode(), len(data), [data], executable=False)

    store = Store(folder / "store")
    tree = store.make_tree(secrets.token_hex(32), fill, (1000, 100))
    store.close()
    if from_git:
        source = GitSource(url="https://h.org/a", commit="1" * 40, tree="1" * 40, date=DATE, subdir=subdir)
    else:
        source = LocalSource(path="/a", tree="1" * 40, date=DATE, date_is="now", subdir=subdir)
    return SourceTree(source, tree)
