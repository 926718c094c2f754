"""The commit behind a record where no forge has it any more: Software Heritage's copy, proven to be what was published.

Source: the documentation of swh-web's API, /api/1/revision/ and /api/1/origin/…/visit/latest/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from reprolake_builder.archives.unpack import unpack
from reprolake_builder.documents.source import ProofState
from reprolake_builder.errors import AnswerError, FetchError, ResolveError
from reprolake_builder.git_tree import TreeError, TreeHasher
from reprolake_builder.providers.answers import as_resolve_error
from reprolake_builder.providers.heritage.walk import Named, Walk
from reprolake_builder.providers.links.heritage import Swhid
from reprolake_builder.providers.records.candidates import Candidate, file_tags, guessed_tags
from reprolake_builder.providers.records.commit import Evidence, named_commit
from reprolake_builder.providers.records.proof import is_named
from reprolake_builder.tools import Tools

_MOST_ORIGINS = 3  # the archive answers few questions an hour
_MOST_TAGS = 4


@dataclass(frozen=True, slots=True)
class Kept:
    """A commit's folder that Software Heritage keeps, and why it is known to be what the record published."""

    named: Named
    state: ProofState


def kept_by_heritage(evidence: Evidence, candidates: Sequence[Candidate], tools: Tools) -> Kept | None:
    """Return the published commit as Software Heritage has it, None when it has none that is proven; the chain tells.

    It is asked for the commit that the record or its archive names, then for the release's tag in the repositories. Raises
    ResolveError when the archive is busy: another answer later would be another source.
    """
    chain, seen = evidence.chain, set[str]()
    for ask in _questions(evidence, candidates, tools):
        try:
            named = ask()
        except ResolveError as error:
            if isinstance(error.__cause__, AnswerError) and error.transient:
                raise
            if error.__cause__ is None:
                chain.say(error.message)
                continue
            tools.progress.note(
                error.message
            )  # a pin names no address by which this site alone reaches others
            chain.say("Software Heritage cannot be asked")
            return None
        if named is None or named.revision is None or named.directory in seen:
            continue
        seen.add(named.directory)
        for line in named.chain:
            chain.say(line)
        if (state := _proven(named.directory, evidence)) is not None:
            chain.say(f"Software Heritage keeps what was published: swh:1:dir:{named.directory}")
            return Kept(named, state)
    return None


def _questions(
    evidence: Evidence, candidates: Sequence[Candidate], tools: Tools
) -> Iterator[Callable[[], Named | None]]:
    """Yield the questions to Software Heritage, the likeliest first."""
    try:
        named = named_commit(evidence)
    except FetchError as error:
        raise as_resolve_error(error) from error
    for commit in filter(None, dict.fromkeys((named, *(one.link.commit for one in candidates)))):
        yield partial(Walk(tools).follow, Swhid("rev", commit))
    for candidate in candidates[:_MOST_ORIGINS]:
        tags = _tags(candidate, evidence)[:_MOST_TAGS]
        plain = candidate.link.url.removesuffix(".git")
        for origin in (plain, f"{plain}.git") if tags else ():
            yield partial(Walk(tools).tagged, origin, tags)


def _tags(candidate: Candidate, evidence: Evidence) -> tuple[str, ...]:
    link, record = candidate.link, evidence.record
    linked = "" if link.commit else (link.ref or link.rest).removeprefix("refs/tags/")
    found = (linked, *file_tags(record, link.url), *guessed_tags(record))
    return tuple(dict.fromkeys(tag for tag in found if tag and not tag.startswith("refs/")))


def _proven(directory: str, evidence: Evidence) -> ProofState | None:
    """Return why a directory (its hash) is known to be what the record published, None when it is not known."""
    chain, archive = evidence.chain, evidence.archive
    if evidence.swhid is not None and is_named(evidence.swhid, directory):
        chain.say(f"{evidence.swhid.core} is computed from the folder swh:1:dir:{directory}")
        return "equal by SWH directory"
    if archive is None:
        chain.say("the record has no archive to compare Software Heritage's folder with")
        return None
    key, taken = archive.file.key, TreeHasher()
    try:
        unpack(archive.fetched(), key, taken)
    except AnswerError as error:
        if error.transient:
            raise as_resolve_error(error) from error
        chain.say(f"{key} is not given to us: status {error.status}")
        return None
    except FetchError as error:
        raise as_resolve_error(error) from error
    except TreeError as error:
        chain.say(f"{key} cannot be compared with Software Heritage's folder: {error}")
        return None
    if taken.tree_hash != directory:
        chain.say(f"{key} has the tree {taken.tree_hash}, and not Software Heritage's {directory}")
        return None
    chain.say(f"{key} has the very files of Software Heritage's folder, tree {directory}")
    return "equal to archive"
