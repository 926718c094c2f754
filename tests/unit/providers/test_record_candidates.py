"""Which repositories and tags a record names, in which order."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_server import recorded

from reprolake_builder.providers.records.candidates import (
    described,
    file_tags,
    guessed_tags,
    mentioned,
    named_by_files,
    repository_link,
)
from reprolake_builder.providers.records.record import parse_record


def record(name, **metadata):
    told = recorded(name)
    told["metadata"] |= metadata
    return parse_record(json.dumps(told).encode(), "zenodo.org", "https://zenodo.org")


@pytest.mark.parametrize(
    ("name", "url", "rest", "tags"),
    [
        ("15600127", "https://github.com/EmilieMauduit/PALANTIR", "v0.1.1", ("v0.1.1",)),
        ("1200251", "https://github.com/NLeSC/Xenon", "2.6.1", ()),
        ("1197761", "https://github.com/NLeSC/xenon-grpc", "v2.3.0", ()),
        ("19202203", "https://github.com/TARGENE/targene-pipeline", "v0.13.4", ("v0.13.4",)),
        (
            "14907174",
            "https://github.com/ORNL/VERTEX-CFD",
            "vertex-cfd-v1.0.0-alpha",
            ("vertex-cfd-v1.0.0-alpha",),
        ),
        ("17052592", "https://github.com/salzubi401/ROMA", "ROMA", ("ROMA",)),
        ("3967385", "https://github.com/javierrico/gLike", "", ("v00.10.00",)),
        ("ferroehr", "https://github.com/ferroehr/ferroehr", "", ("v3.17.7",)),
        ("abcde-12345", "https://github.com/caltechlibrary/ames", "v1.2.0", ("v1.2.0",)),
        ("deposit", "https://github.com/3D-e-Chem/knime-sstea", "v1.0.5", ("v1.0.5",)),
    ],
)
def test_the_likeliest_repository(name, url, rest, tags):
    """The tag's page comes first, then the field for the repository, then other relations; files tell the tag."""
    found = record(name)
    first = described(found)[0]
    assert (first.link.url, first.link.rest or first.link.ref) == (url, rest)
    assert file_tags(found, url) == tags


@pytest.mark.parametrize("name", ["1189196", "22074028", "4020622", "3763271"])
def test_records_that_name_none(name):
    """Manual uploads, papers and data sets name no repository."""
    assert described(record(name)) == ()


def relations(*pairs):
    return [
        {"identifier": target, "relation": relation, "resource_type": kind}
        for relation, target, kind in pairs
    ]


def test_the_order_of_relations():
    """A page with a ref wins over the field, the field over other relations; citations count for software only."""
    found = record(
        "15600127",
        related_identifiers=relations(
            ("cites", "https://github.com/a/paper", "publication"),
            ("cites", "https://github.com/a/tool", "software"),
            ("isPartOf", "https://github.com/a/whole", "software"),
            ("isSupplementTo", "https://github.com/a/root", "software"),
            ("isSupplementTo", "https://gitlab.com/a/b/c/-/tags/v1", "software"),
            ("isSupplementTo", "https://example.org/home", "software"),
        ),
    )
    assert [candidate.link.url for candidate in described(found)] == [
        "https://gitlab.com/a/b/c.git",
        "https://github.com/EmilieMauduit/PALANTIR",
        "https://github.com/a/root",
        "https://github.com/a/whole",
        "https://github.com/a/tool",
    ]


def test_one_repository_twice_is_one_with_its_ref():
    """The same repository in several places keeps its first place, and the ref that one of them gives."""
    found = record(
        "15600127",
        related_identifiers=relations(
            ("isDerivedFrom", "https://GitHub.com/EmilieMauduit/PALANTIR.git", "software"),
            ("isPartOf", "https://github.com/emiliemauduit/palantir/tree/v9", "software"),
        ),
    )
    (only,) = described(found)
    assert ("(ispartof)" in only.origin, only.link.rest) == (True, "v9")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("git+https://github.com/a/b.git", "https://github.com/a/b"),
        ("scm:git:https://github.com/a/b", "https://github.com/a/b"),
        ("git@github.com:a/b.git", "https://github.com/a/b"),
        ("ssh://git@gitlab.com/a/b.git", "https://gitlab.com/a/b.git"),
        ("git://github.com/a/b", "https://github.com/a/b"),
        ("https://github.com/a/b/", "https://github.com/a/b"),
        ("https://gitlab.obspm.fr/a/b", "https://gitlab.obspm.fr/a/b"),
        ("https://inst.example.org/cgit/b.git", "https://inst.example.org/cgit/b.git"),
        ("https://jane:secret@github.com/a/b", "https://github.com/a/b"),
    ],
)
def test_addresses_of_repositories(text, url):
    """What people write for a repository becomes its address over https, without logins."""
    assert repository_link(text).url == url


@pytest.mark.parametrize(
    "text",
    ["", "10.5281/zenodo.5", "https://example.org/docs/page", "file:///etc", "/etc", "-oProxyCommand=x", "ext::sh -c x",
     "https://github.com/a", "https://github.com/a/b/releases/latest", "https://zenodo.org/records/5", "C:\\a", "a b"],
)  # fmt: skip
def test_what_is_no_repository(text):
    """Pages, records, local paths and programs are none."""
    assert repository_link(text) is None


@given(
    st.text() | st.builds("https://github.com/{}".format, st.text()) | st.builds("git@{}".format, st.text())
)
def test_any_text_is_a_repository_or_none(text):
    """No text of a record makes the reader fail, and only http addresses come out."""
    for sure in (True, False):
        link = repository_link(text, sure=sure)
        assert link is None or link.url.startswith(("https://", "http://"))


def test_names_of_files_title_and_folder():
    """File key, title and an archive's folder hint at GitHub; a folder with another dash is ambiguous and says nothing."""
    found = record("19202203", related_identifiers=[])
    assert [item.link.url for item in named_by_files(found, "")] == [
        "https://github.com/TARGENE/targene-pipeline"
    ]
    plain = record("1189196")
    assert [item.link.url for item in named_by_files(plain, "a-b-aa71d2d")] == ["https://github.com/a/b"]
    assert named_by_files(plain, "a-b-c-aa71d2d") == ()
    assert mentioned(plain) == ("https://github.com/someone/analysis",)


def test_tags_after_version_and_title():
    """Version, with and without v, and the release's name in the title may be the tag."""
    assert guessed_tags(record("14907174")) == ("v1.0.0", "1.0.0", "vertex-cfd-v1.0.0-alpha")
    assert guessed_tags(record("1200251")) == ("2.6.1", "v2.6.1")
