"""What a wheel is built from, as files in the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.lock import LAYOUT, BuiltWheelLock, GitOrigin, RepositoryOrigin, SdistOrigin
from reprolake_builder.engines.backend import Workplace
from reprolake_builder.engines.sdist import BUILD, fetch_sdist, sdist_tree
from reprolake_builder.errors import FetchError
from reprolake_builder.image import REPOSITORY, USER
from reprolake_builder.providers.git.provider import content_key, write_git
from reprolake_builder.solvers.pypi_sdists import sdist_url
from reprolake_builder.store import Tree
from reprolake_builder.tools import Tools

_COMPILED = (
    *(".c", ".cc", ".cpp", ".cxx", ".c++", ".cu", ".pyx", ".pxi", ".m", ".mm", ".s"),
    *(".f", ".for", ".ftn", ".f77", ".f90", ".f95", ".f03", ".f08", ".pyf"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """Files to build from: `top` is the tree's folder that the build sees as /TOP, `folder` the package's folder inside of it."""

    what: str
    tree: Tree
    top: str
    folder: str = ""

    @property
    def path(self) -> str:
        """The package's folder, relative to the tree's root."""
        return "/".join(filter(None, [self.top, self.folder]))

    @property
    def workplace(self) -> Workplace:
        """Where a backend works on it."""
        return Workplace(self.tree.root / self.top, f"/{self.top}", self.folder)

    @property
    def is_compiled(self) -> bool:
        """Whether there is something in the package's folder that a compiler makes machine code of."""
        start = self.path.encode() + b"/"
        return any(
            entry.kind == "f"
            and entry.path.startswith(start)
            and entry.path.decode("utf-8", "replace").lower().endswith(_COMPILED)
            for entry in self.tree.entries
        )


def repository_source(origin: RepositoryOrigin, repository: Tree) -> Source:
    """Return a package of the locked source itself."""
    what = f"the package in {origin.path}/" if origin.path else "the repository's package"
    return Source(what, repository, REPOSITORY.lstrip("/"), origin.path)


def sdist_source(origin: SdistOrigin, url: str, tools: Tools) -> Source:
    """Return a source distribution, fetched from there and unpacked if it is missing. Raises FetchError, BuildError."""
    fetch_sdist(origin, url, tools)
    return Source(origin.filename, sdist_tree(origin, tools.store), BUILD)


def git_source(origin: GitOrigin, tools: Tools) -> Source:
    """Return the files of a commit of a git repository, fetched if they are missing. Raises FetchError."""
    pinned = origin.source

    def fill(folder: Path) -> None:
        root = folder / BUILD
        root.mkdir()
        found = write_git(pinned, root, tools)
        if found != pinned.tree:
            raise FetchError(
                f"the files of {pinned.url} at {pinned.commit[:12]} have the tree {found}, pinned is {pinned.tree}",
                hint="the lock was changed by hand, or the repository's objects are damaged",
            )

    key = content_hash(
        {"layer": "git source", "tree": pinned.tree, "parts": content_key(pinned), "layout": LAYOUT}
    )
    tree = tools.store.make_tree(key, fill, owner=USER)
    return Source(f"{pinned.url} at {pinned.commit[:12]}", tree, BUILD, pinned.subdir)


def find_source(wheel: BuiltWheelLock, repository: Tree, tools: Tools) -> Source:
    """Return what a locked wheel was built from. Raises FetchError when it cannot be had any more."""
    match wheel.origin:
        case RepositoryOrigin():
            return repository_source(wheel.origin, repository)
        case SdistOrigin():
            url = (
                ""
                if tools.store.has_sound_archive(wheel.origin.sha256)
                else sdist_url(wheel.name, wheel.origin, tools)
            )
            return sdist_source(wheel.origin, url, tools)
        case GitOrigin():
            return git_source(wheel.origin, tools)
    assert_never(wheel.origin)
