"""Pins of sources that a stranger wrote: what they claim is looked up, and a folder that they name is not copied on trust."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from git_repositories import Repository
from source_tools import source_tools

from reprolake_builder.documents.source import GitSource, LocalSource
from reprolake_builder.errors import FetchError
from reprolake_builder.fetch import fetch
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.resolve import resolve
from reprolake_builder.store import Store

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    yield made
    made.close()


def pinned(store, link):
    return resolve(LinkRequest(link=str(link), now=NOW), source_tools(store))


def fetched(store, source, **more):
    return fetch(source, source_tools(store), **more)


def test_files_of_the_store_cannot_pass_for_another_repository(store, tmp_path):
    """Once its tree is in the store, a stranger's commit still cannot be pinned as one of a repository that people trust."""
    evil, trusted = Repository(tmp_path / "evil"), Repository(tmp_path / "trusted")
    evil.commit(a__txt="evil")
    trusted.commit(a__txt="good")
    honest = pinned(store, trusted.url)
    source = pinned(store, evil.url)
    assert fetched(store, source).read_text("a.txt") == "evil"
    for claim, what in (
        (msgspec.structs.replace(source, url=trusted.url), "no commit"),
        (msgspec.structs.replace(source, url=trusted.url, commit=honest.commit), "has the tree"),
        (msgspec.structs.replace(source, date=source.date + timedelta(days=1)), "has the date"),
    ):
        for _ in range(2):
            with pytest.raises(FetchError, match=what):
                fetched(store, claim)
    assert fetched(store, source).read_text("a.txt") == "evil"


@pytest.mark.parametrize(
    "form", ["https://jane:s3cret@h.org/a.git", "https://h.org/a.git@main", "git+https://h.org/a.git"]
)
def test_the_url_of_a_pin_is_in_its_plain_form(store, form):
    """What would go into image and crate as the source's address holds no login and no second meaning."""
    claim = GitSource(url=form, commit="1" * 40, tree="2" * 40, date=NOW)
    with pytest.raises(FetchError, match="is not the plain form") as caught:
        fetched(store, claim)
    assert "s3cret" not in caught.value.message


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let nobody here write a larger file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_nothing_is_copied_of_a_folder_that_only_a_pin_names(store, tmp_path):
    """A lock that names a private folder of this host gets none of it into the store, not even for a moment."""
    private = tmp_path / "private"
    private.mkdir()
    (private / "disk.img").write_bytes(bytes(4 << 20))
    claim = LocalSource(path=str(private), tree="3" * 40, date=NOW, date_is="now")
    with files_of_at_most(1 << 20):
        with pytest.raises(FetchError, match="are not the pinned ones"):
            fetched(store, claim)
        with pytest.raises(FetchError, match=r"disk\.img|cannot be taken"):  # what copying would have met
            fetched(store, claim, source_dir=private)
    honest = pinned(store, private)
    assert fetched(store, honest).paths == (b"disk.img",)
