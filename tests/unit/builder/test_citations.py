"""What a source says of itself: four kinds of files, joined where they agree, and nothing that a stranger writes breaks it."""

from __future__ import annotations

import dataclasses
import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source_trees import Link, source_tree

from reprolake_builder.citations.annotations import citation_annotations
from reprolake_builder.citations.formats import READERS
from reprolake_builder.citations.read import read_citation
from reprolake_builder.citations.words import day, doi, orcid, text
from reprolake_builder.documents.base import decode, encode
from reprolake_builder.documents.citation import Author, Citation
from reprolake_builder.documents.source import RecordPin

ADA = "https://orcid.org/0000-0002-1825-0097"
CFF = """\
cff-version: 1.2.0
message: If you use this software, please cite it.
title: Crab spectra
abstract: Spectra of the Crab Nebula.
version: 0.1.8
date-released: 2023-05-01
license: BSD-3-Clause
doi: 10.5281/zenodo.4055175
keywords: [gamma-ray astronomy, spectra]
authors:
  - family-names: Lovelace
    given-names: Ada
    orcid: https://orcid.org/0000-0002-1825-0097
  - family-names: Berg
    name-particle: van den
    given-names: Jan
    affiliation: ASTRON
  - name: The Crab Consortium
preferred-citation:
  type: article
  title: Spectra of the Crab
  year: 2022
  doi: 10.1051/0004-6361/202141000
  authors: []
"""
CODEMETA = {
    "@context": "https://doi.org/10.5063/schema/codemeta-2.0",
    "@type": "SoftwareSourceCode",
    "name": "Crab spectra",
    "license": "https://spdx.org/licenses/MIT",
    "version": "0.1.2",
    "identifier": "10.5281/zenodo.4055175",
    "keywords": ["Spectra", "Crab"],
    "author": [
        {"@type": "Person", "givenName": "Ada", "familyName": "Lovelace", "affiliation": {"@type": "Organization", "name": "LAPP"}},
        {"@id": ADA, "@type": "Person", "givenName": "Augusta Ada", "familyName": "King"},
    ],
    "referencePublication": {"@type": "ScholarlyArticle", "name": "Crab", "@id": "https://doi.org/10.1/x"},
}  # fmt: skip
ZENODO = {
    "title": "Crab spectra",
    "creators": [
        {"name": "Lovelace, Ada", "orcid": "0000-0002-1825-0097", "affiliation": "LAPP, Univ. Savoie"}
    ],
    "license": {"id": "mit-license"},
    "keywords": ["astronomy"],
    "description": "<p>All <b>spectra</b></p>",
}
ESCAPE = """\
metadata-version: 0.2
title: gLike
authors:
  - Javier Rico
  - name: Jelena Aleksic
contact:
  - name: Javier Rico
license: GPL v3
url: https://example.org/gLike
doi: null
keywords:
  - likelihood
grant: 824064
"""


def said(tmp_path, files, **options) -> Citation | None:
    return read_citation(source_tree(tmp_path, files, **options))


def test_nothing_is_said_by_nobody(tmp_path):
    """A source without such files has no citation."""
    assert said(tmp_path, {"README.md": "x"}) is None


def test_a_citation_file(tmp_path):
    """CITATION.cff: persons with particles, organisations, the paper that is to be cited."""
    assert said(tmp_path, {"CITATION.cff": CFF}) == Citation(
        title="Crab spectra",
        description="Spectra of the Crab Nebula.",
        authors=(
            Author(name="Ada Lovelace", orcid=ADA),
            Author(name="Jan van den Berg", affiliation="ASTRON"),
            Author(name="The Crab Consortium"),
        ),
        license="BSD-3-Clause",
        keywords=("gamma-ray astronomy", "spectra"),
        version="0.1.8",
        doi="10.5281/zenodo.4055175",
        published="2023-05-01",
        citation="Spectra of the Crab, 2022, https://doi.org/10.1051/0004-6361/202141000",
        told_by=("CITATION.cff",),
    )


def test_a_codemeta_file(tmp_path):
    """codemeta.json: authors as JSON-LD has them, a licence as an address, the publication."""
    found = said(tmp_path, {"codemeta.json": json.dumps(CODEMETA)})
    assert found.authors == (
        Author(name="Ada Lovelace", affiliation="LAPP"),
        Author(name="Augusta Ada King", orcid=ADA),
    )
    assert (found.license, found.doi, found.citation) == (
        "MIT",
        "10.5281/zenodo.4055175",
        "Crab, https://doi.org/10.1/x",
    )


def test_a_zenodo_file(tmp_path):
    """.zenodo.json: names turned round, Zenodo's own licence ids, no markup."""
    found = said(tmp_path, {".zenodo.json": json.dumps(ZENODO)})
    assert found.authors == (Author(name="Ada Lovelace", orcid=ADA, affiliation="LAPP, Univ. Savoie"),)
    assert (found.license, found.description) == ("MIT", "All spectra")


