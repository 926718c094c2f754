"""Downloads: which hosts are asked directly, and which addresses not at all."""

from __future__ import annotations

import dataclasses

import pytest

from reprolake_builder.download import Downloader, Offer
from reprolake_builder.errors import FetchError
from reprolake_builder.no_proxy import is_direct
from reprolake_builder.progress import SILENT
from reprolake_builder.site import Site
from reprolake_builder.store import Store


@pytest.mark.parametrize(
    ("url", "entries", "direct"),
    [
        ("https://a.example/x", ("a.example",), True),
        ("https://x.a.example/x", ("a.example",), True),
        ("https://x.a.example/x", (".a.example",), True),
        ("https://x.a.example/x", ("*.a.example",), True),
        ("https://ba.example/x", ("a.example",), False),
        ("https://a.example.org/x", ("a.example",), False),
        ("https://A.Example/x", ("a.EXAMPLE",), True),
        ("https://a.example/x", ("a.example:443",), True),
        ("https://a.example:8443/x", ("a.example:443",), False),
        ("http://10.1.2.3/x", ("10.0.0.0/8",), True),
        ("http://11.1.2.3/x", ("10.0.0.0/8",), False),
        ("http://[fd00::1]/x", ("fd00::/8",), True),
        ("http://a.example/x", ("*",), True),
        ("http://a.example/x", (), False),
        ("http://a.example/x", ("",), False),
    ],
)
def test_hosts_past_the_proxy(url, entries, direct):
    """Names, domains, ports, addresses and networks are understood as curl does."""
    assert is_direct(url, entries) == direct


@pytest.mark.parametrize(
    "url",
    [
        "https://[",
        "https://[::1:x/",
        "http://a.example:99999/",
        "http://a..b/",
        f"https://{'a' * 300}/",
        "http:///x",
    ],
)
def test_an_address_that_names_no_host_is_refused(url):
    """Addresses come out of answers of strangers, too: none of them ends in an error that is not ours."""
    with pytest.raises(FetchError, match="is no web address"):
        Downloader(Site(archives={})).get(url)


def test_a_file_of_this_host_is_never_what_a_server_offers(tmp_path):
    """An offer of a file: address is refused, unless whoever makes it says that the configuration named it."""
    (tmp_path / "x").write_bytes(b"secret")
    downloader, store = Downloader(Site(archives={})), Store(tmp_path / "store")
    offer = Offer("x", (tmp_path / "x").as_uri())
    with pytest.raises(FetchError, match="no web address"):
        downloader.receive(offer, store, SILENT)
    assert downloader.receive(dataclasses.replace(offer, here=True), store, SILENT).size == 6
