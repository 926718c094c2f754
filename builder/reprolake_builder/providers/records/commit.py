"""The commit of a repository that a record was published from: what says so, and what the release's tag says today.

Source: GitHub's archives lie in a folder OWNER-REPO-SHA; git-archive(1), "the commit ID is … stored in the archive"; the
qualifier `path` of a Software Heritage identifier is that folder's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from reprolake_builder.documents.source import TagState
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.process import printable
from reprolake_builder.providers.git.cache import CommitFacts, GitCache
from reprolake_builder.providers.git.refs import Advertised
from reprolake_builder.providers.links.git import SHORT_ID
from reprolake_builder.providers.links.heritage import Swhid, parse_heritage_link
from reprolake_builder.providers.links.web import WebLink
from reprolake_builder.providers.records.archive import RecordArchive
from reprolake_builder.providers.records.candidates import Candidate, file_tags, guessed_tags
from reprolake_builder.providers.records.record import Record

_ENDS_IN_COMMIT = re.compile(r".+-([0-9a-f]{7,40})")
_LONGEST = 300  # characters of one line
_MOST = 100  # lines


class Chain:
    """What was tried and what decided, line by line, for people."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def say(self, text: str) -> None:
        """Add a line, once."""
        line = printable(text).replace("\n", " ")[:_LONGEST]
        if line not in self._lines and len(self._lines) < _MOST:
            self._lines.append(line)

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines so far."""
        return tuple(self._lines)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A record, its archive and identifier at Software Heritage if it has them, and what is said of them on the way."""

    record: Record
    archive: RecordArchive | None
    swhid: Swhid | None
    chain: Chain = field(compare=False)


@dataclass(frozen=True, slots=True)
class Tie:
    """How a record is tied to a commit: `tag` is the release's ("" for none), `named` whether the record names the commit itself."""

    facts: CommitFacts
    tag: str
    tag_state: TagState
    named: bool


def heritage_of(record: Record) -> Swhid | None:
    """Return the record's identifier of a directory at Software Heritage, None when it has none that is understood."""
    try:
        found = parse_heritage_link(record.swhid) if record.swhid else None
    except ResolveError:
        return None
    return found if found is not None and found.kind == "dir" else None


def find_commit(candidate: Candidate, evidence: Evidence, cache: GitCache) -> Tie | None:
    """Return the commit that was published, of that repository; None when it has none, which the chain then explains.

    A tag decides only where nothing names a commit: tags move. Raises ResolveError when the repository cannot be asked.
    """
    chain, url = evidence.chain, candidate.link.url
    advertised = cache.ask()
    if advertised.moved_to:
        chain.say(f"{url} has moved: the server leads on to {advertised.moved_to}")
    said = (*_linked_tag(candidate.link, advertised, chain), *file_tags(evidence.record, url))
    names = tuple(dict.fromkeys((*said, *guessed_tags(evidence.record))))
    tags = ((name, advertised.refs.get(f"refs/tags/{name}", "")) for name in names)
    tag, at = next((found for found in tags if found[1]), (said[0] if said else "", ""))
    published = _published(candidate.link, evidence, at, advertised, cache)
    if published is None:
        return None
    if published:
        return _at_published(published, tag, at, chain, cache)
    if not at:
        tried = ", ".join(names[:5]) or "the record names none"
        chain.say(f"{url} has no tag of this release ({tried}), and nothing names a commit")
        return None
    chain.say(f"tag {tag} of {url} is {at}")
    facts = _brought(at, chain, cache)
    return Tie(facts, tag, "", named=False) if facts else None


def _at_published(published: str, tag: str, at: str, chain: Chain, cache: GitCache) -> Tie | None:
    url = cache.link.url
    state: TagState = "" if not tag else "missing" if not at else "same" if at == published else "moved"
    if state == "same":
        chain.say(f"tag {tag} of {url} is that commit, {published}")
    elif state == "moved":
        chain.say(f"tag {tag} of {url} has moved: it is {at} today, published was {published}")
    elif state == "missing":
        chain.say(f"{url} has no tag {tag}")
    facts = _brought(published, chain, cache)
    return Tie(facts, tag if at else "", state, named=True) if facts else None


