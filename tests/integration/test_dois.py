"""DOIs of other kinds: followed by their resolver to an archive, from a paper to its software, or told for what they are."""

from __future__ import annotations

import json

import pytest
from archive_server import Reply, recorded
from deposits import NOTEBOOK, asked, keep_article, md5, zipped

from reprolake_builder.documents.source import FilesSource
from reprolake_builder.errors import ReprolakeError, ResolveError
from reprolake_builder.resolve import resolve

JOSS = "10.21105/joss.01277"
PAPER = "10.1000/paper"


def lead(server, name, address, resolver="doi.org"):
    values = [{"index": 100, "type": "HS_ADMIN", "data": {"format": "admin", "value": {"handle": "0.NA/10"}}}]
    values += [{"index": 1, "type": "URL", "data": {"format": "string", "value": address}}]
    server.tell(
        f"GET {resolver}/api/handles/{name}?type=URL", {"responseCode": 1, "handle": name, "values": values}
    )


def publish(server, doi, relation=None, **changed):
    """Let Crossref know a paper that leads to its publisher."""
    lead(server, doi, f"https://publisher.example/{doi}")
    work = {
        "type": "journal-article",
        "title": ["On crabs"],
        "container-title": ["Annals of Crabs"],
        **changed,
    }
    server.tell(
        f"GET api.crossref.org/works/{doi.replace('/', '%2F')}",
        {"message": {**work, "relation": relation or {}}},
    )


def register(server, doi, kind, **changed):
    """Let DataCite know something of a kind."""
    attributes = {
        "titles": [{"title": "Crab"}],
        "publisher": "Somewhere",
        "types": {"resourceTypeGeneral": kind},
        **changed,
    }
    server.tell(
        f"GET api.datacite.org/dois/{doi}", {"data": {"id": doi, "type": "dois", "attributes": attributes}}
    )


def keep_record(server, id_):
    """Let Zenodo have a record of one archive."""
    content = zipped(crab___fit__ipynb=NOTEBOOK)
    url = f"https://zenodo.org/api/records/{id_}/files/crab.zip/content"
    server.tell(f"GET zenodo.org/api/records/{id_}", {
        "id": int(id_), "recid": id_, "conceptrecid": "1", "doi": f"10.5281/zenodo.{id_}", "title": "tqdm",
        "metadata": {"title": "tqdm", "doi": f"10.5281/zenodo.{id_}", "publication_date": "2019-05-13", "access_right": "open",
                     "version": "v4.32.0", "resource_type": {"type": "software", "title": "Software"}},
        "files": [{"key": "crab.zip", "size": len(content), "checksum": f"md5:{md5(content)}", "links": {"self": url}}],
    })  # fmt: skip
    server.tell(f"GET zenodo.org/api/records/{id_}/files/crab.zip/content", content)


def test_a_paper_of_joss_leads_to_its_software_archive(server, tools):
    """The recorded deposit of a paper names the archive that the editors checked; the pin tells both."""
    server.tell(f"GET doi.org/api/handles/{JOSS}?type=URL", recorded("handle-joss.json"))
    server.tell(f"GET api.crossref.org/works/{JOSS.replace('/', '%2F')}", recorded("crossref-joss.json"))
    keep_record(server, "2800317")
    source = resolve(asked(f"https://doi.org/{JOSS}", take="archive"), tools)
    assert isinstance(source, FilesSource)
    assert (source.record.site, source.record.doi, source.record.asked) == (
        "zenodo.org",
        "10.5281/zenodo.2800317",
        JOSS,
    )
    assert source.record.chain[0] == (
        f"{JOSS} is a journal article: tqdm: A Fast, Extensible Progress Meter for Python and CLI, "
        "in Journal of Open Source Software; it names its software 10.5281/zenodo.2800317"
    )
    with pytest.raises(ResolveError, match="--locked follows no such name") as caught:
        resolve(asked(JOSS, locked=True), tools)
    assert "10.5281/zenodo.2800317" in caught.value.hint


def test_a_paper_of_joss_that_crossref_tells_no_archive_of_is_asked_at_joss(server, tools):
    """Older deposits lack the relation, and the page's JSON has it."""
    publish(server, JOSS)
    server.tell(
        f"GET joss.theoj.org/papers/{JOSS}.json",
        {
            "title": "tqdm",
            "software_archive": "https://doi.org/10.5281/zenodo.2800317",
            "software_repository": "https://x.example",
        },
    )
    keep_record(server, "2800317")
    assert resolve(asked(JOSS, take="archive"), tools).record.doi == "10.5281/zenodo.2800317"


