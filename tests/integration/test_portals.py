"""Records of Dataverse, HydroShare and CKAN, replayed by a double of their servers."""

from __future__ import annotations

import hashlib
import json

import pytest
from archive_server import Reply, recorded
from deposits import DATAVERSE, HYDRO, NOTEBOOK, asked, md5

from reprolake_builder.errors import FetchError, ReprolakeError, ResolveError
from reprolake_builder.fetch import fetch
from reprolake_builder.resolve import resolve

PID = "doi:10.5072/FK2/U6AEZM"


# ---------------------------------------------------------------------- Dataverse
@pytest.fixture
def dataset(server):
    """The recorded data set, its files served as they were uploaded."""
    told = json.loads(recorded("dataverse-version.json"))
    births, notebook, _ = told["data"]["files"]
    births["dataFile"]["checksum"]["value"] = md5(b"year,births\n")
    notebook["dataFile"] |= {"filesize": len(NOTEBOOK)}
    notebook["dataFile"]["checksum"]["value"] = hashlib.sha1(NOTEBOOK).hexdigest().upper()
    question = f"GET {DATAVERSE}/api/datasets/:persistentId/versions/"
    for version in ("2.0", ":latest-published"):
        server.tell(f"{question}{version}?persistentId={PID}", told)
    server.tell(f"GET {DATAVERSE}/api/access/datafile/1?format=original", b"year,births\n")
    server.tell(f"GET {DATAVERSE}/api/access/datafile/2", NOTEBOOK)
    return told


def test_a_data_set_is_its_files_as_they_were_uploaded(server, tools, said, dataset):
    """Folders are kept, a table comes in its original form and name, and closed files are left out and named."""
    source = resolve(asked(f"https://{DATAVERSE}/dataset.xhtml?persistentId={PID}&version=2.0"), tools)
    assert [(file.name, file.url) for file in source.files] == [
        ("data/subdir1/births.csv", f"https://{DATAVERSE}/api/access/datafile/1?format=original"),
        ("fit.ipynb", f"https://{DATAVERSE}/api/access/datafile/2"),
    ]
    record = source.record
    assert (record.id, record.version, record.doi, record.asked) == (f"{PID} 2.0", "2.0", PID[4:], "")
    assert record.title == "North Carolina Vital Statistics -- Birth/Infant Deaths 1972"
    assert (f"{source.date:%Y-%m-%d}", source.date_is) == ("2015-04-20", "published")
    assert said.warnings == [
        "Files that their authors keep closed are left out: secret.txt "
        "(with access of yours: DATAVERSE_KEY, and DATAVERSE_SERVER for this host)"
    ]
    assert fetch(source, tools).paths == (b"data/subdir1/births.csv", b"fit.ipynb")


def test_a_data_set_without_a_version_is_its_newest(tools, dataset):
    """The version is asked for and named; --locked wants it in the link."""
    link = f"https://{DATAVERSE}/citation?persistentId={PID}"
    source = resolve(asked(link), tools)
    assert (source.record.version, source.record.asked) == ("2.0", PID)
    assert source.record.chain[0] == f"{PID} has the newest version 2.0"
    with pytest.raises(ResolveError, match="--locked follows no such name") as caught:
        resolve(asked(link, locked=True), tools)
    assert caught.value.hint.endswith(f"https://{DATAVERSE}/dataset.xhtml?persistentId={PID}&version=2.0")


@pytest.mark.parametrize(
    ("link", "question"),
    [
        (f"https://{DATAVERSE}/api/access/datafile/2", "2?"),
        (f"https://{DATAVERSE}/file.xhtml?fileId=2", "2?"),
        (f"https://{DATAVERSE}/file.xhtml?persistentId={PID}/X", f":persistentId?persistentId={PID}/X&"),
        (f"https://{DATAVERSE}/dataset.xhtml?persistentId={PID}/X", f":persistentId?persistentId={PID}/X&"),
    ],
)
def test_a_file_stands_for_its_data_set(server, tools, dataset, link, question):
    """A notebook needs what lies beside it: a link to one file means the data set that it is in."""
    server.tell(
        f"GET {DATAVERSE}/api/files/{question}returnDatasetVersion=true",
        {"status": "OK", "data": {"label": "fit.ipynb", "datasetVersion": {"datasetPersistentId": PID}}},
    )
    source = resolve(asked(link), tools)
    assert source.record.id == f"{PID} 2.0"
    assert source.record.chain[0].endswith(f"is in the data set {PID}, which is taken whole")


