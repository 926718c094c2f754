"""Closed files of Figshare and Dataverse: a token of the environment opens them, and goes to its own servers only."""

from __future__ import annotations

import dataclasses
import json

import pytest
from archive_server import Reply, recorded
from deposits import DATAVERSE, FIGSHARE, NOTEBOOK, asked, keep_article, md5

from reprolake.tokens import tokens_of
from reprolake_builder.download import Downloader
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.resolve import resolve
from reprolake_builder.tools import Tools

SECRET = "s3cret"
PID = "doi:10.5072/FK2/U6AEZM"
PAGE = f"https://{DATAVERSE}/dataset.xhtml?persistentId={PID}&version=2.0"
OWN = "GET api.figshare.com/v2/account/articles/42"


@pytest.fixture
def dataset(server):
    """A data set with one closed file."""
    told = json.loads(recorded("dataverse-version.json"))
    closed = told["data"]["files"][2]
    closed["dataFile"] |= {"id": 3, "filesize": 4}
    closed["dataFile"]["checksum"] = {"type": "MD5", "value": md5(b"data")}
    told["data"]["files"] = [closed]
    server.tell(f"GET {DATAVERSE}/api/datasets/:persistentId/versions/2.0?persistentId={PID}", told)
    server.tell(f"GET {DATAVERSE}/api/access/datafile/3", b"data")
    return closed["label"]


def with_tokens(tools: Tools, **environment: str) -> Tools:
    site = dataclasses.replace(tools.site, tokens=tokens_of(environment, ()))
    return dataclasses.replace(tools, site=site, downloader=Downloader(site))


def test_a_restricted_file_of_a_dataverse(server, tools, dataset):
    """With a key for that installation the closed file is taken, by the header that Dataverse reads."""
    opened = with_tokens(tools, DATAVERSE_KEY=SECRET, DATAVERSE_SERVER=f"https://{DATAVERSE}/")
    source = resolve(asked(PAGE), opened)
    assert [file.name for file in source.files] == [dataset]
    sent = server.headers[f"GET {DATAVERSE}/api/access/datafile/3"]
    assert (sent["X-Dataverse-key"], sent.get("Authorization")) == (SECRET, None)


def test_a_key_is_for_one_installation(server, tools, dataset):
    """A key without a server, and one for another server, are sent nowhere: the file stays left out."""
    for environment in ({}, {"DATAVERSE_SERVER": "dataverse.example.org"}):
        other = with_tokens(tools, DATAVERSE_KEY=SECRET, **environment)
        with pytest.raises(ResolveError, match="offers no files"):
            resolve(asked(PAGE), other)
    assert not any("X-Dataverse-key" in sent for sent in server.headers.values())


def test_a_key_does_not_follow_to_where_a_file_lies(server, tools, dataset):
    """Dataverse leads on to its storage, which is somebody else's server."""
    place = f"GET {DATAVERSE}/api/access/datafile/3"
    server.tell(place, Reply(b"", 303, {"Location": "https://files.example.org/s3"}))
    server.tell("GET files.example.org/s3", b"data")
    resolve(asked(PAGE), with_tokens(tools, DATAVERSE_KEY=SECRET, DATAVERSE_SERVER=DATAVERSE))
    assert server.headers[place]["X-Dataverse-key"] == SECRET
    assert "X-Dataverse-key" not in server.headers["GET files.example.org/s3"]


def test_a_key_that_opens_nothing(server, tools, dataset):
    """A refusal names the file's address and the variables, and not the key."""
    server.tell(f"GET {DATAVERSE}/api/access/datafile/3", Reply(b"", 403))
    with pytest.raises(FetchError, match="answers 403") as caught:
        resolve(asked(PAGE), with_tokens(tools, DATAVERSE_KEY=SECRET, DATAVERSE_SERVER=DATAVERSE))
    assert "DATAVERSE_KEY" in caught.value.hint
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"


def test_a_closed_article_of_ones_own(server, tools):
    """An embargoed article is asked for in the token's account; its files come with the token as well."""
    article = keep_article(server, 1, ("fit.ipynb", NOTEBOOK), is_embargoed=True)
    server.tell(f"{FIGSHARE}/42/versions/1/files", [])
    server.tell(OWN, article)
    server.tell(f"{OWN}/files", article["files"])
    source = resolve(asked("10.6084/m9.figshare.42.v1"), with_tokens(tools, FIGSHARE_TOKEN=SECRET))
    assert [file.name for file in source.files] == ["fit.ipynb"]
    for question in (OWN, "GET ndownloader.figshare.com/files/100"):
        assert server.headers[question]["Authorization"] == f"token {SECRET}"


@pytest.mark.parametrize("version", [0, 2])
def test_a_closed_article_of_somebody_else(server, tools, version):
    """An article that is not in the account, or is another version there, stays closed."""
    article = keep_article(server, 1, ("fit.ipynb", NOTEBOOK), is_embargoed=True, embargo_reason="until 2030")
    if version:
        server.tell(OWN, {**article, "version": version})
    with pytest.raises(ResolveError, match="is closed: until 2030"):
        resolve(asked("10.6084/m9.figshare.42.v1"), with_tokens(tools, FIGSHARE_TOKEN=SECRET))
