"""Records of Zenodo and other InvenioRDM sites: the repository that was published, or the files themselves."""

from __future__ import annotations

from collections.abc import Iterable

from reprolake_builder.documents.source import (
    PROVEN,
    FilesSource,
    GitSource,
    PinnedSource,
    RecordPin,
    TagState,
)
from reprolake_builder.download import Offer
from reprolake_builder.errors import ResolveError
from reprolake_builder.process import printable
from reprolake_builder.providers.files import Offering, pin_files
from reprolake_builder.providers.heritage.provider import kept_there
from reprolake_builder.providers.interface import LinkRequest, checked_subdir
from reprolake_builder.providers.links.records import parse_record_link
from reprolake_builder.providers.records.archive import main_archive
from reprolake_builder.providers.records.candidates import described
from reprolake_builder.providers.records.client import Found, find_record
from reprolake_builder.providers.records.commit import Chain, Evidence, heritage_of
from reprolake_builder.providers.records.heritage import kept_by_heritage
from reprolake_builder.providers.records.proof import Proof
from reprolake_builder.providers.records.record import Record, RecordFile
from reprolake_builder.providers.records.repository import Connected, connect
from reprolake_builder.tools import Tools

COMPARED = 256 << 20  # bytes: a larger archive is fetched for a comparison only when a proof is required
_MOST = 1 << 50
_CODE = ("software", "workflow", "other", "lesson", "computational")
_PAPER = (".pdf", ".ps", ".doc", ".docx", ".odt", ".ppt", ".pptx")


def _ref_behind(link: str) -> str:
    """Return REF where a link is a record's and @REF, as repositories have it, "" for others."""
    place, _, ref = link.rpartition("@")
    record = parse_record_link(place) if place and parse_record_link(link) is None else None
    return ref if record is not None and record.id and record.is_certain else ""


def _one_version(said: str) -> ResolveError:
    return ResolveError(
        f"a record is one version, which {printable(said)} cannot change",
        hint="leave that away, or give the repository itself: URL@REF",
    )


class InvenioProvider:
    """Zenodo, its sandbox, CaltechDATA, CERN's repository, and any other site whose API answers as theirs do."""

    def recognises(self, link: str) -> bool:
        """Whether the text has the form of a record's link."""
        return parse_record_link(link) is not None or bool(_ref_behind(link))

    def resolve(self, request: LinkRequest, tools: Tools) -> PinnedSource | None:
        """Return the commit that the record was published from, or its own files. Raises ResolveError."""
        if ref := _ref_behind(request.link):
            raise _one_version(f"@{ref}")
        link = parse_record_link(request.link)
        found = find_record(link, request, tools) if link is not None else None
        if found is None:
            return None
        if request.ref:
            raise _one_version(f"--ref {request.ref}")
        chain = Chain()
        chain.say(f"the record is {found.record.name}")
        if found.asked:
            chain.say(
                f"{found.asked} stands for the newest version, which is {found.record.doi or found.record.id}"
            )
        return _resolve(found, link.file if link else "", request, chain, tools)


def _resolve(found: Found, file: str, request: LinkRequest, chain: Chain, tools: Tools) -> PinnedSource:
    record, subdir = found.record, checked_subdir(request.subdir)
    if record.access != "open":
        chain.say(f"access to the record's files is {record.access}")
    if request.take == "archive":
        chain.say("--source archive: the record's own files are wanted")
        return _files(found, file, request, chain, tools)
    most = _MOST if request.require_proof else COMPARED
    archive = main_archive(record, (candidate.link.url for candidate in described(record)), most, tools)
    evidence = Evidence(record, archive, heritage_of(record), chain)
    best, lost = connect(evidence, subdir, tools)
    if best is not None:
        return _commit(best, found, request, chain, tools)
    if request.take == "repo":
        raise ResolveError(
            f"no repository was found for {record.name}:\n" + _listed(chain),
            hint="--source archive takes the record's own files",
        )
    kept = kept_by_heritage(evidence, lost, tools) if lost is not None else None
    if kept is not None:
        pin = _pin(found, chain, Proof(kept.state))
        tools.progress.note(
            f"{record.name}: swh:1:dir:{kept.named.directory} of Software Heritage, {pin.words}"
        )
        return kept_there(kept.named, subdir, pin, request, tools)
    chain.say("no repository holds what was published: the record's own files are the source")
    return _files(found, file, request, chain, tools)


