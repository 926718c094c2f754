"""DOIs as people write them: text becomes a name without a resolver in front.

Source: the DOI handbook, 2.2 "Syntax" and 2.6 "Presentation"; letters of a DOI mean the same in either case. arXiv's help, "arXiv
identifiers" and "arXiv DOIs".
"""

from __future__ import annotations

import re
from urllib.parse import unquote

_SPELLED = re.compile(
    r"(?:doi:[ ]?|info:doi/|(?P<web>https?://(?:dx\.|www\.)?doi\.org/(?:doi:)?))?(?P<doi>10\.\d{4,9}(?:\.\d+)*/\S+)",
    re.IGNORECASE,
)
_OTHERS = (
    (re.compile(r"https?://joss\.theoj\.org/papers/(10\.21105/joss\.\d+)(?:/.*)?", re.IGNORECASE), r"\1"),
    (
        re.compile(
            r"(?:https?://(?:www\.)?arxiv\.org/(?:abs|pdf|html)/|arxiv:)(\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v\d+)?(?:\.pdf)?/?",
            re.IGNORECASE,
        ),
        r"10.48550/arXiv.\1",
    ),
)
"""Pages of papers whose DOIs their addresses tell."""
_LONGEST = 2048


def parse_doi(text: str) -> str:
    """Return the DOI that the text is, "" when it is none; fragments and queries of a resolver's address are left away."""
    if len(text) > _LONGEST:
        return ""
    text = text.strip()
    for pattern, doi in _OTHERS:
        if page := pattern.fullmatch(text):
            return page.expand(doi)
    found = _SPELLED.fullmatch(text)
    if found is None:
        return ""
    doi = found["doi"]
    if found["web"]:
        doi = unquote(doi.partition("#")[0].partition("?")[0])
    doi = doi.rstrip("/.,;")
    return doi if doi.isprintable() and not doi.endswith("/") and " " not in doi and "/" in doi else ""


def same_doi(one: str, other: str) -> bool:
    """Whether two DOIs, in any spelling, are one."""
    return bool(one) and (parse_doi(one) or one).lower() == (parse_doi(other) or other).lower()
