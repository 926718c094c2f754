"""What a source says of itself, as annotations of its image. Source: OCI image specification 1.1, annotations.md."""

from __future__ import annotations

from reprolake_builder.documents.base import encode
from reprolake_builder.documents.citation import Citation
from reprolake_builder.image import CITATION

_MOST_NAMED = 50


def citation_annotations(citation: Citation) -> dict[str, str]:
    """Return the annotations that OCI has for it, as far as it is told, and all of it as JSON under a name of ours."""
    names = [author.name for author in citation.authors]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    told = {
        "title": citation.title,
        "description": citation.description,
        "authors": ", ".join(names[:_MOST_NAMED]) + more,
        "licenses": citation.license,
        "version": citation.version,
        "documentation": f"https://doi.org/{citation.doi}" if citation.doi else "",
    }
    found = {f"org.opencontainers.image.{key}": value for key, value in told.items() if value}
    return found | {CITATION: encode(citation).decode()}
