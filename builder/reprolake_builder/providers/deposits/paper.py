"""What a DOI that no archive's record has stands for, and the software that it names.

Source: Crossref's REST API (works, "relation"), DataCite's (dois, "types" and "relatedIdentifiers"); the Journal of Open Source
Software deposits a paper's software archive at Crossref as the relation "references", and tells it in the page's JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from reprolake_builder.providers.answers import ask
from reprolake_builder.providers.deposits.deposit import shortened
from reprolake_builder.providers.links.dois import parse_doi
from reprolake_builder.tools import Tools

CROSSREF = "https://api.crossref.org/works"
DATACITE = "https://api.datacite.org/dois"
_OPEN_JOURNALS = {"10.21105/joss.": "https://joss.theoj.org", "10.21105/jose.": "https://jose.theoj.org"}
_MOST_ASKED = 12  # related DOIs
_RELATIONS = (
    *(
        "is-supplemented-by",
        "references",
        "is-based-on",
        "is-derived-from",
        "documents",
        "is-documented-by",
        "has-part",
    ),
    *("is-related-material", "has-related-material", "compiles", "requires", "describes", "is-described-by"),
)
_KINDS = {
    "journal-article": "journal article",
    "posted-content": "preprint",
    "proceedings-article": "conference paper",
}


class Related(msgspec.Struct, frozen=True, rename="kebab"):
    """Something that a work at Crossref names."""

    id: str
    id_type: str = ""


class Work(msgspec.Struct, frozen=True, rename="kebab"):
    """A work at Crossref."""

    type: str = ""
    title: tuple[str, ...] = ()
    container_title: tuple[str, ...] = ()
    publisher: str = ""
    relation: dict[str, tuple[Related, ...]] | None = None


class WorkAnswer(msgspec.Struct, frozen=True):
    """Crossref's answer."""

    message: Work


class Title(msgspec.Struct, frozen=True):
    """A title at DataCite."""

    title: str | None = None


class Types(msgspec.Struct, frozen=True, rename="camel"):
    """Of which kind something at DataCite is."""

    resource_type_general: str | None = None
    resource_type: str | None = None


class RelatedIdentifier(msgspec.Struct, frozen=True, rename="camel"):
    """Something that a DOI at DataCite names."""

    related_identifier: str
    relation_type: str = ""
    related_identifier_type: str = ""


class Publisher(msgspec.Struct, frozen=True):
    """A publisher, in DataCite's newer form."""

    name: str = ""


class Attributes(msgspec.Struct, frozen=True, rename="camel"):
    """What DataCite knows of a DOI."""

    titles: tuple[Title, ...] = ()
    publisher: str | Publisher | None = None
    types: Types = Types()
    related_identifiers: tuple[RelatedIdentifier, ...] = ()
    url: str | None = None


class Data(msgspec.Struct, frozen=True):
    """A DOI at DataCite."""

    attributes: Attributes


class DoiAnswer(msgspec.Struct, frozen=True):
    """DataCite's answer."""

    data: Data


class Paper(msgspec.Struct, frozen=True):
    """What the page of an open journal's paper tells in JSON."""

    software_archive: str | None = None
    software_repository: str | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """What a DOI stands for, in words for a sentence; `software` are the DOIs of the software that it names, `other` what else."""

    what: str
    software: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    repository: str = ""


def describe_doi(doi: str, tools: Tools) -> Described | None:
    """Return what the DOI stands for, None when neither Crossref nor DataCite knows it. Raises ResolveError."""
    work = ask(tools, f"{CROSSREF}/{quote(doi, safe='')}", WorkAnswer)
    if work is not None:
        return _work(doi, work.message, tools)
    found = ask(tools, f"{DATACITE}/{quote(doi, safe='/')}", DoiAnswer)
    return _dataset(found.data.attributes, tools) if found is not None else None


def _work(doi: str, work: Work, tools: Tools) -> Described:
    kind = _KINDS.get(work.type, shortened(work.type.replace("-", " ")) or "work")
    journal = shortened(next(iter(work.container_title), work.publisher))
    what = f"a {kind}: {shortened(next(iter(work.title), 'without a title'))}" + (
        f", in {journal}" if journal else ""
    )
    relations = work.relation or {}
    named = [related.id for name in _RELATIONS for related in relations.get(name, ())]
    dois = tuple(dict.fromkeys(filter(None, map(parse_doi, named))))
    site = next((site for start, site in _OPEN_JOURNALS.items() if doi.lower().startswith(start)), "")
    if not site:
        return _sorted(what, dois, tools)
    # There the one relation of this kind is the archive that the editors checked.
    archive = tuple(filter(None, (parse_doi(related.id) for related in relations.get("references", ()))))[:1]
    paper = None if archive else ask(tools, f"{site}/papers/{doi}.json", Paper)
    if paper is not None:
        archive = tuple(filter(None, (parse_doi(paper.software_archive or ""),)))
    return Described(what, archive, (), shortened(paper.software_repository or "") if paper else "")


def _dataset(found: Attributes, tools: Tools) -> Described:
    kind = shortened(found.types.resource_type_general or found.types.resource_type or "record").lower()
    publisher = found.publisher.name if isinstance(found.publisher, Publisher) else found.publisher or ""
    title = next((shortened(title.title) for title in found.titles if title.title), "without a title")
    what = f"a {kind}: {title}" + (f", at {shortened(publisher)}" if publisher else "")
    dois = (
        parse_doi(item.related_identifier)
        for item in found.related_identifiers
        if item.relation_type != "Cites"
    )
    return _sorted(what, tuple(dict.fromkeys(filter(None, dois))), tools)


def _sorted(what: str, dois: tuple[str, ...], tools: Tools) -> Described:
    """Return the description with the DOIs parted into those of software and others, as DataCite knows them."""
    software = []
    for doi in dois[:_MOST_ASKED]:
        found = ask(tools, f"{DATACITE}/{quote(doi, safe='/')}", DoiAnswer)
        if found is not None and found.data.attributes.types.resource_type_general == "Software":
            software.append(doi)
    return Described(what, tuple(software), tuple(doi for doi in dois if doi not in software)[:_MOST_ASKED])
