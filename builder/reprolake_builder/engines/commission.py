"""What wheels are built for: the source, what it asks for besides an index, and the date."""

from __future__ import annotations

from dataclasses import dataclass, replace

from packaging.utils import NormalizedName
from packaging.version import Version

from reprolake_builder.documents.environment import Asked, AskedSource
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.conda_base import CondaBase
from reprolake_builder.solvers.kept import Kept
from reprolake_builder.solvers.pypi_sdists import Search
from reprolake_builder.solvers.pypi_supply import Lack
from reprolake_builder.source_tree import SourceTree


@dataclass(frozen=True, slots=True)
class Commission:
    """What a workshop works for: the source, its Debian packages, the cut-off, and packages asked for by where they are.

    `toolchain` are Debian packages that builds need beside the compilers; `conda` are conda packages with the only Python there is.
    `kept` is what stays of an earlier lock.
    """

    tree: SourceTree
    apt: tuple[Asked, ...]
    as_of: AsOf
    sources: tuple[AskedSource, ...] = ()
    toolchain: tuple[Asked, ...] = ()
    conda: CondaBase | None = None
    kept: Kept | None = None

    def search(self, name: NormalizedName, lack: Lack, tried: frozenset[Version]) -> Search:
        """Return what to look for where a wheel is lacking: not the `tried` versions."""
        version = self.kept.version(name) if self.kept is not None else None
        cutoff = None if lack.locked else self.as_of.cutoff
        found = Search(name, lack.target, cutoff, lack.demands, lack.words, tried, lack.locked)
        return replace(found, preferred=version)
