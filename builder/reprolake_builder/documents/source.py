"""PinnedSource: what a link turned out to be, named so that it can never mean anything else."""

from __future__ import annotations

from reprolake_builder.documents.base import CommitId, Document, FolderInside, Moment, TreeHash


class GitSource(Document, frozen=True, kw_only=True, tag="git", tag_field="kind"):
    """A commit of a git repository.

    `url` carries no credentials; `ref` is what was asked for ("" when nothing was: then the remote's HEAD),
    `subdir` the folder inside the repository that holds the environment files and the notebooks ("" for its root),
    `date` the committer's date in UTC.
    """

    url: str
    commit: CommitId
    tree: TreeHash
    date: Moment
    ref: str = ""
    subdir: FolderInside = ""


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


PinnedSource = GitSource | LocalSource
