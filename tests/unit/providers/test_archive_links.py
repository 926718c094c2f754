"""Links to the archives beside Zenodo, as people paste them."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reprolake_builder.errors import ResolveError
from reprolake_builder.providers.deposits.ckan import CkanLink, parse_ckan_link
from reprolake_builder.providers.deposits.dataverse import DataverseLink, parse_dataverse_link
from reprolake_builder.providers.deposits.figshare import FigshareLink, parse_figshare_link, parse_portal_link
from reprolake_builder.providers.deposits.hydroshare import parse_hydroshare_link, parse_manifest
from reprolake_builder.providers.links.dois import parse_doi, same_doi
from reprolake_builder.providers.links.heritage import (
    Swhid,
    is_heritage_link,
    origin_hash,
    parse_heritage_link,
)
from reprolake_builder.providers.mercurial.provider import parse_hg_link

ID = "b8f6eae9d89241cf8b5904033460af61"
REV = "aafb16d69fd30ff58afdd69036a26047f3aebdc6"
DIR = "977fc4b98c0e85816348cebd3b12026407c368b6"
SNP = "cabcc7d7bf639bbe1cc3b41989e1806618dd5764"
ORIGIN = "https://github.com/python/cpython"
HERITAGE = "https://archive.softwareheritage.org"
HARVARD = "https://dataverse.harvard.edu"


@pytest.mark.parametrize(
    ("text", "doi"),
    [
        ("10.21105/joss.01277", "10.21105/joss.01277"),
        ("doi:10.7910/DVN/6ZXAGT", "10.7910/DVN/6ZXAGT"),
        ("DOI: 10.6084/m9.figshare.9782777.v1", "10.6084/m9.figshare.9782777.v1"),
        ("https://doi.org/10.1000/a%20b%3Cc%3E", ""),
        ("https://doi.org/10.1000/a%3Cc%3E?x=1#y", "10.1000/a<c>"),
        ("http://dx.doi.org/10.4211/hs.abc/", "10.4211/hs.abc"),
        ("https://www.doi.org/doi:10.1000/1.", "10.1000/1"),
        ("info:doi/10.1000.10/123", "10.1000.10/123"),
        ("https://example.org/10.1000/1", ""),
        ("https://joss.theoj.org/papers/10.21105/joss.01277", "10.21105/joss.01277"),
        ("https://arxiv.org/abs/2301.00001v2", "10.48550/arXiv.2301.00001"),
        ("https://arxiv.org/pdf/2301.00001.pdf", "10.48550/arXiv.2301.00001"),
        ("arXiv:astro-ph/0601234", "10.48550/arXiv.astro-ph/0601234"),
        ("https://arxiv.org/list/astro-ph/new", ""),
        ("10.1000/", ""),
        ("10.1000//", ""),
        ("11.1000/1", ""),
    ],
)
def test_dois_are_read_in_every_spelling(text, doi):
    """A resolver's address, a scheme and closing marks do not belong to the DOI; some papers' pages tell theirs."""
    assert parse_doi(text) == doi


def test_dois_are_one_in_either_case():
    """Letters of a DOI mean the same, and no DOI equals none."""
    assert same_doi("10.7910/dvn/6zxagt", "https://doi.org/10.7910/DVN/6ZXAGT")
    assert not same_doi("", "")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (f"swh:1:rev:{REV}", Swhid("rev", REV)),
        (
            f"swh:1:dir:{DIR};origin={ORIGIN};visit=swh:1:snp:{SNP};anchor=swh:1:rev:{REV};path=/Doc/a%3Bb%25/",
            Swhid("dir", DIR, ORIGIN, SNP, f"swh:1:rev:{REV}", "Doc/a;b%"),
        ),
        (f"{HERITAGE}/swh:1:rel:{REV};origin={ORIGIN}/", Swhid("rel", REV, ORIGIN)),
        (f"{HERITAGE}/browse/swh:1:snp:{SNP}/", Swhid("snp", SNP)),
        (f"https://identifiers.org/swh:1:dir:{DIR}", Swhid("dir", DIR)),
        (f"{HERITAGE}/swh%3A1%3Adir%3A{DIR}", Swhid("dir", DIR)),
        (
            f"{HERITAGE}/browse/revision/{REV}/?origin_url={ORIGIN}&path=Lib",
            Swhid("rev", REV, ORIGIN, path="Lib"),
        ),
        (f"{HERITAGE}/browse/revision/{REV}/log/", Swhid("rev", REV)),
        (f"{HERITAGE}/api/1/release/{REV}/", Swhid("rel", REV)),
        (f"{HERITAGE}/browse/directory/{DIR}/", Swhid("dir", DIR)),
        (
            f"{HERITAGE}/browse/snapshot/{SNP}/directory/?branch=refs/heads/main",
            Swhid("snp", SNP, branch="refs/heads/main"),
        ),
        (f"{HERITAGE}/browse/origin/?origin_url={ORIGIN}", Swhid("ori", origin_hash(ORIGIN), ORIGIN)),
        (
            f"{HERITAGE}/browse/origin/directory/?origin_url={ORIGIN}&snapshot={SNP}&path=Doc",
            Swhid("snp", SNP, ORIGIN, SNP, path="Doc"),
        ),
        (
            f"{HERITAGE}/browse/origin/directory/?origin_url={ORIGIN}&revision={REV}",
            Swhid("rev", REV, ORIGIN),
        ),
        (f"{HERITAGE}/browse/origin/{ORIGIN}/directory/", Swhid("ori", origin_hash(ORIGIN), ORIGIN)),
    ],
)
def test_software_heritage_is_understood_by_identifier_and_by_page(text, meant):
    """An identifier with its qualifiers and the pages that show the object name the same."""
    assert is_heritage_link(text)
    assert parse_heritage_link(text) == meant


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            f"swh:1:cnt:{REV};anchor=swh:1:rev:{DIR};path=/a.py",
            f"is a single file.*anchor=….*is swh:1:rev:{DIR}",
        ),
        (f"{HERITAGE}/browse/content/sha1_git:{REV}/?path=a.py", "is a single file"),
        (f"swh:2:rev:{REV}", "is no identifier of Software Heritage"),
        (f"swh:1:rev:{REV[1:]}", "is no identifier of Software Heritage"),
        (f"swh:1:rev:{REV};colour=red", "part ;colour=red"),
        (f"swh:1:rev:{REV};path=/a;path=/b", "part ;path=/b"),
        (f"swh:1:rev:{REV};path=/a/../../b", "leads out"),
        (f"swh:1:dir:{REV};anchor=swh:1:cnt:{REV}", "cannot be an anchor"),
        (f"swh:1:dir:{REV};visit=swh:1:rev:{REV}", "swh:1:snp:"),
        (f"{HERITAGE}/browse/search/?q=a", "no page of Software Heritage that stands for"),
        (f"{HERITAGE}/browse/origin/?origin_url={ORIGIN}&timestamp=2020-01-01", "names a visit by its time"),
        (f"swh:1:rev:{REV};origin=https://a b", "no address of an origin"),
    ],
)
def test_what_stands_for_no_source_is_refused_with_the_reason(text, words):
    """Single files, misspelled identifiers and pages of other kinds end in a sentence, never in a guess."""
    with pytest.raises(ResolveError) as caught:
        parse_heritage_link(text)
    assert re.search(words, f"{caught.value.message} {caught.value.hint}")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("10.6084/m9.figshare.9782777", FigshareLink(9782777)),
        ("https://doi.org/10.6084/m9.figshare.9782777.v12", FigshareLink(9782777, 12)),
        ("https://figshare.com/articles/title/9782777", FigshareLink(9782777)),
        ("https://figshare.com/articles/title/9782777/", FigshareLink(9782777)),
        ("https://figshare.com/articles/software/a_title/9782777/2?file=1#x", FigshareLink(9782777, 2)),
        ("https://figshare.com/account/articles/9782777", FigshareLink(9782777)),
        ("https://smithsonian.figshare.com/articles/dataset/Bay/10042703", FigshareLink(10042703)),
        ("https://api.figshare.com/v2/articles/5/versions/3", FigshareLink(5, 3)),
        ("10.6084/m9.figshare.c.123.v1", FigshareLink(123, 1, collection=True)),
        ("https://figshare.com/collections/a/123", FigshareLink(0, collection=True)),
        ("https://figshare.com/about", None),
        ("https://example.org/articles/title/9782777", None),
        ("10.5281/zenodo.1", None),
    ],
)
def test_figshare_links(text, meant):
    """Articles are known by DOI and by page, of the institutes under figshare.com as well."""
    assert parse_figshare_link(text) == meant


def test_portals_of_institutes_have_figshares_paths():
    """The page of an institute's own host is told by its path alone, for a DOI that led there."""
    assert parse_portal_link("https://rdr.example.ac.uk/articles/dataset/A/12/3") == FigshareLink(12, 3)
    assert parse_portal_link("https://example.org/papers/12") is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("10.7910/DVN/6ZXAGT", DataverseLink(HARVARD, "doi:10.7910/DVN/6ZXAGT")),
        ("doi:10.7910/DVN/6ZXAGT/3YRRYJ", DataverseLink(HARVARD, "doi:10.7910/DVN/6ZXAGT/3YRRYJ")),
        (
            f"{HARVARD}/dataset.xhtml?persistentId=doi:10.7910/DVN/6ZXAGT",
            DataverseLink(HARVARD, "doi:10.7910/DVN/6ZXAGT"),
        ),
        (
            f"{HARVARD}/dataset.xhtml?persistentId=doi%3A10.7910%2FDVN%2F6ZXAGT&version=2.1",
            DataverseLink(HARVARD, "doi:10.7910/DVN/6ZXAGT", version="2.1"),
        ),
        (
            f"{HARVARD}/citation?persistentId=doi:10.7910/DVN/TJCLKP",
            DataverseLink(HARVARD, "doi:10.7910/DVN/TJCLKP"),
        ),
        (
            "https://data.cimmyt.org/dataset.xhtml?persistentId=hdl:11529/10016",
            DataverseLink("https://data.cimmyt.org", "hdl:11529/10016"),
        ),
        (
            f"{HARVARD}/file.xhtml?persistentId=doi:10.7910/DVN/6ZXAGT/3YRRYJ&version=1.0",
            DataverseLink(HARVARD, file="doi:10.7910/DVN/6ZXAGT/3YRRYJ", version="1.0"),
        ),
        (f"{HARVARD}/file.xhtml?fileId=3323458", DataverseLink(HARVARD, file="3323458")),
        (f"{HARVARD}/api/access/datafile/3323458?format=original", DataverseLink(HARVARD, file="3323458")),
        (
            f"{HARVARD}/api/access/datafile/:persistentId?persistentId=doi:10.7910/DVN/A/B",
            DataverseLink(HARVARD, file="doi:10.7910/DVN/A/B"),
        ),
        (
            f"{HARVARD}/api/datasets/:persistentId/versions/3.0?persistentId=doi:10.7910/DVN/A",
            DataverseLink(HARVARD, "doi:10.7910/DVN/A", version="3.0"),
        ),
        (
            "https://data.example.org:8443/dvn/dataset.xhtml?persistentId=doi:10.5072/FK2/A",
            DataverseLink("https://data.example.org:8443/dvn", "doi:10.5072/FK2/A"),
        ),
        (
            "https://demo.dataverse.org/spa/datasets?persistentId=doi:10.70122/FK2/A&version=DRAFT",
            DataverseLink("https://demo.dataverse.org", "doi:10.70122/FK2/A"),
        ),
        (f"{HARVARD}/dataset.xhtml?id=12", None),
        (f"{HARVARD}/dataverse/harvard", None),
        ("10.5281/zenodo.1", None),
    ],
)
def test_dataverse_links(text, meant):
    """Data sets and their files are known on any installation by path, and by the DOIs of Harvard's."""
    assert parse_dataverse_link(text) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (f"10.4211/hs.{ID}", ID),
        (f"https://doi.org/10.4211/hs.{ID.upper()}", ID),
        (f"https://www.hydroshare.org/resource/{ID}", ID),
        (f"http://www.hydroshare.org/resource/{ID}/", ID),
        (f"https://www.hydroshare.org/resource/{ID}/data/contents/a.csv", ID),
        (f"https://www.hydroshare.org/django_irods/download/bags/{ID}.zip", ID),
        (f"https://example.org/resource/{ID}", ""),
        ("https://www.hydroshare.org/resource/abc", ""),
    ],
)
def test_hydroshare_links(text, meant):
    """A resource is known by DOI, page, file and bag."""
    assert parse_hydroshare_link(text) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("http://demo.ckan.org/dataset/1234", CkanLink("http://demo.ckan.org", "1234")),
        (
            "https://data.example.org/de/dataset/some-name/resource/9/",
            CkanLink("https://data.example.org/de", "some-name"),
        ),
        ("https://a.example/dataset/x?activity_id=9", CkanLink("https://a.example", "x", past=True)),
        ("https://a.example/api/3/action/package_show?id=x", CkanLink("https://a.example", "x")),
        ("https://a.example/datasets/x", None),
        ("https://a.example/dataset/", None),
        ("ftp://a.example/dataset/x", None),
    ],
)
def test_ckan_links(text, meant):
    """A data set is told by its path on any host; whether that is a portal shows when it is asked."""
    assert parse_ckan_link(text) == meant


