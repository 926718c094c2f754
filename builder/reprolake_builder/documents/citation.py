"""Citation: what a source's files and record say of its authors, licence and title, for everybody who cites or reuses it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from reprolake_builder.documents.base import Document

Line = Annotated[
    str, Meta(max_length=2000, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)", description="one line of text")
]
Orcid = Annotated[
    str,
    Meta(
        pattern=r"^(?:https://orcid\.org/\d{4}-\d{4}-\d{4}-\d{3}[\dX])?$(?!\n)",
        description='an ORCID iD as an address, "" for none',
    ),
]
DoiName = Annotated[
    str,
    Meta(max_length=500, pattern=r'^(?:10\.\d{4,9}/[^\s"<>\\]+)?$(?!\n)', description='a DOI, "" for none'),
]


Day = Annotated[
    str,
    Meta(
        pattern=r"^(?:\d{4}(?:-\d{2}(?:-\d{2})?)?)?$(?!\n)",
        description='a year, a month of it or a day, "" for none',
    ),
]


class Author(Document, frozen=True, kw_only=True):
    """A person or an organisation; `name` as it is read aloud, given names first."""

    name: Line
    orcid: Orcid = ""
    affiliation: Line = ""


class Citation(Document, frozen=True, kw_only=True):
    """What the files and the record named in `told_by` say together, the first of them believed first.

    `license` is an SPDX expression; a licence in other words stands in `license_text` instead. `citation` is what the
    authors want to be cited, a paper mostly, and `published` when the release was. `notes` tell where files disagree, and which could not be read.
    """

    title: Line = ""
    description: Line = ""
    authors: tuple[Author, ...] = ()
    license: Line = ""
    license_text: Line = ""
    keywords: tuple[Line, ...] = ()
    version: Line = ""
    doi: DoiName = ""
    published: Day = ""
    citation: Line = ""
    told_by: tuple[Line, ...] = ()
    notes: tuple[Line, ...] = ()