def _commit(best: Connected, found: Found, request: LinkRequest, chain: Chain, tools: Tools) -> GitSource:
    facts, tag = best.tie.facts, best.tie
    state: TagState = "same" if not tag.named and best.is_proven else tag.tag_state
    pin = _pin(found, chain, best.proof, state)
    if request.require_proof and pin.state not in PROVEN:
        raise ResolveError(
            f"nothing proves that {best.url} at {facts.commit} is what {found.record.name} published "
            f"({pin.words}):\n" + _listed(chain),
            hint="--source archive takes the record's own files; without --require-proof this commit is taken",
        )
    if not best.has_subdir:
        raise ResolveError(
            f"{best.url} has no folder {request.subdir!r} at {facts.commit[:12]}",
            hint="its folders: " + (", ".join(best.folders[:10]) or "none"),
        )
    tell = tools.progress.note if pin.state in PROVEN and pin.tag in {"", "same"} else tools.progress.warn
    tell(f"{found.record.name}: {best.url} at {facts.commit[:12]}, {pin.words}")
    return GitSource(
        url=best.url,
        commit=facts.commit,
        tree=facts.tree,
        date=facts.date,
        ref=tag.tag if tag.tag_state == "same" or not tag.named else "",
        subdir=checked_subdir(request.subdir),
        record=pin,
    )


def _pin(found: Found, chain: Chain, proof: Proof, tag: TagState = "") -> RecordPin:
    record = found.record
    return RecordPin(
        site=record.site,
        id=record.id,
        doi=record.doi[:300],
        concept_doi=record.concept_doi[:300],
        version=record.version[:300],
        title=record.title[:1000],
        asked=found.asked[:300],
        state=proof.state or "archive only",
        tag=tag,
        chain=chain.lines,
        differing=proof.differing,
        differences=proof.differences,
        citation=record.citation,
    )


def _files(found: Found, file: str, request: LinkRequest, chain: Chain, tools: Tools) -> FilesSource:
    """Return the record's own files as a source. Raises ResolveError for a record that holds no code to run."""
    record = found.record
    chosen = _chosen(record, file)
    _refuse_no_code(record, chosen, request, chain)
    offering = Offering(
        url=record.page,
        offers=tuple(Offer(item.key, item.url, size=item.size, md5=item.md5) for item in chosen),
        date=record.published,
        subdir=checked_subdir(request.subdir),
        record=_pin(found, chain, Proof("archive only")),
    )
    return pin_files(offering, request.now, tools)


def _chosen(record: Record, file: str) -> tuple[RecordFile, ...]:
    if not file:
        return record.files
    chosen = tuple(item for item in record.files if item.key == file)
    if not chosen:
        raise ResolveError(
            f"{record.name} has no file {printable(file)}", hint=f"its files: {_keys(record.files)}"
        )
    return chosen


def _refuse_no_code(
    record: Record, chosen: tuple[RecordFile, ...], request: LinkRequest, chain: Chain
) -> None:
    """Return when the files may be somebody's code; what a record is stands in its access, its type and its files."""
    tried = "\nwhat was tried:\n" + _listed(chain)
    if not chosen and record.access != "open":
        raise ResolveError(
            f"the files of {record.name} are not open to you: its access is {record.access}{tried}",
            hint="ask its owners for access; a token of yours is taken from the environment",
        )
    if not chosen:
        raise ResolveError(f"{record.name} has no files, and no repository is known{tried}")
    if all(item.key.lower().endswith(_PAPER) for item in chosen):
        raise ResolveError(
            f"{record.name} holds documents only ({_keys(chosen)}), nothing that can be run{tried}",
            hint="its page may name the record of the software that belongs to it",
        )
    is_code = not record.kind or any(word in record.kind for word in _CODE)
    if not is_code and request.take == "auto":
        raise ResolveError(
            f"{record.name} is a record of the kind {record.kind}, {record.size / 1e6:.1f} MB in {len(chosen)} files, "
            f"and names no repository of software{tried}",
            hint="--source archive takes its files all the same",
        )


def _keys(files: Iterable[RecordFile]) -> str:
    names = [printable(item.key) for item in files]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") or "none"


def _listed(chain: Chain) -> str:
    return "\n".join(f"  {line}" for line in chain.lines)
