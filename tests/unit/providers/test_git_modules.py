"""The URLs of submodules: relative ones, those of well-known hosts, and whatever a stranger wrote."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reprolake_builder.errors import ResolveError
from reprolake_builder.providers.git.modules import submodule_links
from reprolake_builder.providers.links.git import SCHEMES, GitLink, parse_git_link

HTTPS = "https://git.example.org/group/top.git"


@pytest.mark.parametrize(
    ("parent", "url", "expected"),
    [
        (HTTPS, "../lib.git", ["https://git.example.org/group/lib.git"]),
        (HTTPS, "../../other/lib", ["https://git.example.org/other/lib"]),
        (HTTPS, "./lib.git/", ["https://git.example.org/group/top.git/lib.git"]),
        (HTTPS, "https://h.org/~me@uni/lib#1", ["https://h.org/~me%40uni/lib%231"]),
        (HTTPS, "https://h.org/a b", ["https://h.org/a%20b"]),
        (HTTPS, "git@git.example.org:a/b.git", ["git@git.example.org:a/b.git"]),
        (HTTPS, "git@github.com:a/b.git", ["https://github.com/a/b.git", "git@github.com:a/b.git"]),
        (HTTPS, "ssh://git@gitlab.com/a/b", ["https://gitlab.com/a/b", "ssh://git@gitlab.com/a/b"]),
        ("git@github.com:a/top.git", "git@github.com:a/b.git", ["git@github.com:a/b.git"]),
        ("git@github.com:a/top.git", "../b.git", ["git@github.com:a/b.git"]),
        ("ssh://git@h.org:2222/a/top", "../b", ["ssh://git@h.org:2222/a/b"]),
        ("file:///srv/a/top", "../b", ["file:///srv/a/b"]),
        ("file:///srv/a/top", "/srv/b", ["file:///srv/b"]),
    ],
)
def test_where_submodules_come_from(parent, url, expected):
    """A URL is taken relative to the repository's own; a well-known host is tried by https first."""
    assert [link.url for link in submodule_links(GitLink(parent), b"lib", url)] == expected


@given(
    st.sampled_from([HTTPS, "git@h.org:a/b", "ssh://h.org/a", "http://h.org/a"]),
    st.one_of(
        st.text(),
        st.builds(
            "".join,
            st.lists(
                st.sampled_from(["../", "./", "/", "@", ":", "file://", "a", "-", "%2e", "ssh://", "[", "::"])
            ),
        ),
    ),
)
@example(HTTPS, "../../../../../etc")
@example("git@h.org:a/b", "../../../etc/passwd")
@example("git@h.org:a/b", "./://0")
def test_any_url(parent, url):
    """Whatever is written there, what is followed is a link of a known protocol, and none is a folder of this host."""
    try:
        links = submodule_links(GitLink(parent, login="me:word"), b"lib", url)
    except ResolveError:
        return
    for link in links:
        assert parse_git_link(link.url).url == link.url
        assert not link.url.startswith(("file:", "/", "-"))
        assert "://" not in link.url or link.url.partition("://")[0] in SCHEMES
        assert not link.login or link.url.split("/", 3)[:3] == parent.split("/", 3)[:3] or "@" in url


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/a", "ssh://10.0.0.1/a", "git@localhost:a/b", "http://[fe80::1]/a"]
)
def test_submodules_do_not_lead_into_this_network(url):
    """A repository from outside names no address of this host or its network; one of this network may."""
    with pytest.raises(ResolveError, match="of this host or its network"):
        submodule_links(GitLink(HTTPS), b"lib", url)
    assert submodule_links(GitLink("https://192.168.0.2/a/b"), b"lib", url)
