"""What each kind of file says.

Source: Citation File Format 1.2.0, schema guide; CodeMeta 3.0 and schema.org's SoftwareSourceCode; Zenodo's REST API,
"Deposit metadata"; ESCAPE's template project, .escape.yml with metadata-version 0.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from reprolake_builder.citations.words import author, day, doi, entries, first, named, spdx, text
from reprolake_builder.documents.citation import Author, Citation


def read_cff(told: Mapping[str, Any]) -> Citation:
    """Return what a CITATION.cff says; several licences are a choice among them."""
    identifiers = [one for one in entries(told.get("identifiers")) if isinstance(one, dict)]
    dois = [
        doi(told.get("doi")),
        *(doi(one.get("value")) for one in identifiers if text(one.get("type")) == "doi"),
    ]
    return Citation(
        title=text(told.get("title")),
        description=text(told.get("abstract")),
        authors=_authors(_cff_author(one) for one in entries(told.get("authors"))),
        keywords=_keywords(told.get("keywords")),
        version=text(told.get("version")),
        doi=next(filter(None, dois), ""),
        published=day(told.get("date-released")),
        citation=_work(told.get("preferred-citation"), "title", "year"),
        **_licence([text(one) for one in entries(told.get("license"))]),
    )


def read_codemeta(told: Mapping[str, Any]) -> Citation:
    """Return what a codemeta.json says."""
    licences = [named(one, "@id", "url", "identifier", "name") for one in entries(told.get("license"))]
    places = (*entries(told.get("identifier")), *entries(told.get("@id")), *entries(told.get("sameAs")))
    return Citation(
        title=text(first(told.get("name"))),
        description=text(first(told.get("description"))),
        authors=_authors(_codemeta_author(one) for one in entries(told.get("author", told.get("creator")))),
        keywords=_keywords(told.get("keywords")),
        version=text(told.get("version")) or text(told.get("softwareVersion")),
        doi=next(filter(None, (doi(named(one, "value", "@id", "url")) for one in places)), ""),
        published=day(told.get("datePublished")),
        citation=_work(first(told.get("referencePublication")), "name", "datePublished"),
        **_licence(licences),
    )


def read_zenodo(told: Mapping[str, Any]) -> Citation:
    """Return what a .zenodo.json says."""
    told = told["metadata"] if isinstance(told.get("metadata"), dict) else told
    return Citation(
        title=text(told.get("title")),
        description=text(told.get("description")),
        authors=_authors(_zenodo_author(one) for one in entries(told.get("creators"))),
        keywords=_keywords(told.get("keywords")),
        version=text(told.get("version")),
        doi=doi(told.get("doi")),
        published=day(told.get("publication_date")),
        **_licence([named(one, "id") for one in entries(told.get("license"))]),
    )


def read_record(metadata: Mapping[str, Any]) -> Citation:
    """Return what a record's metadata says beside title, version and DOI.

    It comes in Zenodo's shape, which a .zenodo.json has as well, or in InvenioRDM's own.
    """
    subjects = [one.get("subject") for one in entries(metadata.get("subjects")) if isinstance(one, dict)]
    rights = [named(one, "id", "link") for one in entries(metadata.get("rights"))]
    return read_zenodo({
        "creators": [_plain_creator(one) for one in entries(metadata.get("creators"))],
        "license": metadata.get("license", rights),
        "keywords": metadata.get("keywords", subjects),
        "description": metadata.get("description"),
        "publication_date": metadata.get("publication_date"),
    })  # fmt: skip


def read_escape(told: Mapping[str, Any]) -> Citation:
    """Return what an .escape.yml says."""
    return Citation(
        title=text(told.get("title")),
        description=text(told.get("description")),
        authors=_authors(_escape_author(one) for one in entries(told.get("authors"))),
        keywords=_keywords(told.get("keywords")),
        version=text(told.get("version")),
        doi=doi(told.get("doi")),
        **_licence([text(one) for one in entries(told.get("license"))]),
    )


READERS: Mapping[str, Callable[[Mapping[str, Any]], Citation]] = {
    "CITATION.cff": read_cff,
    "codemeta.json": read_codemeta,
    ".zenodo.json": read_zenodo,
    ".escape.yml": read_escape,
}
"""The files by name, the one that is believed first at the top: CITATION.cff is written for nothing else."""


def _authors(found: Iterable[Author | None]) -> tuple[Author, ...]:
    """Return the authors, each once."""
    return tuple({one.name.casefold(): one for one in reversed([*filter(None, found)])}.values())[::-1]


def _cff_author(value: Any) -> Author | None:
    if not isinstance(value, dict):
        return author(text(value), "", "")
    parts = [text(value.get(key)) for key in ("given-names", "name-particle", "family-names", "name-suffix")]
    name = " ".join(filter(None, parts)) or text(value.get("name")) or text(value.get("alias"))
    return author(name, value.get("orcid"), value.get("affiliation"))


def _codemeta_author(value: Any) -> Author | None:
    if not isinstance(value, dict):
        return author(text(value), "", "")
    parts = [text(first(value.get(key))) for key in ("givenName", "familyName")]
    name = " ".join(filter(None, parts)) or named(value.get("name"), "@value")
    known = [
        value.get("@id"),
        value.get("id"),
        *entries(value.get("sameAs")),
        *entries(value.get("identifier")),
    ]
    return author(name, [named(one, "value", "@id", "url") for one in known], value.get("affiliation"))


def _zenodo_author(value: Any) -> Author | None:
    if not isinstance(value, dict):
        return author(text(value), "", "")
    return author(text(value.get("name")), value.get("orcid"), value.get("affiliation"))


def _plain_creator(value: Any) -> Any:
    """Return a creator in Zenodo's shape."""
    person = value.get("person_or_org") if isinstance(value, dict) else None
    if not isinstance(person, dict):
        return value
    return {
        "name": person.get("name"),
        "orcid": [named(one, "identifier") for one in entries(person.get("identifiers"))],
        "affiliation": value.get("affiliations"),
    }


