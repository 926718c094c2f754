"""Names and addresses of conda channels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.conda.channels import channel_bases, channel_of, default_alias, split_url, wanted_conda
from reprolake_builder.documents.conda import CondaChannel, CondaPackage
from reprolake_builder.errors import FetchError, LockError
from reprolake_builder.site import CondaSite, Site

SITE = Site(
    archives={},
    conda=CondaSite(
        channels={"conda-forge": ("file:///srv/conda-forge", "https://mirror.example/cf/")},
        alias="https://channels.example/all/",
    ),
)
BARE = Site(archives={})
PACKAGE = CondaPackage(
    name="demo",
    version="1.0",
    build="h0_0",
    subdir="noarch",
    channel="conda-forge",
    filename="demo-1.0-h0_0.conda",
    size=1,
    sha256="ab" * 32,
    md5="cd" * 16,
)


def test_a_configured_channel_is_where_the_configuration_says_with_its_labels():
    """A name stands for its addresses in order, and a label of it is below them."""
    assert channel_bases(CondaChannel(name="conda-forge"), SITE) == (
        "file:///srv/conda-forge",
        "https://mirror.example/cf",
    )
    assert channel_bases(CondaChannel(name="conda-forge/label/dev"), SITE)[0].endswith("forge/label/dev")
    assert channel_bases(CondaChannel(name="astro"), SITE) == ("https://channels.example/all/astro",)


def test_an_address_can_have_a_mirror():
    """An address that a repository gave leads to the one that the configuration has for it."""
    there = CondaChannel(name="lab.example-astro", url="https://lab.example/astro")
    assert channel_bases(there, SITE) == ("https://lab.example/astro",)
    mirrored = Site(archives={}, conda=CondaSite(channels={"https://lab.example": ("file:///srv/lab",)}))
    assert channel_bases(there, mirrored) == ("file:///srv/lab/astro",)


def test_defaults_are_nowhere_unless_the_configuration_says():
    """What "defaults" stands for differs from site to site, and the error says how to tell."""
    for name in ("defaults", "pkgs/main"):
        with pytest.raises(FetchError) as caught:
            channel_bases(CondaChannel(name=name), BARE)
        assert "[conda] channels" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "name", "url"),
    [
        ("conda-forge", "conda-forge", ""),
        ("conda-forge/linux-64", "conda-forge", ""),
        (" conda-forge/label/dev/ ", "conda-forge/label/dev", ""),
        ("https://mirror.example/cf/noarch", "conda-forge", ""),
        ("file:///srv/conda-forge/", "conda-forge", ""),
        ("https://mirror.example/cf/label/x", "conda-forge/label/x", ""),
        ("https://channels.example/all/astro", "astro", ""),
        (f"{default_alias()}/bioconda", "bioconda", ""),
        ("https://lab.example:8443/astro", "lab.example-8443/astro", "https://lab.example:8443/astro"),
    ],
)
def test_a_channel_has_one_name_however_it_is_written(text, name, url):
    """Addresses that the configuration knows become names, so that no lock holds an address without need."""
    assert channel_of(text, "environment.yml:2", SITE) == CondaChannel(name=name, url=url)


@pytest.mark.parametrize(
    "text",
    [
        "file:///etc",
        "ftp://lab.example/x",
        "https://user:word@lab.example/x",
        "https://lab.example/t/secret-token/x",
        "https://lab.example/x?token=1",
        "../../etc",
        "a b",
        "",
        "https://lab.example/a b",
        "s3://bucket/x",
    ],
)
def test_a_channel_that_cannot_be_pinned_is_refused_by_line(text):
    """Files of this host, logins and what is no channel are refused; the message says where it stands and shows no login."""
    with pytest.raises(LockError) as caught:
        channel_of(text, "environment.yml:2", SITE)
    assert "environment.yml:2" in caught.value.message
    assert "word" not in str(caught.value)
    assert "secret-token" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "169.254.169.254", "localhost", "10.1.2.3", "[::1]"])
def test_what_is_public_names_no_channel_in_here(host):
    """A repository from outside must not lead to this host or its network; one that is in here may, and so may the configuration."""
    text = f"http://{host}/x"
    with pytest.raises(LockError, match="this host"):
        channel_of(text, "environment.yml:2", BARE, "https://example.org/lab/crab.git")
    if "[" not in host:
        assert channel_of(text, "environment.yml:2", BARE, "").url == text
    known = Site(archives={}, conda=CondaSite(channels={"ours": (text,)}))
    assert channel_of(text, "environment.yml:2", known, "https://example.org/x.git") == CondaChannel(
        name="ours"
    )


@given(st.text(max_size=60))
def test_any_text_is_a_channel_or_refused(text):
    """Whatever stands in a file, the answer is a channel that a lock can hold, or a LockError."""
    try:
        found = channel_of(text, "environment.yml:2", SITE)
    except LockError:
        return
    assert channel_bases(found, SITE)


def test_packages_are_fetched_from_the_addresses_of_their_channel():
    """A package's addresses are those of its channel, in order, with folder and file name."""
    (wanted,) = wanted_conda([PACKAGE], [CondaChannel(name="conda-forge")], SITE)
    assert wanted.urls == (
        "file:///srv/conda-forge/noarch/demo-1.0-h0_0.conda",
        "https://mirror.example/cf/noarch/demo-1.0-h0_0.conda",
    )
    with pytest.raises(FetchError, match="does not name the channel"):
        wanted_conda([PACKAGE], [], SITE)


def test_a_packages_address_is_taken_apart():
    """Channel, folder and file name, without the hash behind it."""
    assert split_url("https://h.example/cf/noarch/a-1%21.0-0.conda#abc", "x:1") == (
        "https://h.example/cf",
        "noarch",
        "a-1!.0-0.conda",
    )
    with pytest.raises(LockError):
        split_url("a.conda", "x:1")
