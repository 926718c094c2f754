"""Sources named by Software Heritage: the commit at its origin where that still has it, else the archive's own copy.

Either way the identifier proves the content: it is the hash of the folder's files, computed here anew.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.source import GitSource, HeritageSource, RecordPin
from reprolake_builder.errors import BuilderError, FetchError, ResolveError
from reprolake_builder.process import printable
from reprolake_builder.providers.git.cache import opened
from reprolake_builder.providers.git.command import BUSY
from reprolake_builder.providers.git.provider import pin_commit
from reprolake_builder.providers.heritage.objects import Revision
from reprolake_builder.providers.heritage.walk import Named, Walk
from reprolake_builder.providers.interface import LinkRequest, checked_subdir, one_answer
from reprolake_builder.providers.links.git import GitLink, parse_git_link
from reprolake_builder.providers.links.heritage import SITE, Swhid, is_heritage_link, parse_heritage_link
from reprolake_builder.tools import Tools

_SEEN = "swh-revisions"


class HeritageProvider:
    """An identifier of Software Heritage, or a page of its archive."""

    def recognises(self, link: str) -> bool:
        """Whether the link is one of Software Heritage."""
        return is_heritage_link(link)

    def notebook_in(self, link: str) -> str:
        """Return the notebook that a link shows, by its path in the folder, "" for none. Raises ResolveError."""
        inside = parse_heritage_link(link).inside
        return inside if inside.endswith(".ipynb") else ""

    def resolve(self, request: LinkRequest, tools: Tools) -> GitSource | HeritageSource:
        """Return the commit at its origin, else the folder that the archive keeps. Raises ResolveError."""
        swhid = parse_heritage_link(request.link)
        if request.ref and swhid.kind not in {"snp", "ori"}:
            raise ResolveError(
                f"{swhid.core} names one state already: --ref {printable(request.ref)} has no meaning for it",
                hint="leave --ref away; a snapshot or an origin has branches and tags",
            )
        name = one_answer("ref", swhid.branch, request.ref, "--ref")
        named = Walk(tools, name, request.locked).follow(swhid)
        inside = "" if swhid.inside.endswith(".ipynb") else swhid.inside
        subdir = one_answer("sub-folder", inside, checked_subdir(request.subdir), "--subdir")
        chain, wanted = list(named.chain), request.take != "archive"
        if wanted and (found := _from_git(swhid, named, subdir, chain, tools)) is not None:
            return msgspec.structs.replace(found, record=_pin(swhid, named, chain))
        if request.take == "repo":
            raise ResolveError(
                f"no repository has {swhid.core} any more: " + (chain[-1] if chain else "none is known"),
                hint="leave --source away: the archive's own copy is as good, its files prove themselves",
            )
        chain.append(f"the files come from the archive, and prove themselves by swh:1:dir:{named.directory}")
        return kept_there(named, subdir, _pin(swhid, named, chain), request, tools)


def kept_there(
    named: Named, subdir: str, record: RecordPin, request: LinkRequest, tools: Tools
) -> HeritageSource:
    """Return the folder that the archive keeps, as a source."""
    moment = named.revision.moment if named.revision is not None else None
    source = HeritageSource(
        url=f"https://{SITE}/swh:1:dir:{named.directory}",
        tree=named.directory,
        date=moment or request.now,
        date_is="commit" if moment else "now",
        commit=named.revision.id if named.revision else None,
        origin=named.origin,
        subdir=subdir,
        record=record,
    )
    _remember(source, tools)
    return source


def prove_heritage(source: HeritageSource, tools: Tools) -> None:
    """Return when the pinned commit has the pinned folder and date at Software Heritage; what was seen once is remembered.

    Raises FetchError otherwise: the folder proves its files, but a lock could claim any commit and address for it.
    """
    if source.url != f"https://{SITE}/swh:1:dir:{source.tree}":
        raise FetchError(
            f"the folder swh:1:dir:{source.tree} has not the address {printable(source.url)}",
            hint="the lock was changed by hand; make a new one with `reprolake lock`",
        )
    if source.commit is None or tools.store.get(_SEEN, _seen_key(source), HeritageSource) is not None:
        return
    try:
        found = Walk(tools).follow(Swhid("rev", source.commit)).revision
    except ResolveError as error:
        raise FetchError(error.message, hint=error.hint, transient=error.transient) from error
    moment = source.date if source.date_is == "commit" else None
    if found is None or (found.directory, found.moment) != (source.tree, moment):
        raise FetchError(
            f"swh:1:rev:{source.commit} has another folder or date than the pinned {source.tree} of {source.date}",
            hint="the lock was changed by hand; make a new one with `reprolake lock`",
        )
    _remember(source, tools)


def _from_git(swhid: Swhid, named: Named, subdir: str, chain: list[str], tools: Tools) -> GitSource | None:
    """Return the commit as its origin has it, None when it has not; `chain` tells why."""
    commit = named.revision or named.anchored
    if commit is None or commit.type != "git" or not named.origin:
        return None
    below = swhid.path if named.revision is None else ""
    try:
        link = parse_git_link(named.origin)
        if not link.url.startswith(("https://", "http://", "git://")) or link.ref or link.login:
            raise ResolveError(f"{printable(named.origin)} is no address of a public git repository")
        with opened(tools, link, ResolveError) as cache:
            facts = cache.bring(commit.id)
            wanted = f"{commit.id}:{below}" if below else f"{commit.id}^{{tree}}"
            told = cache.git.run("rev-parse", "--verify", "--quiet", "--end-of-options", wanted)
            tree = told.stdout.decode("ascii", "replace").strip()
            if tree != named.directory:
                raise ResolveError(f"{link.url} has another folder than swh:1:dir:{named.directory} there")
            inside = "/".join(filter(None, (below, subdir)))
            source = pin_commit(GitLink(link.url, subdir=inside), facts, cache)
    except BuilderError as error:
        if BUSY.search(error.message):
            raise  # it is there, and another answer today would be another source tomorrow
        chain.append(f"not from {printable(named.origin)}: {error.message}")
        return None
    chain.append(f"{link.url} still has the commit {commit.id}, with the same folder")
    return source


def _pin(swhid: Swhid, named: Named, chain: list[str]) -> RecordPin:
    commit: Revision | None = named.revision or named.anchored
    decided = f"swh:1:rev:{commit.id}" if commit else f"swh:1:dir:{named.directory}"
    return RecordPin(
        site=SITE,
        id=decided,
        asked=swhid.core if swhid.core != decided else "",
        state="equal by SWH directory",
        chain=tuple(chain),
    )


def _remember(source: HeritageSource, tools: Tools) -> None:
    tools.store.put(_SEEN, _seen_key(source), source)


def _seen_key(source: HeritageSource) -> str:
    return content_hash([source.commit, source.tree, _utc(source.date)])


def _utc(moment: datetime) -> float:
    return moment.timestamp()
