"""What a source says of itself, out of all its files that do: agreeing values joined, a broken file told and passed over."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from reprolake_builder.citations.formats import READERS
from reprolake_builder.citations.words import doi, text
from reprolake_builder.documents.citation import Author, Citation
from reprolake_builder.documents.source import RecordPin, record_of
from reprolake_builder.errors import DetectError
from reprolake_builder.source_tree import SourceTree
from reprolake_builder.yaml_nodes import parse_yaml, plain

_LARGEST = 1 << 20  # characters of JSON
_LARGEST_YAML = 1 << 18  # its parser is slow
_MOST_AUTHORS = 500
_ALONE = ("title", "description", "version", "doi", "published", "citation")
_MADE_UP = re.compile(
    r"[A-Za-z0-9-]{1,39}/[\w.-]{1,100}: .*", re.DOTALL
)  # by Zenodo, for a release on GitHub
_NOTED = ("title", "license", "doi")


def read_citation(tree: SourceTree) -> Citation | None:
    """Return what the files of a source and the record that it was found by say, None where nothing does.

    The record is what is cited: its version, DOI and day of publication go before those of files, as do its title and authors unless
    nobody wrote them; the files know better under which licence they are and what they are about.
    A folder of the source that was asked for speaks before the source's root. Each value is that of the first file that has
    it; ORCID iDs and affiliations of the same authors, and keywords, come from all.
    """
    said: list[tuple[str, Citation]] = []
    notes: list[str] = []
    found = False
    for folder in dict.fromkeys((tree.source.subdir, "")):
        for name in READERS:
            path = f"{folder}/{name}" if folder else name
            try:
                told = _parsed(tree, path)
                if told is not None:
                    found = True
                    said.append((path, READERS[name](told)))
            except DetectError as error:
                found = True
                notes.append(text(error.message))
    notes += _disagreements(said)
    record = record_of(tree.source)
    if record is not None and (cited := _cited(record)) != (Citation(), Citation()):
        found, name = True, f"record {record.id} of {record.site}"
        said = [(name, cited[0]), *said, (name, cited[1])]
    return _joined(said, notes) if found else None


def _cited(record: RecordPin) -> tuple[Citation, Citation]:
    """Return what a record says that goes before the words of files, and what comes after them."""
    told = record.citation or Citation()
    first = Citation(version=text(record.version), doi=doi(record.doi), published=told.published)
    last = Citation(
        description=told.description,
        license=told.license,
        license_text=told.license_text,
        keywords=told.keywords,
    )
    words = Citation(title=text(record.title), authors=told.authors)
    if _MADE_UP.fullmatch(record.title):
        return first, msgspec.structs.replace(last, title=words.title, authors=words.authors)
    return msgspec.structs.replace(first, title=words.title, authors=words.authors), last


def _parsed(tree: SourceTree, path: str) -> Mapping[str, Any] | None:
    """Return a file's keys, None where there is no such file. Raises DetectError for one that cannot be read."""
    content = tree.read_text(path)
    if content is None:
        return None
    if path.endswith(".json"):
        if len(content) > _LARGEST:
            raise DetectError(f"{path} has {len(content)} characters: too large for a file of this kind")
        try:
            told = msgspec.json.decode(content)
        except (msgspec.DecodeError, RecursionError) as error:
            raise DetectError(f"{path} is no JSON: {error}") from error
    else:
        told = plain(parse_yaml(content, path, _LARGEST_YAML))
    if not isinstance(told, dict):
        raise DetectError(f"{path} is not understood: it has no keys such as `title`")
    return told


def _joined(said: Sequence[tuple[str, Citation]], notes: Sequence[str]) -> Citation:
    values = {field: _first(said, field) for field in _ALONE}
    authors = next((told.authors for _, told in said if told.authors), ())
    if len(authors) > _MOST_AUTHORS:
        notes = [*notes, f"of {len(authors)} authors the first {_MOST_AUTHORS} are taken"]
    known = _by_person(said)
    licence = next((told for _, told in said if told.license or told.license_text), Citation())
    keywords = [word for _, told in said for word in told.keywords]
    return Citation(
        **values,
        authors=tuple(_completed(author, known) for author in authors[:_MOST_AUTHORS]),
        license=licence.license,
        license_text=licence.license_text,
        keywords=tuple({word.casefold(): word for word in reversed(keywords)}.values())[::-1],
        told_by=tuple(dict.fromkeys(path for path, _ in said)),
        notes=tuple(notes),
    )


def _first(said: Sequence[tuple[str, Citation]], field: str) -> str:
    return next((value for _, told in said if (value := getattr(told, field))), "")


def _by_person(said: Sequence[tuple[str, Citation]]) -> Mapping[str, Sequence[Author]]:
    """Return all authors that files name, by name and by ORCID iD."""
    found: dict[str, list[Author]] = {}
    for _, told in said:
        for author in told.authors:
            for key in filter(None, (author.name.casefold(), author.orcid)):
                found.setdefault(key, []).append(author)
    return found


def _completed(author: Author, known: Mapping[str, Sequence[Author]]) -> Author:
    """Return the author with what other files know of the same person."""
    named = [one for one in known[author.name.casefold()] if not (one.orcid and author.orcid)]
    same = [*named, *known.get(author.orcid, ())]
    return msgspec.structs.replace(
        author,
        orcid=author.orcid or next((one.orcid for one in same if one.orcid), ""),
        affiliation=author.affiliation or next((one.affiliation for one in same if one.affiliation), ""),
    )


def _disagreements(said: Sequence[tuple[str, Citation]]) -> list[str]:
    """Return a sentence for each value of weight on which two files disagree."""
    notes = []
    for field in _NOTED:
        told = [(path, value) for path, one in said if (value := getattr(one, field))]
        for path, value in told[1:]:
            if value.casefold() != told[0][1].casefold():
                word = "licence" if field == "license" else field
                notes.append(text(f"the {word} is {told[0][1]} by {told[0][0]}, and {value} by {path}"))
    return notes
