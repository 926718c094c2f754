"""What the readers of environment files are given, and what they have heard."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, fields

from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.documents.environment import Asked, AskedSource, CondaAsked, ObeyedLock, UnheardFile
from reprolake_builder.lock_files.interface import Selection
from reprolake_builder.source_tree import LARGEST_LOCK, SourceTree

ALL_DEFAULTS = Selection()


@dataclass(frozen=True, slots=True)
class Given:
    """The source, the files (paths from its root) that the user ignores by name, and what of a project is wanted."""

    tree: SourceTree
    ignored: frozenset[str] = frozenset()
    selection: Selection = ALL_DEFAULTS

    @property
    def base(self) -> str:
        """The folder that speaks for the environment: the source's sub-folder, "" for its root."""
        return self.tree.source.subdir

    def has(self, path: str) -> bool:
        """Whether the file is there and not ignored."""
        return path not in self.ignored and self.tree.is_file(path)

    def read(self, path: str) -> str | None:
        """The file's text; None when it is not there or ignored."""
        return self.tree.read_text(path) if self.has(path) else None

    def read_lock(self, path: str) -> str:
        """The text of a lock file, which may be larger than other files; "" when it is not there or ignored."""
        return (self.tree.read_text(path, LARGEST_LOCK) or "") if self.has(path) else ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What files ask for; two of these add up.

    `own` are demands for the repository's own package: `text` holds its extras, comma-separated. `dynamic` tells that what
    the package itself requires is known only when it is built.
    """

    files: tuple[str, ...] = ()
    unheard: tuple[UnheardFile, ...] = ()
    python: tuple[Asked, ...] = ()
    requirements: tuple[Asked, ...] = ()
    constraints: tuple[Asked, ...] = ()
    sources: tuple[AskedSource, ...] = ()
    apt: tuple[Asked, ...] = ()
    conda: tuple[CondaAsked, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    own: tuple[Asked, ...] = ()
    build_requirements: tuple[Asked, ...] = ()
    obeyed: tuple[ObeyedLock, ...] = ()
    dynamic: bool = False

    def __add__(self, other: Heard) -> Heard:
        """Everything that either has heard."""
        summed = {name: getattr(self, name) + getattr(other, name) for name in _SUMMED}
        return Heard(**summed, dynamic=self.dynamic or other.dynamic)

    @property
    def own_extras(self) -> frozenset[NormalizedName]:
        """The extras with which the repository's own package is asked for."""
        names = (name.strip() for asked in self.own for name in asked.text.split(","))
        return frozenset(canonicalize_name(name) for name in names if name)

    @property
    def obeys_pixi(self) -> bool:
        """Whether a lock of pixi's is obeyed."""
        return any(asked.tool == "pixi" for asked in self.conda)


_SUMMED = tuple(field.name for field in fields(Heard) if field.name != "dynamic")


def join(folder: str, name: str) -> str:
    """Return the normal form of a path given relative to a folder of the source; it may begin with `..`."""
    path = posixpath.normpath(posixpath.join(folder, name))
    return "" if path == "." else path
