"""Authors and licence of the notebook's source, as entities of a crate. Source: RO-Crate 1.1, "Contextual Entities"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from reprolake_builder.documents.base import decode
from reprolake_builder.documents.citation import Author, Citation
from reprolake_builder.image import CITATION

Entity = dict[str, Any]


def citation_of(annotations: Mapping[str, str]) -> Citation:
    """Return what the image's annotations tell of its source; an empty citation where they tell nothing."""
    try:
        return decode(annotations.get(CITATION, "{}").encode(), Citation)
    except msgspec.DecodeError:
        return Citation()  # of an image that another version made


def citing_fields(citation: Citation, author: str) -> Entity:
    """Return the fields of an entity that is the source or a part of it; `author` is the word for authors there."""
    found: Entity = {}
    if citation.authors:
        found[author] = [{"@id": _person(one)} for one in citation.authors]
    if citation.license:
        place = _licence(citation.license)
        found["license"] = {"@id": place} if place else citation.license
    elif citation.license_text:
        found["license"] = citation.license_text
    return found


def citing_entities(citation: Citation) -> list[Entity]:
    """Return the entities that such fields refer to, each once."""
    found: dict[str, Entity] = {}
    for author in citation.authors:
        person: Entity = {"@id": _person(author), "@type": "Person", "name": author.name}
        if author.affiliation:
            place = f"#organization-{quote(author.affiliation, safe='')}"
            person["affiliation"] = {"@id": place}
            found[place] = {"@id": place, "@type": "Organization", "name": author.affiliation}
        found[person["@id"]] = person
    if place := _licence(citation.license):
        found[place] = {"@id": place, "@type": "CreativeWork", "name": citation.license, "url": place}
    return list(found.values())


def _person(author: Author) -> str:
    return author.orcid or f"#person-{quote(author.name, safe='')}"


def _licence(expression: str) -> str:
    """Return the address of a single SPDX licence, "" for an expression of several."""
    return f"https://spdx.org/licenses/{quote(expression)}" if expression and " " not in expression else ""
