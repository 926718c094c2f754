"""Records in JSON: every shape becomes the same value, and no answer of a server makes the reader fail."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_server import RECORDS, recorded

from reprolake_builder.documents.citation import Author, Citation
from reprolake_builder.providers.records.record import parse_files, parse_record

ZENODO = "https://zenodo.org"


def record(name, site="zenodo.org", base=ZENODO):
    return parse_record(json.dumps(recorded(name)).encode(), site, base)


def test_the_shape_of_today():
    """Zenodo's answer of today names the record, its versions, links, files and directory at Software Heritage."""
    found = record("15600127")
    assert (found.id, found.concept_id, found.doi) == ("15600127", "15599637", "10.5281/zenodo.15600127")
    assert (found.concept_doi, found.version, found.access, found.kind) == (
        "10.5281/zenodo.15599637", "v0.1.1", "open", "software",
    )  # fmt: skip
    assert found.code_repository == "https://github.com/EmilieMauduit/PALANTIR"
    assert [(item.relation, item.target) for item in found.related] == [
        ("issupplementto", "https://github.com/EmilieMauduit/PALANTIR/tree/v0.1.1")
    ]
    assert found.files[0].key == "EmilieMauduit/PALANTIR-v0.1.1.zip"
    assert found.swhid.startswith("swh:1:dir:97ea3dbf4f5e732292dcf1f9ab592503e9e00635;")
    assert (found.page, found.published.isoformat()) == (
        f"{ZENODO}/records/15600127",
        "2025-06-05T00:00:00+00:00",
    )


def test_the_shape_of_2018():
    """An answer without files, custom fields and swh is read as well."""
    found = record("1200251")
    assert (found.id, found.concept_id, found.version, found.kind) == (
        "1200251",
        "597993",
        "2.6.1",
        "software",
    )
    assert [item.relation for item in found.related] == ["issupplementto", "ispartof"]
    assert (found.files, found.swhid, found.code_repository) == ((), "", "")


def test_the_shape_of_inveniordm():
    """InvenioRDM's own shape says the same things in other places."""
    found = record("abcde-12345", "data.caltech.edu", "https://data.caltech.edu")
    assert (found.id, found.concept_id, found.doi) == ("abcde-12345", "fghjk-67890", "10.22002/abcde-12345")
    assert (found.concept_doi, found.access, found.kind) == ("10.22002/fghjk-67890", "open", "software")
    assert found.code_repository == "https://github.com/caltechlibrary/ames"
    assert (found.related[0].relation, found.related[0].kind) == ("issupplementto", "software")
    assert [file.key for file in found.files] == ["caltechlibrary/ames-v1.2.0.zip"]


def test_whom_a_record_cites():
    """Authors, licence, keywords and day are read from both shapes; text in markup becomes a line."""
    found = record("15600127").citation
    assert found == Citation(
        authors=(Author(name="Jane Doe"),), description="Release.", published="2025-06-05"
    )
    metadata = {
        "creators": [
            {
                "person_or_org": {
                    "name": "Doe, Jane",
                    "identifiers": [{"scheme": "orcid", "identifier": "0000-0002-1825-0097"}],
                },
                "affiliations": [{"name": "LAPP"}],
            },
            {"person_or_org": "nobody"},
        ],
        "rights": [{"id": "bsd-3-clause"}],
        "subjects": [{"subject": "Crab"}, 5],
        "publication_date": "2025-06",
    }
    data = json.dumps({"id": 5, "metadata": metadata}).encode()
    assert parse_record(data, "zenodo.org", ZENODO).citation == Citation(
        authors=(Author(name="Jane Doe", orcid="https://orcid.org/0000-0002-1825-0097", affiliation="LAPP"),),
        license="BSD-3-Clause",
        keywords=("Crab",),
        published="2025-06",
    )


def test_the_shape_of_deposits():
    """filename, filesize and a bare MD5 are read; a size that is none drops the file; the address is the site's own rule."""
    found = record("deposit")
    (file,) = found.files
    assert (file.key, file.size, file.md5) == ("knime-sstea-v1.0.5.zip", 4242, "0" * 32)
    assert file.url == f"{ZENODO}/api/records/58369/files/knime-sstea-v1.0.5.zip/content"


def test_addresses_of_files_are_never_what_the_list_says():
    """A list that leads elsewhere is not followed; odd names are quoted, the slash in a key is not."""
    told = {
        "id": 5,
        "metadata": {},
        "files": [{"key": "A/b c?#\u00e9.zip", "size": 1, "links": {"self": "http://169.254.169.254/"}}],
    }
    found = parse_record(json.dumps(told).encode(), "zenodo.org", ZENODO)
    assert found.files[0].url == f"{ZENODO}/api/records/5/files/A/b%20c%3F%23%C3%A9.zip/content"


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDS.glob("*.json")))
def test_every_recorded_answer_is_a_record(name):
    """All files of data/records are read."""
    assert record(name).title


@pytest.mark.parametrize(
    "access",
    [
        ({"access_right": "restricted"}, {}, "restricted"),
        ({"access_right": "embargoed"}, {}, "embargoed"),
        ({}, {"status": "metadata-only"}, "metadata-only"),
        ({}, {"record": "public", "files": "restricted"}, "restricted"),
        ({}, {"embargo": {"active": True}}, "embargoed"),
        ({}, {}, "open"),
    ],
)
def test_access(access):
    """Who may see the files is said in one word, however the shape says it."""
    metadata, told, word = access
    data = json.dumps({"id": 5, "metadata": metadata, "access": told}).encode()
    assert parse_record(data, "zenodo.org", ZENODO).access == word


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"{}", b"<html>", b'{"id": 5}', b'{"id": "../x", "metadata": {}}', b"[" * 100_000,
     b'{"id": true, "metadata": {}}', b"\xff", b'{"metadata": {}, "id": 1e999}'],
)  # fmt: skip
def test_what_is_no_record(data):
    """Other documents, broken ones and ids that would lead elsewhere are none."""
    assert parse_record(data, "zenodo.org", ZENODO) is None


def test_control_characters_and_endless_fields_do_not_pass():
    """Titles are fit for a terminal and bounded; of endless lists the beginning is read."""
    told = {
        "id": 5,
        "metadata": {"title": "\x1b[31mred\x07" + "x" * 200_000, "related_identifiers": [{}] * 50_000},
    }
    found = parse_record(json.dumps(told).encode(), "zenodo.org", ZENODO)
    assert found.title.isprintable()
    assert len(found.title) <= 1 << 16


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
FIELDS = (
    *(
        "id",
        "recid",
        "conceptrecid",
        "doi",
        "files",
        "swh",
        "pids",
        "parent",
        "access",
        "custom_fields",
        "metadata",
    ),
    *("title", "version", "related_identifiers", "resource_type", "relations", "publication_date", "custom"),
)


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES), st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_fields_of_any_type_are_read_or_count_as_absent(told, metadata):
    """Whatever stands in the fields, a record has texts in its texts and numbers in its sizes."""
    data = json.dumps({"id": 5, **told, "metadata": metadata}).encode()
    found = parse_record(data, "zenodo.org", ZENODO)
    if found is not None:
        assert isinstance(found.title, str)
        assert all(file.size >= 0 and file.url.startswith(ZENODO) for file in found.files)
        parse_files(data, found, ZENODO)
