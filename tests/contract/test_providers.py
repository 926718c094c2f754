"""What every provider keeps to: a link is recognised by its text and the local disk alone, whatever the text is."""

from __future__ import annotations

import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reprolake_builder.providers.deposits.ckan import CKAN
from reprolake_builder.providers.deposits.dataverse import DATAVERSE
from reprolake_builder.providers.deposits.figshare import FIGSHARE
from reprolake_builder.providers.deposits.hydroshare import HYDROSHARE
from reprolake_builder.resolve import PROVIDERS

NAMES = {FIGSHARE: "figshare", DATAVERSE: "Dataverse", HYDROSHARE: "HydroShare", CKAN: "CKAN"}


def name(provider):
    """What a provider is called."""
    return NAMES.get(provider, type(provider).__name__)


LINKS = st.text(max_size=40) | st.lists(
    st.sampled_from(
        ["https://", "http://", "hg+", "git+", "swh:1:", "rev:", "doi:", "hdl:", "10.5281/zenodo.", "10.6084/m9.figshare.", "1" * 40,
         "archive.softwareheritage.org", "figshare.com", "zenodo.org", "hg.example.org", "/dataset/", "/records/", "/rev/", "?persistentId=",
         "[", "]", "%", "@", "#", "?", "/", ":", "..", "\x00", "\n", "é", "99999"]
    ),
    max_size=10,
).map("".join)  # fmt: skip


@pytest.mark.parametrize("provider", PROVIDERS, ids=name)
@given(link=LINKS)
@example(link="https://[")
@example(link="hg+https://[::1]:x/y")
@example(link="https://hg.example.org:x/rev/1")
def test_any_text_is_recognised_or_not_without_asking_anybody(provider, link):
    """Neither an error nor a connection comes of looking at a link."""

    def refuse(*_):
        raise AssertionError("a provider asked a server")

    original = socket.socket.connect
    socket.socket.connect = refuse
    try:
        assert provider.recognises(link) in {True, False}
    finally:
        socket.socket.connect = original


def test_each_kind_of_link_has_its_provider():
    """The first provider that recognises a link is the one that knows its archive."""
    first = {
        link: next(name(provider) for provider in PROVIDERS if provider.recognises(link))
        for link in (
            "10.5281/zenodo.3", "10.21105/joss.01277", "10.6084/m9.figshare.1", "10.7910/DVN/A", f"10.4211/hs.{'a' * 32}", "hdl:11529/10016",
            f"swh:1:rev:{'1' * 40}", "https://a.example/dataset/x", "https://a.example/dataset/x/download/b.zip", "hg+https://a.example/b",
            "https://hg.example.org/b", "https://a.example/b.git", "git@a.example:dataset/b",
        )
    }  # fmt: skip
    assert list(first.values()) == [
        "InvenioProvider", "DoiProvider", "figshare", "Dataverse", "HydroShare", "DoiProvider",
        "HeritageProvider", "CKAN", "AddressProvider", "MercurialProvider",
        "MercurialProvider", "GitProvider", "GitProvider",
    ]  # fmt: skip
