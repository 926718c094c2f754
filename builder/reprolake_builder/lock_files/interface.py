"""What the readers of lock files give: packages at versions, with the files that may serve, and how one leads to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName

from reprolake_builder.documents.base import Sha256
from reprolake_builder.documents.environment import Asked

Tool = Literal["uv", "pylock", "Poetry", "PDM", "Pipenv"]


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a project is wanted: extras and dependency groups by normalised name.

    `defaults` tells whether the groups come too that the project's tool installs when it is told nothing.
    """

    extras: frozenset[NormalizedName] = frozenset()
    groups: frozenset[NormalizedName] = frozenset()
    defaults: bool = True


@dataclass(frozen=True, slots=True)
class LockedFile:
    """A file that may serve for a package; `name` and `sha256` are "" where the lock does not tell them."""

    name: str
    sha256: Sha256 | Literal[""]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a package is that comes from no index: a git repository, an archive, or a folder relative to the file's own.

    `ref` is the commit where a lock speaks. An archive without a `url` lies at `path` in the repository itself;
    `sha256` are those that the file has for it.
    """

    kind: Literal["git", "archive", "folder"]
    url: str = ""
    ref: str = ""
    path: str = ""
    subdir: str = ""
    sha256: tuple[Sha256, ...] = ()

    @property
    def is_own(self) -> bool:
        """Whether it is the folder that the file itself lies in."""
        return self.kind == "folder" and not self.path


@dataclass(frozen=True, slots=True)
class Edge:
    """A demand of one package for another, or of the user: any of the versions that one of `specifiers` holds.

    No specifier allows all, `version` names the one. The marker may speak of extras and groups as lock files do.
    """

    name: NormalizedName
    version: str = ""
    extras: frozenset[NormalizedName] = frozenset()
    marker: Marker | None = None
    specifiers: tuple[SpecifierSet, ...] = ()


@dataclass(frozen=True, slots=True)
class Pin:
    """A package as the lock has it; `version` is "" where only the package's own build tells it.

    `markers` tell for which machines this entry is meant where there are several for one name: one of them must hold.
    `extras` hold what each extra asks for beyond `requires`.
    """

    name: NormalizedName
    version: str
    origin: str
    files: tuple[LockedFile, ...] = ()
    place: Place | None = None
    markers: tuple[Marker, ...] = ()
    requires: tuple[Edge, ...] = ()
    extras: Mapping[NormalizedName, tuple[Edge, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LockFile:
    """A lock file, read for a selection: what the `roots` lead to belongs to the environment.

    `extras` and `groups` are those that markers may speak of. `python` are the versions that it was made for. `own` is the
    name of the repository's own package, "" when the lock knows of none; `has_own` tells whether that gets installed itself.
    `hash_matches` is None for a lock that does not tell what it was made of.
    """

    path: str
    tool: Tool
    pins: tuple[Pin, ...]
    roots: tuple[Edge, ...]
    extras: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    python: tuple[Asked, ...] = ()
    environments: tuple[Marker, ...] = ()
    own: str = ""
    has_own: bool = False
    hash_matches: bool | None = None
