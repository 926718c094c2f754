"""PinnedSource: what a link turned out to be, named so that it can never mean anything else."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from reprolake_builder.documents.base import CommitId, Document, FolderInside, Moment, Sha256, Size, TreeHash
from reprolake_builder.documents.citation import Citation

Address = Annotated[
    str,
    Meta(
        pattern=r"^https?://[^\s/@\\?#]+(?:/[^\s\x00-\x1f\x7f]*)?$(?!\n)",
        description="an http(s) address without credentials",
    ),
]

ProofState = Literal[
    "equal by SWH directory",  # the record's Software Heritage directory, recomputed from the commit's tree
    "equal to archive",  # every file of the record's archive is that of the commit
    "nearly equal to archive",  # but for the files that `differing` lists
    "commit named by archive",  # the archive or the record names the commit, its files were not compared
    "tag only",  # nothing but the tag's name connects record and commit
    "archive only",  # no repository: the record's files themselves are the source
]

TagState = Literal[
    "",  # no tag is known, or nothing tells which commit it once named
    "same",  # the tag names the commit that was published
    "moved",  # the tag names another commit today than the one published, which is taken
    "missing",  # the published commit is reachable still and taken
]
PROVEN: frozenset[ProofState] = frozenset({"equal by SWH directory", "equal to archive", "archive only"})
"""States in which the source is known to hold what was published."""


class RecordPin(Document, frozen=True, kw_only=True):
    """The record of an archive that a source was found by, and how well the two are connected.

    `site` is the archive's host, `id` the record's own, a version's and never a concept's; `asked` the identifier in the link
    when it was another one (a concept, a paper's DOI). `chain` tells in order what was tried and what decided; `differing` are
    paths in which commit and archive differ, the first hundred of `differences`. (Equal all the same are files that git's own
    attributes leave out of archives or fill in there, and contents that the commit points to in Git LFS.) `citation` is what
    else the record says of what it publishes.
    """

    site: str
    id: str
    doi: str = ""
    concept_doi: str = ""
    version: str = ""
    title: str = ""
    asked: str = ""
    state: ProofState
    tag: TagState = ""
    chain: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    differences: int = 0
    citation: Citation | None = None

    @property
    def words(self) -> str:
        """The state and the tag's in words."""
        count = f" but for {self.differences} files" if self.state == "nearly equal to archive" else ""
        tag = {"moved": ", tag moved since publication", "missing": ", tag missing"}.get(self.tag, "")
        return f"{self.state}{count}{tag}"


class Submodule(Document, frozen=True, kw_only=True):
    """A commit of another repository that a commit has at `path`, relative to the source's root.

    `url` is where it was had from, without credentials; the commit that has it names the commit, and so its tree.
    """

    path: Annotated[FolderInside, Meta(min_length=1)]
    url: str
    commit: CommitId
    tree: TreeHash


class LfsContent(Document, frozen=True, kw_only=True):
    """What Git LFS keeps of a commit: how many files, and their bytes. Pointers in the tree name each by its SHA-256."""

    files: Annotated[int, Meta(ge=1)]
    size: Size


class GitSource(Document, frozen=True, kw_only=True, tag="git", tag_field="kind"):
    """A commit of a git repository, with its submodules and what Git LFS keeps of it.

    `url` carries no credentials; `ref` is what was asked for ("" when nothing was: then the remote's HEAD),
    `subdir` the folder inside the repository that holds the environment files and the notebooks ("" for its root),
    `date` the committer's date in UTC. `tree` is the commit's own, in which submodules are commits and files of Git LFS
    pointers: it determines both. `left` are the submodules that were left as empty folders, and the .gitattributes whose
    files were left as pointers, because that was asked for.
    """

    url: str
    commit: CommitId
    tree: TreeHash
    date: Moment
    ref: str = ""
    subdir: FolderInside = ""
    record: RecordPin | None = None
    submodules: tuple[Submodule, ...] = ()
    lfs: LfsContent | None = None
    left: tuple[str, ...] = ()


class LocalSource(Document, frozen=True, kw_only=True, tag="local", tag_field="kind"):
    """A folder of this host, as its files were when the source was pinned.

    `path` (host path) says where it was; copies that leave this host carry "" there. `tree` is the git tree hash of
    the files on disk (a git work tree: only the tracked ones), without a `reprolake.lock` at the top, which pins the
    others. `commit` is set when the files equal that commit; `dirty` when the folder is tracked by git and they do not. `date` (UTC) is that of the last commit touching the folder,
    else the time of pinning, which `date_is` tells apart.
    """

    path: str
    tree: TreeHash
    date: Moment
    date_is: str  # "commit", "last commit" or "now"
    commit: CommitId | None = None
    dirty: bool = False
    subdir: FolderInside = ""


class PinnedFile(Document, frozen=True, kw_only=True):
    """A file behind an address. `name` is its path in the source; with `unpacked` it is an archive whose content is taken."""

    name: Annotated[FolderInside, Meta(min_length=1)]
    url: Address
    size: Size
    sha256: Sha256
    unpacked: bool = False


class FilesSource(Document, frozen=True, kw_only=True, tag="files", tag_field="kind"):
    """Files that a record or an address offers, archives among them unpacked.

    `url` is the page or address for people; `tree` the git tree hash of the files as they are laid out, `date` that of the
    publication, which `date_is` says ("published", "last modified" or "now").
    """

    url: Address
    files: tuple[PinnedFile, ...]
    tree: TreeHash
    date: Moment
    date_is: str
    subdir: FolderInside = ""
    record: RecordPin | None = None


class MercurialSource(Document, frozen=True, kw_only=True, tag="hg", tag_field="kind"):
    """A changeset of a Mercurial repository.

    `url` carries no credentials; `node` is the changeset's full id and `tree` the git tree hash of its files; `ref` is what was
    asked for ("" when nothing was: then the newest changeset of the branch "default"), `date` the changeset's in UTC.
    """

    url: Address
    node: Annotated[
        str, Meta(pattern=r"^[0-9a-f]{40}$(?!\n)", description="full id of a Mercurial changeset")
    ]
    tree: TreeHash
    date: Moment
    ref: str = ""
    subdir: FolderInside = ""

    @property
    def commit(self) -> str:
        """The changeset's id, by the word of the other kinds."""
        return self.node

    @property
    def date_is(self) -> str:
        """What the date is that of."""
        return "commit"


class HeritageSource(Document, frozen=True, kw_only=True, tag="swh", tag_field="kind"):
    """A folder that Software Heritage keeps, under the identifier swh:1:dir: and `tree`, which its files give by themselves.

    `url` is the archive's page for people. `commit` is the one whose root the folder is, when one was named; then `date`
    is that commit's, which `date_is` says ("commit", else "now"). `origin` is where the archive saw it, "" when not known.
    """

    url: Address
    tree: TreeHash
    date: Moment
    date_is: str
    commit: CommitId | None = None
    origin: str = ""
    subdir: FolderInside = ""
    record: RecordPin | None = None


PinnedSource = GitSource | LocalSource | FilesSource | MercurialSource | HeritageSource


def record_of(source: PinnedSource) -> RecordPin | None:
    """Return the record that a source was found by, None when it was by none."""
    return None if isinstance(source, LocalSource | MercurialSource) else source.record