PARTS = st.sampled_from(
    ["https://", "http://", "swh:1:", "rev:", "dir:", "ori:", REV, DIR, ";origin=", ";path=", ";anchor=", "10.6084/", "10.7910/DVN/",
     "m9.figshare.", "archive.softwareheritage.org", "figshare.com", "/articles/", "/browse/", "/dataset/", "dataset.xhtml?persistentId=",
     "/api/access/datafile/", "www.hydroshare.org/resource/", ID, "[", "]", "%", "%2F", "..", "/", "@", "?", "#", "&", "=", " ", "\x00", "é"]
)  # fmt: skip


@given(st.lists(PARTS | st.text(max_size=5), max_size=14).map("".join))
@example("https://[")
@example("hg+https://[::1/x")
@example("https://hg.a/b/file/%00/c")
@example("https://a.example:99999/dataset/x")
@example("https://archive.softwareheritage.org:x/browse/origin/")
def test_any_text_gives_a_link_or_our_own_refusal(text):
    """No grammar of an archive's links fails in another way than by saying why."""
    parse_doi(text)
    parse_figshare_link(text)
    parse_portal_link(text)
    parse_hydroshare_link(text)
    parse_ckan_link(text)
    found = parse_dataverse_link(text)
    assert found is None or found.server.startswith("http")
    with contextlib.suppress(ResolveError):
        assert parse_hg_link(text).url.startswith(("https://", "http://"))
    with contextlib.suppress(ResolveError):
        parse_manifest(text.encode("utf-8", "surrogatepass"))
    if is_heritage_link(text):
        with contextlib.suppress(ResolveError):
            assert len(parse_heritage_link(text).hash) == 40