def _brought(commit: str, chain: Chain, cache: GitCache) -> CommitFacts | None:
    try:
        return cache.bring(commit)
    except ResolveError as error:
        if error.transient:
            raise
        chain.say(f"the commit {commit} is not reachable in {cache.link.url}")
        return None


def _published(
    link: WebLink, evidence: Evidence, at: str, advertised: Advertised, cache: GitCache
) -> str | None:
    """Return the full id of the commit that the archive, Software Heritage or the link names, "" when none of them does.

    None when one is named that the repository does not have: then its tag is of something else.
    """
    short = _beginning(evidence)
    if short and at.startswith(short):
        return at
    if full := named_commit(evidence):
        if short and not full.startswith(short):
            evidence.chain.say(f"the archive and Software Heritage disagree: {full} and {short}")
        return full
    short = short or _top_of_archive(evidence)
    if not short:
        if link.commit:
            evidence.chain.say(f"the record's link names the commit {link.commit}")
        return link.commit
    if at.startswith(short):
        return at
    known = {commit for commit in advertised.refs.values() if commit.startswith(short)}
    found = tuple(known) if known else cache.bring_by_prefix(short)
    if len(found) != 1:
        what = "no commit" if not found else f"{len(found)} commits"
        evidence.chain.say(f"{link.url} has {what} beginning with {short}")
        return None
    return found[0]


def _beginning(evidence: Evidence) -> str:
    """Return the beginning of the commit's id in the folder that Software Heritage saw, "" for none."""
    path = evidence.swhid.path if evidence.swhid is not None else ""
    if found := _ENDS_IN_COMMIT.fullmatch(path):
        evidence.chain.say(f"Software Heritage has the record's folder {path}: commit {found[1]}")
        return found[1]
    if path:
        evidence.chain.say(f"Software Heritage has the record's folder {path}, which names no commit")
    return ""


def named_commit(evidence: Evidence) -> str:
    """Return the full id of the commit that the record's archive names, "" for none."""
    if evidence.archive is None:
        return ""
    key = evidence.archive.file.key
    try:
        commit = evidence.archive.commit
    except FetchError as error:
        if error.transient:
            raise  # without its word a tag would decide, which may have moved
        evidence.chain.say(f"the ends of {key} cannot be read")
        return ""
    evidence.chain.say(f"the archive {key} names {f'the commit {commit}' if commit else 'no commit'}")
    return commit


def _top_of_archive(evidence: Evidence) -> str:
    """Return the beginning of the commit's id in the name of the archive's folder, "" for none."""
    try:
        top = evidence.archive.top if evidence.archive is not None else ""
    except FetchError as error:
        if error.transient:
            raise
        return ""
    found = _ENDS_IN_COMMIT.fullmatch(top)
    if found:
        evidence.chain.say(f"the archive's folder is {top}: commit {found[1]}")
    return found[1] if found else ""


def _linked_tag(link: WebLink, advertised: Advertised, chain: Chain) -> tuple[str, ...]:
    """Return the tag that the record's link names; a branch is none, for it moves."""
    rest = (link.ref or link.rest).removeprefix("refs/tags/")
    if not rest or link.commit or rest.startswith("refs/") or SHORT_ID.fullmatch(rest):
        return ()
    parts = rest.split("/")
    begun = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
    if tag := next((name for name in begun if f"refs/tags/{name}" in advertised.refs), ""):
        return (tag,)
    if branch := next((name for name in begun if f"refs/heads/{name}" in advertised.refs), ""):
        chain.say(f"the record's link names the branch {branch}, which is no release")
        return ()
    return (rest,)
