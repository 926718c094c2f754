"""Whether a commit holds what a record published: by its directory at Software Heritage, else by its archive, file by file.

Software Heritage names a directory by the hash of a git tree object. The directory of a record holds one entry, the folder
that its archive has at the top, and that folder is the commit's tree: so the name can be computed without the archive.

Source: ISO/IEC 18670 (SWHID 1.2), "directory"; git-archive(1), "ATTRIBUTES"; the specification of Git LFS, "The Pointer".
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from reprolake_builder.archives.tars import tar_members
from reprolake_builder.archives.unpack import unpack
from reprolake_builder.documents.source import ProofState
from reprolake_builder.errors import AnswerError
from reprolake_builder.git_tree import (
    EXECUTABLE,
    FILE,
    FOLDER,
    MOST_BYTES,
    SUBMODULE,
    TreeError,
    TreeHasher,
    check_extent,
    folder_hash,
    folders_of,
    shown,
)
from reprolake_builder.providers.git.cache import CommitFacts
from reprolake_builder.providers.git.command import Git
from reprolake_builder.providers.git.pointers import LONGEST, parse_pointer
from reprolake_builder.providers.git.rows import Patient
from reprolake_builder.providers.links.heritage import Swhid
from reprolake_builder.providers.records.archive import RecordArchive
from reprolake_builder.providers.records.commit import Chain, Evidence, Tie

SHOWN = 100
"""So many differing paths are listed."""
_MOST_POINTERS = 2000
# Whoever moves a tag can write attributes that keep from every comparison what was added since.
_HIDDEN = (
    "git's attributes alone explain what differs, and nothing but a tag names the commit: that proves nothing"
)
_ALONE = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "HOME": "/nonexistent",
    "XDG_CONFIG_HOME": "/nonexistent",
}
Files = dict[bytes, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Proof:
    """What a comparison gave; `state` is None when the commit holds something else than what was published."""

    state: ProofState | None
    differing: tuple[str, ...] = ()
    differences: int = 0


class _Hashes(TreeHasher):
    """A tree's files, with the SHA-256 of each content too."""

    def __init__(self) -> None:
        super().__init__()
        self.sha256: dict[bytes, str] = {}

    @contextlib.contextmanager
    def _sink(self, path: bytes, *, executable: bool) -> Iterator[Callable[[bytes], object]]:
        digest = hashlib.sha256()
        with super()._sink(path, executable=executable):
            yield digest.update
        self.sha256[path] = digest.hexdigest()

    @property
    def files(self) -> Files:
        """Mode and object id of each path."""
        return {path: row for path, row in self.blobs.items() if row[0] != FOLDER}


def prove(tie: Tie, evidence: Evidence, git: Git) -> Proof:
    """Return how well the commit is known to hold what was published. Raises FetchError for an archive that arrives damaged."""
    chain = evidence.chain
    weak: ProofState = "commit named by archive" if tie.named else "tag only"
    if evidence.swhid is not None:
        if (how := equals_heritage(evidence.swhid, tie.facts, git)) is not None:
            chain.say(f"{evidence.swhid.core} is the directory of commit {tie.facts.commit}{how}")
            return _as_archived(tie, git, chain) if how else Proof("equal by SWH directory")
        chain.say(f"{evidence.swhid.core} is not computed from the tree of commit {tie.facts.commit}")
    if evidence.archive is None:
        chain.say("the record has no archive to compare the commit with")
        return Proof(weak)
    file = evidence.archive.file
    if file.size > evidence.archive.most:
        chain.say(
            f"{file.key} has {file.size / 1e6:.0f} MB and was not fetched to be compared; --require-proof does it"
        )
        return Proof(weak)
    try:
        return _compare(evidence.archive, tie, git, chain)
    except AnswerError as error:
        if error.transient:
            raise
        chain.say(f"{file.key} is not given to us: status {error.status}")
    except TreeError as error:
        chain.say(f"{file.key} cannot be compared with the commit: {error}")
    return Proof(weak)


def equals_heritage(swhid: Swhid, facts: CommitFacts, git: Git) -> str | None:
    """Return how a directory at Software Heritage is that of the commit ("" for plainly), None when it is not."""
    if is_named(swhid, facts.tree):
        return ""
    try:
        archived = _archived(git, facts.commit)
    except TreeError:
        return None
    return ", as git archives it" if is_named(swhid, archived.tree_hash) else None


def is_named(swhid: Swhid, tree: str) -> bool:
    """Whether a directory at Software Heritage is a tree, or holds nothing but that tree at its `path`."""
    inside = bytes.fromhex(tree)
    for name in reversed(swhid.path.encode().split(b"/") if swhid.path else []):
        inside = folder_hash([(name, FOLDER, inside)])
    return swhid.hash in {tree, inside.hex()}