def _escape_author(value: Any) -> Author | None:
    if not isinstance(value, dict):
        return author(text(value), "", "")
    parts = [text(value.get(key)) for key in ("given-names", "family-names")]
    name = text(value.get("name")) or " ".join(filter(None, parts))
    return author(name, value.get("orcid"), value.get("affiliation") or value.get("organization"))


def _keywords(value: Any) -> tuple[str, ...]:
    """Return the keywords, each once; a text of several parts them by commas."""
    words = []
    for one in entries(value):
        if isinstance(one, str):
            words += one.split(",")
        else:
            words.append(named(one, "name", "@value"))
    return tuple(dict.fromkeys(word for part in words if (word := text(part, 100))))[:100]


def _licence(names: list[str]) -> dict[str, Any]:
    """Return the fields for licences, of which one may be chosen."""
    names = [name for name in names if name]
    expressions = [spdx(name) for name in names]
    if names and all(expressions):
        return {"license": " OR ".join(dict.fromkeys(expressions))}
    return {"license_text": text(", ".join(names))}


def _work(value: Any, title: str, date: str) -> str:
    """Return a paper in words: title, year, DOI or address."""
    if not isinstance(value, dict):
        return text(value)
    name = text(value.get(title)) or text(value.get("name"))
    year = text(value.get(date))[:4]
    known = [
        doi(named(one, "value", "@id", "url"))
        for key in ("doi", "@id", "identifier")
        for one in entries(value.get(key))
    ]
    places = [
        *(f"https://doi.org/{one}" for one in known if one),
        text(value.get("url")),
        text(value.get("@id")),
    ]
    place = next(filter(None, places), "")
    return text(", ".join(filter(None, (name, year, place))))
