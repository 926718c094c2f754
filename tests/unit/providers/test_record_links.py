"""Links to records: every spelling that people paste names its record by its text alone."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reprolake_builder.providers.links.records import parse_record_doi, parse_record_link

ZENODO = "https://zenodo.org"


@pytest.mark.parametrize(
    ("text", "doi", "file"),
    [
        ("10.5281/zenodo.3232985", "10.5281/zenodo.3232985", ""),
        ("doi:10.5281/zenodo.3232985", "10.5281/zenodo.3232985", ""),
        ("DOI: 10.5281/zenodo.3232985", "10.5281/zenodo.3232985", ""),
        ("https://doi.org/10.5281/zenodo.3232985", "10.5281/zenodo.3232985", ""),
        ("https://doi.org/10.5281/ZENODO.3232985", "10.5281/zenodo.3232985", ""),
        ("http://dx.doi.org/10.5281/zenodo.3232985", "10.5281/zenodo.3232985", ""),
        ("https://zenodo.org/doi/10.5281/zenodo.3232985", "10.5281/zenodo.3232985", ""),
        ("https://zenodo.org/doi/10.5281%2Fzenodo.3232985", "10.5281/zenodo.3232985", ""),
        ("https://zenodo.org/badge/DOI/10.5281/zenodo.3232985.svg", "10.5281/zenodo.3232985", ""),
        ("https://zenodo.org/record/3232985", "", ""),
        ("http://zenodo.org/record/3232985", "", ""),
        ("https://zenodo.org/records/3232985", "", ""),
        ("https://zenodo.org/records/3232985/", "", ""),
        ("https://www.zenodo.org/records/3232985", "", ""),
        ("zenodo.org/records/3232985", "", ""),
        ("https://zenodo.org/records/3232985/files/x.zip", "", "x.zip"),
        ("https://zenodo.org/records/3232985/files/x.zip?download=1", "", "x.zip"),
        ("https://zenodo.org/api/records/3232985", "", ""),
        ("https://zenodo.org/api/records/3232985/files/a/b%20c.zip/content", "", "a/b c.zip"),
        ("https://zenodo.org/records/3232985?preview=1", "", ""),
        ("https://zenodo.org/records/3232985?token=x", "", ""),
        ("https://zenodo.org/records/3232985#.YhZtH5PMJhE", "", ""),
        ("https://zenodo.org/records/3232985/export/json", "", ""),
        ("https://zenodo.org/records/3232985.", "", ""),
        ("zenodo:3232985", "", ""),
        ("  zenodo:3232985\n", "", ""),
    ],
)
def test_spellings_of_a_record_of_zenodo(text, doi, file):
    """A DOI or address of Zenodo is its record's number, whatever stands around it; doi.org is not asked."""
    link = parse_record_link(text)
    assert (link.site, link.base, link.id, link.page) == ("zenodo.org", ZENODO, "3232985", "")
    assert (link.doi, link.file, link.is_certain) == (doi, file, True)


@pytest.mark.parametrize(
    ("text", "site", "id_"),
    [
        ("https://sandbox.zenodo.org/records/1242908", "sandbox.zenodo.org", "1242908"),
        ("https://sandbox.zenodo.org/record/1242908", "sandbox.zenodo.org", "1242908"),
        ("10.5072/zenodo.1242908", "sandbox.zenodo.org", "1242908"),
        ("sandbox:1242908", "sandbox.zenodo.org", "1242908"),
        ("https://data.caltech.edu/records/abcde-12345", "data.caltech.edu", "abcde-12345"),
        ("https://data.caltech.edu/records/1235", "data.caltech.edu", "1235"),
        ("10.22002/abcde-12345", "data.caltech.edu", "abcde-12345"),
        ("https://repository.cern/records/abcde-12345", "repository.cern", "abcde-12345"),
        ("10.17181/abcde-12345", "repository.cern", "abcde-12345"),
    ],
)
def test_other_known_sites(text, site, id_):
    """The sandbox, CaltechDATA and CERN's repository have ids and DOIs of their own."""
    link = parse_record_link(text)
    assert (link.site, link.base, link.id, link.is_certain) == (site, f"https://{site}", id_, True)


@pytest.mark.parametrize(
    ("text", "base", "id_"),
    [
        ("https://records.example.org/records/abcde-12345", "https://records.example.org", "abcde-12345"),
        ("https://records.example.org/api/records/77", "https://records.example.org", "77"),
        ("http://127.0.0.1:5000/records/77/files/x.zip", "http://127.0.0.1:5000", "77"),
    ],
)
def test_any_site_may_be_one(text, base, id_):
    """On a host that is not known an address of that form may be a record: the site has to be asked."""
    link = parse_record_link(text)
    assert (link.base, link.id, link.is_certain) == (base, id_, False)


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("https://zenodo.org/badge/latestdoi/12345", f"{ZENODO}/badge/latestdoi/12345"),
        ("https://zenodo.org/badge/12345.svg", f"{ZENODO}/badge/12345.svg"),
        ("https://zenodo.org/records/5/latest", f"{ZENODO}/records/5/latest"),
        ("https://zenodo.org/api/records/5/versions/latest", f"{ZENODO}/records/5/latest"),
        ("https://zenodo.org/doi/10.1234/other", f"{ZENODO}/doi/10.1234/other"),
        ("10.22002/D1.1235", "https://data.caltech.edu/doi/10.22002/D1.1235"),
    ],
)
def test_pages_that_lead_to_a_record(text, page):
    """Badges, the newest version and DOIs of before a move are for the site to follow."""
    link = parse_record_link(text)
    assert (link.id, link.page) == ("", page)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://zenodo.org/",
        "https://zenodo.org/communities/escape2020",
        "https://zenodo.org/records/",
        "https://zenodo.org/records/abc",
        "https://zenodo.org/records/12345678901234567890",
        "10.21105/joss.01277",
        "10.5281/zenodo.",
        "10.5281/zenodo.x",
        "https://github.com/records/12345",
        "https://gitlab.com/records/12345",
        "https://jane@git.example.org/records/12345",
        "https://git.example.org/records/12345@main",
        "https://git.example.org/lab/records/12345",
        "https://[::1/records/5",
        "https://host:port/records/5",
        "./records/5",
        "zenodo:5\0",
    ],
)
def test_what_names_no_record(text):
    """Other pages, other DOIs and repositories of git are left to others."""
    assert parse_record_link(text) is None


@given(
    st.one_of(
        st.text(),
        st.builds("https://{}/records/{}".format, st.text(), st.text()),
        st.builds("10.5281/zenodo.{}{}".format, st.integers(), st.text()),
        st.builds(
            "https://zenodo.org/{}/{}".format, st.sampled_from(["doi", "badge", "badge/doi"]), st.text()
        ),
    )
)
@example("https://zenodo.org/badge/doi/10.1234/")
@example("https://zenodo.org/doi/10.1234/%00")
def test_any_text_is_a_record_or_none(text):
    """No text makes the reader fail, and what it returns has one id or page, at the site's own address."""
    link = parse_record_link(text)
    parse_record_doi(text)
    if link is not None:
        assert bool(link.id) != bool(link.page)
        assert link.base.isprintable()
        assert not link.page or link.page.startswith(f"{link.base}/")
        assert link.page.isprintable()
        assert link.asked
