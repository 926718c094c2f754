"""Values of such files as one of a few plain types, whatever stands there: texts, names, licences, identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from reprolake_builder.documents.citation import Author
from reprolake_builder.providers.links.dois import parse_doi

LONGEST = 1000  # characters of one value
_LONGEST_NAME = 300
_MOST = 2000  # entries of one list
_TAG = re.compile(r"<[^<>]{0,200}>")
_ORCID = re.compile(
    r"(?:(?:https?://)?(?:www\.)?orcid\.org/|orcid:)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])/?", re.IGNORECASE
)
_ZENODO = re.compile(r"https?://(?:www\.)?zenodo\.org/doi/", re.IGNORECASE)
_DOI = re.compile(r'10\.\d{4,9}/[^\s"<>\\]{1,400}')  # what documents take of a DOI
_SPDX_PAGE = re.compile(
    r"https?://(?:www\.)?spdx\.org/licenses/([\w.+-]+?)(?:\.html|\.json)?/?", re.IGNORECASE
)
_DAY = re.compile(r"(\d{4}(?:-\d\d(?:-\d\d)?)?)(?:[T ].*)?", re.ASCII)
_OTHER_NAMES = {
    "mit-license": "MIT",
    "mit license": "MIT",
    "apache license 2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache2.0": "Apache-2.0",
    "gpl v3": "GPL-3.0-only",
    "gplv3": "GPL-3.0-only",
    "gpl-v3": "GPL-3.0-only",
    "lgplv3": "LGPL-3.0-only",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd-3": "BSD-3-Clause",
    "bsd-license": "BSD-2-Clause",
    "cc-by": "CC-BY-4.0",
    "cc-zero": "CC0-1.0",
    "cc0": "CC0-1.0",
}
"""Names that archives and people use, by SPDX's."""


def text(value: Any, longest: int = LONGEST) -> str:
    """Return a value as one line without markup or control characters, "" for what is no text; at most `longest` long."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    words = _TAG.sub(" ", str(value)[: 20 * longest])
    line = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def entries(value: Any) -> Iterator[Any]:
    """Yield the entries of a list, also JSON-LD's `@list`; a value alone is a list of one, null of none."""
    if isinstance(value, dict) and isinstance(value.get("@list"), list):
        value = value["@list"]
    if value is not None:
        yield from (value if isinstance(value, list) else [value])[:_MOST]


def first(value: Any) -> Any:
    """Return a value, or the first one of a list of them."""
    return next(entries(value), None)


def named(value: Any, *keys: str) -> str:
    """Return a text, or that under one of the keys of an object."""
    value = first(value)
    if isinstance(value, dict):
        return next((found for key in keys if (found := text(value.get(key)))), "")
    return text(value)


def orcid(value: Any) -> str:
    """Return an ORCID iD as an address, "" for what is none. Source: ISO 7064, MOD 11-2, for its last digit."""
    found = _ORCID.fullmatch(text(value))
    if found is None:
        return ""
    total = 0
    digits = found[1].replace("-", "").upper()
    for digit in digits[:-1]:
        total = (total + int(digit)) * 2
    right = (12 - total % 11) % 11
    return (
        f"https://orcid.org/{found[1].upper()}" if digits[-1] == ("X" if right == 10 else str(right)) else ""
    )


def doi(value: Any) -> str:
    """Return a DOI without its resolver, "" for what is none."""
    found = parse_doi(_ZENODO.sub("", text(value)))
    return found if _DOI.fullmatch(found) else ""


def day(value: Any) -> str:
    """Return the day, month or year that a date or time begins with, "" for what is none."""
    found = _DAY.fullmatch(text(value))
    return found[1] if found else ""


def spdx(value: Any) -> str:
    """Return a licence as an SPDX expression, "" for what is none."""
    name = text(value)
    if page := _SPDX_PAGE.fullmatch(name):
        name = page[1]
    name = _OTHER_NAMES.get(name.lower(), name)
    try:
        return str(canonicalize_license_expression(name)) if name else ""
    except (InvalidLicenseExpression, RecursionError):
        return ""


def author(name: str, identifier: Any, affiliation: Any) -> Author | None:
    """Return an author, None for one without a name; "Family, Given" is turned round."""
    family, comma, given = name.partition(", ")
    if comma and given and "," not in given:
        name = f"{given} {family}"
    if not name:
        return None
    found = (orcid(one) for one in entries(identifier))
    return Author(
        name=text(name, _LONGEST_NAME),
        orcid=next(filter(None, found), ""),
        affiliation=text(named(affiliation, "name", "legalName"), _LONGEST_NAME),
    )
