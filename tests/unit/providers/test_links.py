"""Git links read as pip and uv write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.errors import ResolveError
from reprolake_builder.providers.links.git import is_git_link, parse_git_link


@pytest.mark.parametrize(
    ("text", "url", "ref", "subdir"),
    [
        ("https://h.org/a/b.git", "https://h.org/a/b.git", "", ""),
        ("git+https://h.org/a/b@v1.2", "https://h.org/a/b", "v1.2", ""),
        ("HTTPS://h.org/a/b@dev/main", "https://h.org/a/b", "dev/main", ""),
        (
            "https://h.org/a@refs/pull/7/head#subdirectory=x/y&egg=n",
            "https://h.org/a",
            "refs/pull/7/head",
            "x/y",
        ),
        ("https://h.org/a#egg=n&subdirectory=x%20y/", "https://h.org/a", "", "x y"),
        ("ssh://git@h.org/a/b", "ssh://git@h.org/a/b", "", ""),
        ("ssh://git@h.org:2222/a/b@main", "ssh://git@h.org:2222/a/b", "main", ""),
        ("ssh://git:secret@h.org/a", "ssh://git@h.org/a", "", ""),
        ("git@h.org:a/b.git", "git@h.org:a/b.git", "", ""),
        ("git@h.org:a/b.git@main", "git@h.org:a/b.git", "main", ""),
        ("git+git@h.org:a/b@v1", "git@h.org:a/b", "v1", ""),
        ("h.org:a/b@main", "h.org:a/b", "main", ""),
        ("[::1]:a/b", "[::1]:a/b", "", ""),
        ("git://h.org/a@main", "git://h.org/a", "main", ""),
        ("file:///home/me/my repo@main", "file:///home/me/my repo", "main", ""),
        ("git+file:///a/b?c", "file:///a/b?c", "", ""),
        ("https://h.org/~me%40uni/r@main", "https://h.org/~me%40uni/r", "main", ""),
        ("https://h.org/~me@uni/r@main", "https://h.org/~me%40uni/r", "main", ""),
        ("https://user:pass@h.org/a@main", "https://h.org/a", "main", ""),
        ("https://token@h.org:8443/a", "https://h.org:8443/a", "", ""),
    ],
)
def test_links_come_apart_as_written(text, url, ref, subdir):
    """URL, ref and sub-folder are found in every form; what is recorded holds no credentials and reads back the same."""
    link = parse_git_link(text)
    assert is_git_link(text)
    assert (link.url, link.ref, link.subdir) == (url, ref, subdir)
    assert parse_git_link(link.url).url == url


@pytest.mark.parametrize(
    "text",
    [
        "-u./evil:x",
        "--upload-pack=touch x",
        "ext::sh -c touch% x",
        "ext::sh",
        "git+ext://x/y",
        "svn+ssh://h/x",
        "ftp://h/x",
        "ssh://-oProxyCommand=touch/x",
        "ssh://git@-oProxyCommand=x/a",
        "-oProxyCommand=x:a",
        "git@-oProxyCommand=x:a",
        "git@h:-a",
        "https://h.org/a@",
        "https://h.org",
        "https:///a",
        "https://h.org/a?token=x",
        "https:/h.org/a",
        "file://host/a",
        "file:///",
        "https://h.org/a#branch=main",
        "https://h.org/a#subdirectory=../x",
        "https://h.org/a#subdirectory=/x",
        "https://h.org/a#subdirectory=%2e%2e/x",
        "https://h.org/a@--upload-pack=x",
        "https://h.org/a@a b",
        "https://h.org/a@a..b",
        "https://h.org/a@main~1",
        "https://h.org/a@x^{}",
        "https://h.org/a@refs/heads/*",
        "https://h.org/a\n@main",
        "https://h.org/a\x1b[2J",
        "git@h.org:a@b@c",
    ],
)
def test_what_is_no_safe_git_link_is_refused(text):
    """Other protocols, options in disguise, ways out and names that no ref can have are refused before git sees them."""
    with pytest.raises(ResolveError):
        parse_git_link(text)


def test_an_option_may_repeat_but_not_contradict():
    """A ref or sub-folder given in the link and as an option has to be the same."""
    assert parse_git_link("https://h.org/a@v1#subdirectory=x", "v1", "x/").ref == "v1"
    with pytest.raises(ResolveError, match="two answers for the ref: 'v1' in the link, 'v2' by --ref"):
        parse_git_link("https://h.org/a@v1", "v2")
    with pytest.raises(ResolveError, match="two answers for the sub-folder"):
        parse_git_link("https://h.org/a#subdirectory=x", "", "y")


def test_credentials_reach_git_and_nothing_else():
    """The login is kept apart for git; URL, representation and scrubbed messages do not show it."""
    link = parse_git_link("https://jane:s3cr%40t@h.org/a.git@main")
    assert link.login == "jane:s3cr%40t"
    said = link.scrub("fatal: unable to access 'https://jane:s3cr%40t@h.org/a.git': s3cr@t jane\x1b[31m")
    shown = repr(link) + said + link.url
    assert "s3cr" not in shown
    assert "jane" not in shown
    assert "\x1b" not in shown


WORD = st.text("abcXYZ019-_", min_size=1, max_size=8).filter(lambda word: not word.startswith("-"))
PATHS = st.lists(WORD, min_size=1, max_size=4).map("/".join)


@given(
    st.sampled_from(["https://h.org/", "http://h:80/", "ssh://git@h/", "git@h:", "file:///"]),
    PATHS,
    PATHS,
    PATHS,
)
def test_links_round_trip(start, path, ref, subdir):
    """What is put together as URL@REF#subdirectory= comes apart into the same parts."""
    link = parse_git_link(f"git+{start}{path}@{ref}#subdirectory={subdir}")
    assert (link.url, link.ref, link.subdir) == (start + path, ref, subdir)


@given(st.text(max_size=40), st.text(max_size=10), st.text(max_size=10))
def test_any_text_is_parsed_or_refused(text, ref, subdir):
    """No text whatsoever makes the parser fail otherwise than with its own error."""
    try:
        link = parse_git_link(text, ref, subdir)
    except ResolveError:
        return
    assert not link.url.startswith("-")
    assert not link.ref.startswith("-")
    assert ".." not in link.subdir.split("/")