def test_a_file_with_another_sha1_is_refused(server, tools, dataset):
    """An installation that tells SHA-1 is held to it."""
    server.tell(f"GET {DATAVERSE}/api/access/datafile/2", NOTEBOOK[:-1] + b" ")
    with pytest.raises(FetchError, match="arrived with the SHA-1"):
        resolve(asked(f"https://{DATAVERSE}/dataset.xhtml?persistentId={PID}&version=2.0"), tools)


def test_drafts_and_unknown_data_sets_are_refused(server, tools, dataset):
    """What is not released may change; what is not there is named."""
    dataset["data"]["versionState"] = "DEACCESSIONED"
    server.tell(f"GET {DATAVERSE}/api/datasets/:persistentId/versions/2.0?persistentId={PID}", dataset)
    with pytest.raises(ResolveError, match="is DEACCESSIONED"):
        resolve(asked(f"https://{DATAVERSE}/dataset.xhtml?persistentId={PID}&version=2.0"), tools)
    with pytest.raises(ResolveError, match="has no published data set or file doi:"):
        resolve(asked("10.7910/DVN/NONE"), tools)


# ---------------------------------------------------------------------- HydroShare
def keep_resource(server, files, **changed):
    told = {**json.loads(recorded("hydroshare-sysmeta.json")), **changed}
    server.tell(f"GET www.hydroshare.org/hsapi/resource/{HYDRO}/sysmeta/", told)
    rows = [f"{md5(content)}  data/contents/{name}" for name, content in files.items()]
    rows += [f"{'0' * 32}  data/resourcemap.xml", ""]
    server.tell(f"GET www.hydroshare.org/resource/{HYDRO}/manifest-md5.txt", "\n".join(rows).encode())
    for name, content in files.items():
        server.tell(
            f"GET www.hydroshare.org/resource/{HYDRO}/data/contents/{name.replace(' ', '%20')}", content
        )


def test_a_published_resource_is_the_contents_of_its_bag(server, tools):
    """The manifest names files and checksums; what only describes the bag is left out."""
    keep_resource(server, {"fit.ipynb": NOTEBOOK, "a b/c.txt": b"c"}, published=True)
    source = resolve(asked(f"10.4211/hs.{HYDRO}", locked=True), tools)
    assert fetch(source, tools).paths == (b"a b/c.txt", b"fit.ipynb")
    assert (source.record.doi, source.record.asked, source.date_is) == (
        f"10.4211/hs.{HYDRO}",
        "",
        "published",
    )
    assert f"{source.date:%Y-%m-%d}" == "2019-09-25"


def test_a_resource_that_may_change_is_taken_as_it_is_today(server, tools, said):
    """Its state is named by the day of its last change, and --locked refuses it."""
    keep_resource(server, {"fit.ipynb": NOTEBOOK})
    source = resolve(asked(f"https://www.hydroshare.org/resource/{HYDRO}/"), tools)
    assert (source.record.version, source.record.asked, source.date_is) == (
        "2019-09-25",
        HYDRO,
        "last modified",
    )
    assert "is not published" in said.notes[0]
    with pytest.raises(ResolveError, match="--locked follows no such name"):
        resolve(asked(f"https://www.hydroshare.org/resource/{HYDRO}/", locked=True), tools)


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (b"no checksum here\n", "manifest-md5.txt:1: 'no checksum here' is no checksum"),
        (b"0" * 32 + b"  data/contents/../../evil\n", "cannot be pinned"),
        (b"0" * 32 + b"  data/contents/a%0Ab\n", "cannot be pinned"),
        (b"\xff" * 40, "is no checksum"),
        (b"0" * 32 + b"  data/readme.html\n", "offers no files"),
    ],
)
def test_a_manifest_names_files_in_the_source_or_nothing(server, tools, manifest, words):
    """Lines of another form and paths that lead out are refused."""
    keep_resource(server, {})
    server.tell(f"GET www.hydroshare.org/resource/{HYDRO}/manifest-md5.txt", manifest)
    with pytest.raises(ReprolakeError, match=words):
        resolve(asked(f"10.4211/hs.{HYDRO}"), tools)
    assert not any("evil" in question for question in server.asked)