def test_the_one_software_that_a_paper_names_is_taken(server, tools):
    """Among what a paper names, DataCite tells software from data; one alone is not ambiguous."""
    keep_article(server, 2, ("fit.ipynb", NOTEBOOK))
    related = [{"id-type": "doi", "id": doi} for doi in ("10.6084/m9.figshare.42.v2", "10.1000/data")]
    publish(server, PAPER, {"is-supplemented-by": related, "is-cited-by": [{"id": "10.1000/other"}]})
    register(server, "10.6084/m9.figshare.42.v2", "Software")
    register(server, "10.1000/data", "Dataset")
    source = resolve(asked(PAPER), tools)
    assert (source.record.id, source.record.asked) == ("42.v2", PAPER)


@pytest.mark.parametrize(
    ("related", "message", "hint"),
    [
        (
            [],
            "10.1000/paper is a journal article: On crabs, in Annals of Crabs; it names no software",
            "look in it",
        ),
        (["10.1000/data"], "it names no software", "it names 10.1000/data: if one"),
        (
            ["10.1000/one", "10.1000/two"],
            "it names 2 records of software",
            "give the one that is meant: 10.1000/one, 10.1000/two",
        ),
    ],
)
def test_a_paper_without_one_software_says_what_it_is(server, tools, related, message, hint):
    """The kind, the title and the journal are told, and what else the paper names."""
    publish(server, PAPER, {"references": [{"id-type": "doi", "id": doi} for doi in related]})
    for doi in ("10.1000/one", "10.1000/two"):
        register(server, doi, "Software")
    register(server, "10.1000/data", "Dataset")
    with pytest.raises(ResolveError) as caught:
        resolve(asked(PAPER), tools)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_data_set_at_datacite_says_what_it_is(server, tools):
    """What Crossref does not know is told by DataCite, in its old form and its new one."""
    lead(server, "10.1000/data", "https://data.example/1")
    register(
        server, "10.1000/data", "Dataset", publisher={"name": "The Lake"}, titles=[{"title": "Crabs\x1b[2J"}]
    )
    with pytest.raises(ResolveError, match=r"a dataset: Crabs.*at The Lake") as caught:
        resolve(asked("10.1000/data"), tools)
    assert "\x1b" not in caught.value.message


def test_a_doi_that_leads_to_an_archive_is_its_record(server, tools):
    """DOIs of any prefix are followed by the resolver's address, to Dataverse's pages and to an institute's figshare."""
    keep_article(server, 3, ("fit.ipynb", NOTEBOOK), doi="10.5522/04/42.v3")
    article = json.loads(server.replies["GET api.figshare.com/v2/articles/42"][0].body)
    server.tell("GET api.figshare.com/v2/articles/42", {**article, "doi": "10.5522/04/42.v3"})
    lead(server, "10.5522/04/42", "https://rdr.ucl.ac.uk/articles/software/crab/42/3")
    source = resolve(asked("10.5522/04/42"), tools)
    assert (source.record.id, source.record.asked) == ("42.v3", "10.5522/04/42")
    assert source.record.chain[0].startswith("10.5522/04/42 leads to https://rdr.ucl.ac.uk/")
    lead(server, "10.1000/other", "https://publisher.example/articles/software/crab/42/3")
    with pytest.raises(ResolveError, match="no record of a known archive"):
        resolve(asked("10.1000/other"), tools)


def test_a_handle_is_followed_like_a_doi(server, tools):
    """hdl: names are asked of the handle system's own resolver."""
    lead(server, "11529/10016", "https://data.cimmyt.example/about", "hdl.handle.net")
    with pytest.raises(
        ResolveError, match=r"11529/10016 leads to https://data\.cimmyt\.example/about, which is no record"
    ):
        resolve(asked("hdl:11529/10016"), tools)


def test_a_doi_that_is_not_registered_is_named(tools):
    """A mistyped DOI is told from one that leads elsewhere."""
    with pytest.raises(ResolveError, match="is not registered"):
        resolve(asked("10.1000/none"), tools)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>", b"[]", b'{"values": [{"type": "URL", "data": {"value": 7}}]}', b'{"values": [{"type": "URL", "data": {"value": "\\u0000"}}]}',
        b'{"values": [{"type": "URL", "data": {"value": "file:///etc"}}]}', b'{"values": [{"type": "URL", "data": {"value": "10.1000/paper"}}]}',
        b"[" * 100_000, Reply(b"", 403), Reply(b"", 302, {"Location": "file:///etc/passwd"}),
    ],
)  # fmt: skip
def test_answers_of_no_known_form_are_errors_of_ours(server, tools, answer):
    """A resolver that answers nonsense, names no web address or leads in circles is no traceback, and opens no file."""
    server.tell(f"GET doi.org/api/handles/{PAPER}?type=URL", answer)
    with pytest.raises(ReprolakeError) as caught:
        resolve(asked(PAPER), tools)
    assert caught.value.exit_code == 10
