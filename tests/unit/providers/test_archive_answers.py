"""Answers of archives, recorded and spoiled: read as what they say, or refused in our own words."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from archive_server import recorded
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.errors import ResolveError
from reprolake_builder.providers.answers import decoded
from reprolake_builder.providers.deposits import ckan, dataverse, doi, figshare, hydroshare, paper
from reprolake_builder.providers.deposits.deposit import moment, shortened
from reprolake_builder.providers.heritage import objects

KINDS: dict[str, tuple[type, Callable[[object], object]]] = {
    "swh-revision.json": (objects.Revision, lambda it: (it.is_proven, it.moment)),
    "swh-release.json": (objects.Release, lambda it: it.is_proven),
    "swh-snapshot.json": (objects.Snapshot, lambda it: it.branches.get("HEAD")),
    "swh-vault-pending.json": (objects.Cooking, lambda it: it.status),
    "figshare-article.json": (figshare.Article, lambda it: (moment(it.published_date), shortened(it.title))),
    "dataverse-version.json": (
        dataverse.VersionAnswer, lambda it: (it.data.title, [dataverse._file(entry, "https://a.example") for entry in it.data.files])
    ),
    "hydroshare-sysmeta.json": (hydroshare.SystemMetadata, lambda it: it.updated),
    "ckan-package.json": (
        ckan.PackageAnswer, lambda it: [(file.checksum, file.basename) for file in it.result.resources]
    ),
    "crossref-joss.json": (paper.WorkAnswer, lambda it: it.message.relation),
    "handle-joss.json": (doi.HandleAnswer, lambda it: it.values),
}  # fmt: skip
ODD = [
    "0" * 40,
    "2020-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "https://[",
    "\x1b[2J",
    "\ud800",
    "01-01-0001",
]
LEAVES = st.sampled_from(ODD) | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def spoiled(value, path, by):
    """Return a copy with what stands at a path of numbers exchanged."""
    if not path or not isinstance(value, dict | list) or not value:
        return by
    at = path[0] % len(value)
    if isinstance(value, list):
        return [spoiled(item, path[1:], by) if index == at else item for index, item in enumerate(value)]
    return {
        key: spoiled(item, path[1:], by) if index == at else item
        for index, (key, item) in enumerate(value.items())
    }


@pytest.mark.parametrize("name", KINDS)
def test_recorded_answers_are_understood(name):
    """Each recorded answer is read, with the fields that nobody asked for left aside."""
    kind, look = KINDS[name]
    assert look(decoded(recorded(name), "https://a.example", kind)) is not None


@pytest.mark.parametrize("name", KINDS)
@given(path=st.lists(st.integers(0, 30), max_size=6), by=JSON)
def test_spoiled_answers_are_read_or_refused(name, path, by):
    """One value of another type or content, wherever it stands, ends in our own error or in a value that can be looked at."""
    kind, look = KINDS[name]
    content = json.dumps(spoiled(json.loads(recorded(name)), path, by)).encode()
    try:
        found = decoded(content, "https://a.example", kind)
    except ResolveError:
        return
    look(found)


def leaves(value, path=()):
    """Yield the place of everything that is neither a list nor an object."""
    if isinstance(value, dict | list):
        for index, item in enumerate(value.values() if isinstance(value, dict) else value):
            yield from leaves(item, (*path, index))
    else:
        yield path


@pytest.mark.parametrize("name", KINDS)
def test_odd_values_in_each_place_are_read_or_refused(name):
    """Addresses that are none, days at the ends of time, and characters that drive terminals harm nowhere."""
    kind, look = KINDS[name]
    value = json.loads(recorded(name))
    for path in leaves(value):
        for by in ODD:
            content = json.dumps(spoiled(value, path, by)).encode()
            try:
                found = decoded(content, "https://a.example", kind)
            except ResolveError:
                continue
            look(found)


def test_recorded_facts_are_those_of_the_archives():
    """What the answers say is what the archives mean by it: newest facts of each in one place."""
    article = decoded(recorded("figshare-article.json"), "", figshare.Article)
    assert (article.files[0].computed_md5, article.version) == ("36fbce3d5c4ddd63c91a69801b6d15d2", 15)
    version = decoded(recorded("dataverse-version.json"), "", dataverse.VersionAnswer).data
    table = dataverse._file(version.files[0], "https://a.example")
    assert (table.name, table.size, table.md5) == (
        "data/subdir1/births.csv",
        None,
        "8f33bc2f00886cd401f7cfc291a57346",
    )
    plain = dataverse._file(version.files[1], "https://a.example")
    assert (plain.size, plain.sha1) == (7, "dc2830a9e72f23c1dfebef4413003221baa5fb62")
    day = decoded(recorded("hydroshare-sysmeta.json"), "", hydroshare.SystemMetadata).updated
    assert f"{day:%Y-%m-%d %H:%M %Z}" == "2019-09-25 00:00 UTC"
    work = decoded(recorded("crossref-joss.json"), "", paper.WorkAnswer).message
    assert work.relation["references"][0].id == "https://doi.org/10.5281/zenodo.2800317"