def test_an_escape_file(tmp_path):
    """.escape.yml: authors as texts or with keys, null for what is not known."""
    found = said(tmp_path, {".escape.yml": ESCAPE})
    assert [author.name for author in found.authors] == ["Javier Rico", "Jelena Aleksic"]
    assert (found.title, found.license, found.doi) == ("gLike", "GPL-3.0-only", "")


def test_files_complete_each_other(tmp_path):
    """Each value comes from the first file that has it, what is known of one person from all; a difference of weight is told."""
    files = {"CITATION.cff": CFF, "codemeta.json": json.dumps(CODEMETA), ".zenodo.json": json.dumps(ZENODO)}
    found = said(tmp_path, files)
    assert found.authors[0] == Author(name="Ada Lovelace", orcid=ADA, affiliation="LAPP")
    assert (found.version, found.license) == ("0.1.8", "BSD-3-Clause")
    assert found.keywords == ("gamma-ray astronomy", "spectra", "Crab", "astronomy")
    assert found.told_by == ("CITATION.cff", "codemeta.json", ".zenodo.json")
    assert found.notes == (
        "the licence is BSD-3-Clause by CITATION.cff, and MIT by codemeta.json",
        "the licence is BSD-3-Clause by CITATION.cff, and MIT by .zenodo.json",
    )


def test_a_folder_speaks_before_the_root(tmp_path):
    """With --subdir its files are believed first."""
    files = {"CITATION.cff": CFF, "sub/CITATION.cff": "title: Part\n", "sub/a": ""}
    found = said(tmp_path, files, subdir="sub")
    assert (found.title, found.license) == ("Part", "BSD-3-Clause")


def test_a_record_whose_title_was_made_up(tmp_path):
    """Version and DOI are the record's, the title of a release on GitHub is a file's where one has it; that is no disagreement."""
    record = RecordPin(
        site="zenodo.org", id="7", doi="10.5281/zenodo.7", title="O/R: v1", version="v1", state="archive only"
    )
    tree = source_tree(tmp_path, {"CITATION.cff": "title: Part\n"}, from_git=True)
    source = msgspec.structs.replace(tree.source, record=record)
    found = read_citation(dataclasses.replace(tree, source=source))
    assert (found.title, found.version, found.doi, found.notes) == ("Part", "v1", "10.5281/zenodo.7", ())
    assert found.told_by == ("record 7 of zenodo.org", "CITATION.cff")
    bare = dataclasses.replace(source_tree(tmp_path / "bare", {"a": ""}), source=source)
    assert read_citation(bare).title == "O/R: v1"


def test_a_record_is_what_is_cited(tmp_path):
    """Its title, authors and day go before those of files, which know the licence, the keywords and whose ORCID iD it is."""
    record = RecordPin(
        site="zenodo.org", id="7", doi="10.5281/zenodo.7", title="The Crab", version="2", state="archive only",
        citation=Citation(
            authors=(Author(name="Ada Lovelace"), Author(name="Late Comer")), license="CC-BY-4.0", keywords=("sky",),
            description="What is new", published="2026-01-02",
        ),
    )  # fmt: skip
    tree = source_tree(tmp_path, {"CITATION.cff": CFF}, from_git=True)
    found = read_citation(
        dataclasses.replace(tree, source=msgspec.structs.replace(tree.source, record=record))
    )
    assert (found.title, found.version, found.doi, found.published) == (
        "The Crab", "2", "10.5281/zenodo.7", "2026-01-02",
    )  # fmt: skip
    assert found.authors == (Author(name="Ada Lovelace", orcid=ADA), Author(name="Late Comer"))
    assert (found.license, found.description) == ("BSD-3-Clause", "Spectra of the Crab Nebula.")
    assert found.keywords == ("gamma-ray astronomy", "spectra", "sky")
    assert found.notes == ()


def test_a_pin_that_tells_nothing_is_not_named(tmp_path):
    """An identifier of Software Heritage proves files and cites nobody."""
    record = RecordPin(site="archive.example.org", id="swh:1:rev:1", state="equal by SWH directory")
    tree = source_tree(tmp_path, {"a": ""}, from_git=True)
    assert (
        read_citation(dataclasses.replace(tree, source=msgspec.structs.replace(tree.source, record=record)))
        is None
    )