def test_a_resource_without_a_bag_says_how_to_get_one(server, tools):
    """HydroShare writes a manifest when somebody asks for the download."""
    keep_resource(server, {})
    del server.replies[f"GET www.hydroshare.org/resource/{HYDRO}/manifest-md5.txt"]
    with pytest.raises(ResolveError, match="tells no manifest"):
        resolve(asked(f"10.4211/hs.{HYDRO}"), tools)
    with pytest.raises(ResolveError, match="has no resource 0000"):
        resolve(asked(f"10.4211/hs.{'0' * 32}"), tools)


# ---------------------------------------------------------------------- CKAN
def keep_package(server, *resources, **changed):
    told = json.loads(recorded("ckan-package.json"))
    template = told["result"]["resources"][0]
    told["result"] |= {"resources": [{**template, **resource} for resource in resources], **changed}
    server.tell("GET demo.ckan.org/api/3/action/package_show?id=a-data-set", told)


def test_a_data_set_of_ckan_is_its_resources(server, tools, said):
    """Files are named by their addresses, apart by their ids where two are alike, and hashes count where they are given."""
    url = "http://demo.ckan.org/dataset/1234/resource/6f9a924f/download/"
    keep_package(
        server,
        {"id": "1", "url": f"{url}fit.ipynb", "hash": md5(NOTEBOOK)},
        {"id": "2", "url": "https://files.example.org/2024/a.csv?x=1", "hash": "no hash"},
        {"id": "3", "url": "https://files.example.org/2025/a.csv"},
        {"id": "4", "url": "ftp://files.example.org/b.csv", "name": "by ftp"},
        {"id": "5", "url": "https://files.example.org/old.csv", "state": "deleted"},
    )
    server.tell("GET demo.ckan.org/dataset/1234/resource/6f9a924f/download/fit.ipynb", NOTEBOOK)
    server.tell("GET files.example.org/2024/a.csv?x=1", b"4")
    server.tell("GET files.example.org/2025/a.csv", b"5")
    source = resolve(asked("http://demo.ckan.org/dataset/a-data-set"), tools)
    assert [file.name for file in source.files] == ["2/a.csv", "3/a.csv", "fit.ipynb"]
    assert (f"{source.date:%Y-%m-%dT%H:%M:%S}", source.date_is) == ("2024-02-27T14:15:54", "last modified")
    assert source.record.asked == "a-data-set"
    assert "by ftp" in said.warnings[0]
    assert "tells no checksum of 2/a.csv, 3/a.csv" in said.warnings[1]
    with pytest.raises(ResolveError, match="--locked follows no such name"):
        resolve(asked("http://demo.ckan.org/dataset/a-data-set", locked=True), tools)
    with pytest.raises(ResolveError, match="names an earlier state"):
        resolve(asked("http://demo.ckan.org/dataset/a-data-set?activity_id=7"), tools)


def test_a_resource_of_ckan_with_another_hash_is_refused(server, tools):
    """A hash that is given is held to, whichever kind its length tells."""
    keep_package(server, {"url": "https://files.example.org/fit.ipynb", "hash": "sha512:" + "0" * 128})
    server.tell("GET files.example.org/fit.ipynb", NOTEBOOK)
    with pytest.raises(FetchError, match="arrived with the SHA-512"):
        resolve(asked("http://demo.ckan.org/dataset/a-data-set"), tools)


@pytest.mark.parametrize("answer", [b"<html>", b'{"success": false}', b"[]", Reply(b"", 403)])
def test_a_path_like_ckans_on_another_host_is_gits(server, tools, answer):
    """Who does not answer as CKAN does may be a git server, which then says what is wrong."""
    server.tell("GET demo.ckan.org/api/3/action/package_show?id=x", answer)
    with pytest.raises(ResolveError, match="dataset/x cannot be"):
        resolve(asked("http://demo.ckan.org/dataset/x"), tools)
    assert server.asked == ["GET demo.ckan.org/api/3/action/package_show?id=x"]
