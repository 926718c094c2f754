"""Sources made of files, in words."""

from __future__ import annotations

from datetime import UTC, datetime

from reprolake.describe import citation_lines, source_lines
from reprolake_builder.documents.citation import Author, Citation
from reprolake_builder.documents.source import FilesSource, PinnedFile


def source(count: int) -> FilesSource:
    files = tuple(
        PinnedFile(name=f"f{n}", url="https://a.example/f", size=n, sha256="0" * 64) for n in range(count)
    )
    date = datetime(2024, 1, 2, tzinfo=UTC)
    return FilesSource(url="https://a.example/x", files=files, tree="1" * 40, date=date, date_is="published")


def test_few_files_are_listed_many_counted():
    """Each file has a line with its size and hash; of a thousand the first twenty have."""
    lines = source_lines(source(2))
    assert lines[0] == "address     https://a.example/x"
    assert lines[2] == f"file        f1  1 bytes  sha256 {'0' * 64}"
    assert lines[-1] == "date        2024-01-02 00:00 UTC (published)"
    many = source_lines(source(1000))
    assert len(many) == len(lines) + 19
    assert "file        and 980 more" in many


def test_a_citation_in_words():
    """Whatever is told has a line, authors with what is known of them; what is not told has none."""
    ada = Author(name="Ada", orcid="https://orcid.org/0000-0002-1825-0097", affiliation="LAPP")
    told = Citation(
        title="T", license_text="ask", authors=(ada, Author(name="Bo")), told_by=("a",), notes=("n",)
    )
    assert citation_lines(told) == [
        "title       T",
        "licence     ask",
        "author      Ada (LAPP; https://orcid.org/0000-0002-1825-0097)",
        "author      Bo",
        "told by     a",
        "note        n",
    ]