@pytest.mark.parametrize(
    ("value", "told"),
    [("2024-05-01", "2024-05-01"), ("2024", "2024"), (2024, "2024"), ("2024-05-01T10:00:00Z", "2024-05-01"),
     ("May 2024", ""), ("2024-5-1", ""), (None, ""), (["2024"], "")],
)  # fmt: skip
def test_days(value, told):
    """A day, a month or a year is taken as it is written; other words are no date."""
    assert day(value) == told


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("codemeta.json", "{", "codemeta.json is no JSON"),
        ("codemeta.json", "[1]", "it has no keys"),
        ("codemeta.json", b"\xff", "codemeta.json:1 is no UTF-8"),
        ("codemeta.json", "[" * 100_000, "codemeta.json is no JSON"),
        ("codemeta.json", '"' + "a" * (1 << 20) + '"', "too large"),
        ("codemeta.json", Link("/etc/passwd"), "leads out of the repository"),
        ("CITATION.cff", "a: [", "CITATION.cff:1 is no YAML"),
        ("CITATION.cff", "a: &x [1]\nb: [*x, *x]", "with an alias"),
        ("CITATION.cff", "[" * 1000, "nested too deep"),
        ("CITATION.cff", "a" * (1 << 19), "too large"),
        ("CITATION.cff", "- a", "it has no keys"),
        (".escape.yml", "!!python/object/apply:os.system [id]", "it has no keys"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_broken_file_is_a_note(tmp_path, path, content, reason):
    """The others are read all the same."""
    found = said(tmp_path, {path: content, ".zenodo.json": json.dumps(ZENODO)})
    assert found.title == "Crab spectra"
    assert reason in " ".join(found.notes)


@pytest.mark.parametrize(
    ("told", "license", "words"),
    [
        ("MIT", "MIT", ""),
        ("mit", "MIT", ""),
        (["Apache-2.0", "MIT"], "Apache-2.0 OR MIT", ""),
        ("GPL-3.0-or-later", "GPL-3.0-or-later", ""),
        ("https://spdx.org/licenses/BSD-3-Clause.html", "BSD-3-Clause", ""),
        ("Ask me", "", "Ask me"),
        (["MIT", "Ask me"], "", "MIT, Ask me"),
        ({"name": "MIT"}, "", ""),
        (None, "", ""),
    ],
)
def test_licences(told, license, words):  # noqa: A002
    """A licence is an SPDX expression, or stays the words that it is."""
    found = READERS["CITATION.cff"]({"license": told})
    assert (found.license, found.license_text) == (license, words)


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("0000-0002-1825-0097", ADA),
        ("https://orcid.org/0000-0002-1825-0097", ADA),
        ("orcid.org/0000-0002-1825-0097/", ADA),
        ("0000-0002-1694-233x", "https://orcid.org/0000-0002-1694-233X"),
        ("0000-0002-1825-0098", ""),
        ("https://example.org/0000-0002-1825-0097", ""),
        (None, ""),
        (5, ""),
    ],
)
def test_orcids(told, found):
    """An ORCID iD is an address with a right last digit, or none."""
    assert orcid(told) == found


def test_dois():
    """A DOI stands without its resolver."""
    assert (
        doi("https://doi.org/10.5281/zenodo.1")
        == doi("https://zenodo.org/doi/10.5281/zenodo.1")
        == "10.5281/zenodo.1"
    )
    assert doi("https://example.org/10.5281/x") == doi('10.5281/a"b') == doi({}) == ""


def test_texts_are_single_plain_lines():
    """No control character of a stranger's file reaches a terminal, no endless text a label."""
    assert text("a\x1b[31m\n\u202eb") == "a [31m b"
    assert len(text("x" * 10_000)) == 1000
    assert text(True) == text([]) == text(None) == ""


def test_annotations():
    """OCI's own names for what it has names for, all of it as JSON, nothing for what is not said."""
    told = Citation(title="T", authors=(Author(name="A"), Author(name="B")), license="MIT", doi="10.1234/x")
    found = citation_annotations(told)
    assert decode(found.pop("reprolake.citation").encode(), Citation) == told
    assert found == {
        "org.opencontainers.image.title": "T",
        "org.opencontainers.image.authors": "A, B",
        "org.opencontainers.image.licenses": "MIT",
        "org.opencontainers.image.documentation": "https://doi.org/10.1234/x",
    }
    many = Citation(authors=tuple(Author(name=f"A{n}") for n in range(60)))
    assert citation_annotations(many)["org.opencontainers.image.authors"].endswith("A49 and 10 more")


KEYS = st.sampled_from(
    ["title", "name", "authors", "author", "creators", "license", "keywords", "doi", "identifier", "orcid", "affiliation",
     "preferred-citation", "referencePublication", "@id", "@list", "url", "metadata", "version", "given-names", "identifiers"]
)  # fmt: skip
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["MIT", "MIT OR (", ADA, "10.1/x\n"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(KEYS, ODD, max_size=8), st.sampled_from(sorted(READERS)))
def test_odd_values_do_no_harm(told, name):
    """Whatever stands under whatever key gives a citation that is a valid document."""
    found = READERS[name](told)
    assert decode(encode(found), Citation) == found
    assert msgspec.convert(msgspec.to_builtins(found), Citation) == found