def _archived(git: Git, commit: str) -> _Hashes:
    """Return what git's own archive of a commit holds: its attributes leave files out and fill words in.

    Settings of the user are left aside: the commit alone decides. Raises TreeError.
    """
    found = _Hashes()
    alone = Git(git.place, {**git.env, **_ALONE})
    folders: set[bytes] = set()
    with alone.converse("archive", "--format=tar", commit) as (_, stream):
        for member in tar_members(io.BufferedReader(Patient(stream)), MOST_BYTES):
            path = member.path.rstrip(b"/")
            if member.kind == "folder":
                check_extent(len(folders), 0)
                folders.add(path)
            elif member.kind == "link":
                found.symlink(path, member.target)
            else:
                found.file(path, member.size, member.pieces(), executable=member.executable)
    for path in folders - folders_of([*found.blobs, *folders]):
        found.empty_folder(path)  # a submodule's place
    return found


def _as_archived(tie: Tie, git: Git, chain: Chain) -> Proof:
    """Return what is known of a commit of which Software Heritage has what git archives."""
    try:
        differing = _differing(_archived(git, tie.facts.commit).files, _committed(git, tie.facts))
    except TreeError as error:
        chain.say(f"the commit cannot be compared with what git archives of it: {error}")
        return Proof("commit named by archive" if tie.named else "tag only")
    names = tuple(shown(path) for path in sorted(differing)[:SHOWN])
    if differing and not tie.named:
        chain.say(_HIDDEN)
        return Proof("nearly equal to archive", names, len(differing))
    return Proof("equal by SWH directory", names, len(differing))


def _compare(archive: RecordArchive, tie: Tie, git: Git, chain: Chain) -> Proof:
    """Return what the archive's files say of the commit. Raises FetchError, and TreeError for archives that hold no tree."""
    facts, taken = tie.facts, _Hashes()
    told = unpack(archive.fetched(), archive.file.key, taken)
    published, committed = taken.files, _committed(git, facts)
    differing = _differing(published, committed)
    modes = {path for path in differing if _is_mode_only(published.get(path), committed.get(path))}
    explained = set(modes)
    hidden: set[bytes] = set()
    if differing - explained:
        archived = _archived(git, facts.commit).files
        hidden = {path for path in differing - modes if published.get(path) == archived.get(path)}
        explained |= hidden
        explained |= _in_lfs(differing - explained, taken, committed, git)
    left = sorted(differing - explained)
    key, total = archive.file.key, max(len(published | committed), 1)
    for note in told.notes:
        chain.say(f"{key}: {note}")
    if modes:
        chain.say(f"{key}: {len(modes)} files differ in nothing but whether they are executable")
    if explained - modes:
        chain.say(
            f"{key}: {len(explained - modes)} files differ as git's attributes and Git LFS make them differ"
        )
    if len(left) * 2 > total:
        chain.say(
            f"{key} holds something else than commit {facts.commit}: {len(left)} of {total} files differ"
        )
        return Proof(None)
    names = tuple(shown(path) for path in sorted(differing)[:SHOWN])
    if left:
        chain.say(f"{key} equals commit {facts.commit} but for {len(left)} of {total} files")
        return Proof("nearly equal to archive", names, len(differing))
    if hidden and not tie.named:
        chain.say(_HIDDEN)
        return Proof("nearly equal to archive", names, len(differing))
    chain.say(f"{key} equals commit {facts.commit}: {total} files compared")
    return Proof("equal to archive", names, len(differing))


def _committed(git: Git, facts: CommitFacts) -> Files:
    """Return mode and object id of the files of a commit; submodules are none of its files."""
    listed = git.run("ls-tree", "-r", "-z", "--full-tree", facts.tree)
    if listed.returncode:
        raise TreeError(f"git cannot list the commit's files: {listed.tail}")
    found: Files = {}
    for line in filter(None, listed.stdout.split(b"\0")):
        head, _, path = line.partition(b"\t")
        mode, _, object_id = head.split()
        if int(mode, 8) != SUBMODULE:
            check_extent(len(found), 0)
            found[path] = (FILE if mode == b"100664" else int(mode, 8), object_id.decode())
    return found


def _differing(one: Files, other: Files) -> set[bytes]:
    return {path for path in one.keys() | other.keys() if one.get(path) != other.get(path)}


def _is_mode_only(one: tuple[int, str] | None, other: tuple[int, str] | None) -> bool:
    modes = {FILE, EXECUTABLE}
    return one is not None and other is not None and one[1] == other[1] and {one[0], other[0]} <= modes


def _in_lfs(paths: Iterable[bytes], taken: _Hashes, committed: Files, git: Git) -> set[bytes]:
    """Return those of the paths that the commit has as a pointer of Git LFS to the very content in the archive."""
    found = set()
    for path in sorted(paths)[:_MOST_POINTERS]:
        if path not in taken.sha256 or path not in committed:
            continue
        blob = committed[path][1]
        size = git.run("cat-file", "-s", blob).stdout.strip()
        if size.isdigit() and int(size) <= LONGEST:
            pointer = parse_pointer(git.run("cat-file", "blob", blob).stdout)
            if pointer and pointer.sha256 == taken.sha256[path]:
                found.add(path)
    return found
