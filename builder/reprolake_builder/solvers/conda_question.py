"""What the solver of conda packages is asked, and what it answers: it runs in a process of its own."""

from __future__ import annotations

from reprolake_builder.documents.base import Document
from reprolake_builder.documents.conda import ChannelName, CondaPackage, Priority, Subdir, VirtualPackage


class Source(Document, frozen=True, kw_only=True):
    """A channel: its name in locks, what specifications call it (a name or an address), and its indexes (host paths)."""

    name: ChannelName
    called: str
    indexes: dict[Subdir, str]


class Question(Document, frozen=True, kw_only=True):
    """`specs` are demands, `added` ones are our own; `constraints` hold for what is taken but demand nothing.

    `kept` are file names of packages that are taken where nothing speaks against it, and no cut-off holds for the names in
    `upgraded`. `sources` come in order of priority. Packages that were built after the cut-off (milliseconds since 1970) do not exist.
    """

    sources: tuple[Source, ...]
    specs: tuple[str, ...]
    added: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    virtual_packages: tuple[VirtualPackage, ...]
    priority: Priority
    cutoff: int | None
    kept: tuple[str, ...] = ()
    upgraded: tuple[str, ...] = ()


class Lacking(Document, frozen=True, kw_only=True):
    """A demand that no package meets: `place` as in Answer's `misread`; the `versions` there are of that name, the newest first.

    `later` is the newest version that would meet it and was built after the cut-off, `near` are names like the one that is not there.
    """

    place: int
    versions: tuple[str, ...] = ()
    later: str = ""
    near: tuple[str, ...] = ()


class Answer(Document, frozen=True, kw_only=True):
    """The packages, sorted by name; or why there are none, in the solver's words. `undated` tells no time of their build.

    `misread` is the place among `specs`, `added` and `constraints`, in that order, of one that means nothing.
    """

    packages: tuple[CondaPackage, ...] = ()
    undated: tuple[str, ...] = ()
    failure: str = ""
    misread: int | None = None
    lacking: tuple[Lacking, ...] = ()
