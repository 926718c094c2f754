"""The repository behind a record, asked for step by step in the order of likelihood, and the commit that was published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.inward import leads_inward
from reprolake_builder.providers.git.cache import opened
from reprolake_builder.providers.git.command import BUSY
from reprolake_builder.providers.links.git import GitLink
from reprolake_builder.providers.records.candidates import Candidate, described, mentioned, named_by_files
from reprolake_builder.providers.records.commit import Evidence, Tie, find_commit
from reprolake_builder.providers.records.inside import beside_the_archive, inside_the_archive
from reprolake_builder.providers.records.proof import Proof, prove
from reprolake_builder.tools import Tools

_STRENGTH = (
    "equal by SWH directory",
    "equal to archive",
    "nearly equal to archive",
    "commit named by archive",
    "tag only",
)


@dataclass(frozen=True, slots=True)
class Connected:
    """A repository with the commit that was published, and how well that is known; `folders` are those at its root."""

    url: str
    tie: Tie
    proof: Proof
    has_subdir: bool
    folders: tuple[str, ...]

    @property
    def rank(self) -> int:
        """Its place among others, the best first."""
        return _STRENGTH.index(self.proof.state or "tag only")

    @property
    def is_proven(self) -> bool:
        """Whether files were compared, and all of them are the same."""
        return self.rank < 2


def connect(
    evidence: Evidence, subdir: str, tools: Tools
) -> tuple[Connected | None, tuple[Candidate, ...] | None]:
    """Return the repository that the record was published from, None when there is none to be had.

    Also those that are gone or have lost what was published; None when all that were named have something else in its place.
    Raises ResolveError when a server fails that may work later.
    """
    chain = evidence.chain
    best: Connected | None = None
    seen: dict[str, Candidate] = {}
    lost: list[Candidate] = []
    for step in _steps(evidence, tools):
        for candidate in step:
            url = candidate.link.url
            if url in seen:
                continue
            if leads_inward(evidence.record.page, url, tools.site.gateways):
                chain.say(f"not taken: {url}, an address of this host or its network ({candidate.origin})")
                continue
            seen[url] = candidate
            if best is not None and best.is_proven:
                continue
            chain.say(f"{candidate.origin}: repository {url}")
            found = _try(candidate, evidence, subdir, tools)
            if found is None:
                lost.append(candidate)
            elif found.proof.state is not None and (best is None or found.rank < best.rank):
                best = found
        if best is not None:
            break
    for url, candidate in seen.items():
        if best is not None and url != best.url:
            chain.say(f"not taken: {url} ({candidate.origin})")
    if best is None:
        for url in mentioned(evidence.record):
            chain.say(f"the description mentions {url}, which is not taken: give that link when it is meant")
    return best, tuple(lost) if lost or not seen else None


def _steps(evidence: Evidence, tools: Tools) -> Iterator[tuple[Candidate, ...]]:
    """Yield the candidates of one step after the other; a step's questions are asked when the one before gave nothing."""
    record, archive, chain = evidence.record, evidence.archive, evidence.chain
    if found := described(record):
        yield found
    else:
        chain.say("the record's related identifiers and fields name no repository")
    try:
        yield beside_the_archive(record, tools)
        if archive is not None:
            yield inside_the_archive(archive)
    except FetchError as error:
        if error.transient:
            raise ResolveError(error.message, hint=error.hint, transient=True) from error
        tools.progress.note(error.message)
        chain.say("files of the record cannot be looked into")
    top = evidence.swhid.path if evidence.swhid is not None else ""
    yield named_by_files(record, top)


def _try(candidate: Candidate, evidence: Evidence, subdir: str, tools: Tools) -> Connected | None:
    """Return what the repository has, whatever the proof says of it; None when it is gone or has not what was published."""
    url = candidate.link.url
    try:
        with opened(tools, GitLink(url), ResolveError) as cache:
            tie = find_commit(candidate, evidence, cache)
            if tie is None:
                return None
            proof = prove(tie, evidence, cache.git)
            commit = tie.facts.commit
            inside = not subdir or cache.has_folder(commit, subdir)
            folders = () if inside else cache.top_folders(commit)
    except FetchError as error:
        raise ResolveError(error.message, hint=error.hint, transient=error.transient) from error
    except ResolveError as error:
        if BUSY.search(error.message):
            raise  # it is there, and another answer today would be another source tomorrow
        # A pin names no address by which this site alone reaches others: the reason is for whoever waits here.
        tools.progress.note(error.message)
        evidence.chain.say(f"not taken: {url} cannot be {'reached' if error.transient else 'read'}")
        return None
    return Connected(url, tie, proof, inside, folders)
