"""The addresses of forges' pages: what repository and which part of it each of them stands for."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reprolake_builder.errors import ResolveError
from reprolake_builder.providers.git.refs import Advertised, split
from reprolake_builder.providers.links.git import parse_git_link
from reprolake_builder.providers.links.web import FORGES, login_in, parse_web_link

ID = "aa71d2d3d33b2c41e25bb5932de9237cbd29eadc"
HUB = "https://github.com/lab/crab"
LAB = "https://gitlab.in2p3.fr/escape2020/wp3/crab"
BUCKET = "https://bitbucket.org/lab/crab"
BERG = "https://codeberg.org/lab/crab"

PAGES = [  # address, repository, ref, rest
    # GitHub
    (HUB, HUB, "", ""),
    (f"{HUB}.git", f"{HUB}.git", "", ""),
    (f"{HUB}/", HUB, "", ""),
    (f"{HUB}#readme", HUB, "", ""),
    (f"{HUB}?tab=readme-ov-file", HUB, "", ""),
    ("github.com/lab/crab/tree/main", HUB, "", "main"),
    ("http://www.GitHub.com/lab/crab/tree/main", HUB, "", "main"),
    (f"{HUB}/tree/v0.1.1", HUB, "", "v0.1.1"),
    (f"{HUB}/tree/feature/fast/fit/src", HUB, "", "feature/fast/fit/src"),
    (f"{HUB}/blob/main/a%20b/plot.ipynb#L3", HUB, "", "main/a b/plot.ipynb"),
    (f"{HUB}/blob/main/plot.ipynb?plain=1", HUB, "", "main/plot.ipynb"),
    (f"{HUB}/raw/refs/heads/main/plot.ipynb", HUB, "", "refs/heads/main/plot.ipynb"),
    (f"{HUB}/blame/main/fit.py", HUB, "", "main/fit.py"),
    (f"{HUB}/commits/main", HUB, "", "main"),
    (f"{HUB}/releases/tag/release/1", HUB, "refs/tags/release/1", ""),
    (f"{HUB}/releases/tag/v1%2B2", HUB, "refs/tags/v1+2", ""),
    (f"{HUB}/commit/{ID}", HUB, ID, ""),
    (f"{HUB}/commit/aa71d2d", HUB, "aa71d2d", ""),
    (f"{HUB}/archive/refs/tags/v1.0.zip", HUB, "refs/tags/v1.0", ""),
    (f"{HUB}/archive/v1.0.tar.gz", HUB, "v1.0", ""),
    (f"{HUB}/archive/{ID}.zip", HUB, ID, ""),
    (f"{HUB}/zipball/v1.0", HUB, "v1.0", ""),
    (f"{HUB}/pull/17", HUB, "refs/pull/17/head", ""),
    (f"{HUB}/pull/17/files", HUB, "refs/pull/17/head", ""),
    (f"{HUB}/pull/17/commits/{ID}", HUB, ID, ""),
    ("https://codeload.github.com/lab/crab/legacy.zip/refs/tags/v1", HUB, "refs/tags/v1", ""),
    ("https://api.github.com/repos/lab/crab/zipball/v1", HUB, "v1", ""),
    ("https://raw.githubusercontent.com/lab/crab/main/plot.ipynb", HUB, "", "main/plot.ipynb"),
    ("https://raw.githubusercontent.com/lab/crab/refs/tags/v1/plot.ipynb", HUB, "", "refs/tags/v1/plot.ipynb"),
    (f"https://gist.github.com/ada/{ID[:32]}", f"https://gist.github.com/{ID[:32]}.git", "", ""),
    (f"https://gist.github.com/{ID[:32]}.git", f"https://gist.github.com/{ID[:32]}.git", "", ""),
    (f"https://gist.github.com/ada/{ID[:32]}/{ID}", f"https://gist.github.com/{ID[:32]}.git", ID, ""),
    # GitLab, on any host
    (LAB, LAB, "", ""),
    (f"{LAB}/-/tree/main", f"{LAB}.git", "", "main"),
    (f"{LAB}/-/tree/fix/x/src?ref_type=heads", f"{LAB}.git", "", "refs/heads/fix/x/src"),
    (f"{LAB}/-/blob/v1/x.ipynb?ref_type=tags", f"{LAB}.git", "", "refs/tags/v1/x.ipynb"),
    (f"{LAB}/-/raw/main/x.ipynb", f"{LAB}.git", "", "main/x.ipynb"),
    (f"{LAB}/-/tags/v1", f"{LAB}.git", "refs/tags/v1", ""),
    (f"{LAB}/-/releases/v1", f"{LAB}.git", "refs/tags/v1", ""),
    (f"{LAB}/-/commit/{ID}", f"{LAB}.git", ID, ""),
    (f"{LAB}/-/archive/v1/crab-v1.tar.gz", f"{LAB}.git", "v1", ""),
    (f"{LAB}/-/archive/rel/v1/crab-rel-v1.zip?path=docs", f"{LAB}.git", "rel/v1", ""),
    (f"{LAB}/-/merge_requests/4/diffs", f"{LAB}.git", "refs/merge-requests/4/head", ""),
    (f"{LAB}/tree/master", f"{LAB}.git", "", "master"),
    (f"{LAB}/blob/master/x.ipynb", f"{LAB}.git", "", "master/x.ipynb"),
    (f"{LAB}/tags/v1", f"{LAB}.git", "refs/tags/v1", ""),
    (f"{LAB}/commit/{ID}", f"{LAB}.git", ID, ""),
    (f"{LAB}/repository/v1/archive.zip", f"{LAB}.git", "v1", ""),
    (f"{LAB}/repository/archive.zip?ref=v1", f"{LAB}.git", "v1", ""),
    (
        "https://renkulab.io/gitlab/ada/crab/-/blob/main/x.ipynb",
        "https://renkulab.io/gitlab/ada/crab.git", "", "main/x.ipynb",
    ),
    ("https://git.example.org/a/b/c/d/-/tree/main/x", "https://git.example.org/a/b/c/d.git", "", "main/x"),
    ("http://127.0.0.1:8929/a/-/tree/main", "http://127.0.0.1:8929/a.git", "", "main"),
    ("http://127.0.0.1:8929/a/b/-/commit/aa71d2d", "http://127.0.0.1:8929/a/b.git", "aa71d2d", ""),
    ("https://git.example.org/a/b/blob/main/x.ipynb", "https://git.example.org/a/b", "", "main/x.ipynb"),
    # Bitbucket
    (f"{BUCKET}/src/main/", BUCKET, "", "main"),
    (f"{BUCKET}/src/{ID}/fit/x.ipynb?at=main", BUCKET, "", f"{ID}/fit/x.ipynb"),
    (f"{BUCKET}/commits/{ID}", BUCKET, ID, ""),
    (f"{BUCKET}/commits/tag/v1", BUCKET, "refs/tags/v1", ""),
    (f"{BUCKET}/branch/fix/x", BUCKET, "refs/heads/fix/x", ""),
    (f"{BUCKET}/get/v1.zip", BUCKET, "v1", ""),
    (f"{BUCKET}/raw/main/x.ipynb", BUCKET, "", "main/x.ipynb"),
    # Gitea, Forgejo
    (f"{BERG}/src/branch/fix/x/nb.ipynb", BERG, "", "refs/heads/fix/x/nb.ipynb"),
    (f"{BERG}/src/tag/v1", BERG, "", "refs/tags/v1"),
    (f"{BERG}/src/commit/{ID}/nb.ipynb", BERG, "", f"{ID}/nb.ipynb"),
    (f"{BERG}/raw/branch/main/nb.ipynb", BERG, "", "refs/heads/main/nb.ipynb"),
    (f"{BERG}/commit/{ID}", BERG, ID, ""),
    (f"{BERG}/releases/tag/v1", BERG, "refs/tags/v1", ""),
    (f"{BERG}/archive/v1.tar.gz", BERG, "v1", ""),
    (f"{BERG}/pulls/3/files", BERG, "refs/pull/3/head", ""),
    ("https://git.example.org/a/b/src/branch/main/x", "https://git.example.org/a/b", "", "refs/heads/main/x"),
]  # fmt: skip


@pytest.mark.parametrize(("address", "url", "ref", "rest"), PAGES, ids=[row[0] for row in PAGES])
def test_pages(address, url, ref, rest):
    """Each form of page gives the repository's address and the ref, or what the server must part."""
    page = parse_web_link(address)
    assert page is not None
    assert (page.url, page.ref, page.rest) == (url, ref, rest)
    assert page.commit == (ID if ID in {ref, rest.partition("/")[0]} else "")
    assert parse_git_link(page.url).url == page.url


@pytest.mark.parametrize(
    "text",
    [
        f"{HUB}@v1",
        f"{HUB}.git#subdirectory=docs",
        f"git+{HUB}/tree/main",
        "git@github.com:lab/crab.git",
        "https://git.example.org/lab/crab.git",
        "https://git.example.org/git/blob/crab.git",
        "https://git.example.org/a/b/tree",
        f"{HUB}/releases/download/v1/crab.zip",
        f"{LAB}/-/releases/v1/downloads/crab.zip",
        "https://renkulab.io/projects/lab/crab",
        "https://doi.org/10.5281/zenodo.15600127",
        "https://[::1/a/b/tree/main",
        "https://github.com:port/a/b/tree/main",
        "crab/tree/main",
        "",
    ],
)
def test_what_is_no_page(text):
    """A git URL, a file to download or any other text is left to others."""
    assert parse_web_link(text) is None


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (f"{HUB}/releases/latest", "another release tomorrow"),
        (f"{LAB}/-/releases/permalink/latest", "another release tomorrow"),
        (f"{BERG}/releases/latest", "another release tomorrow"),
        (f"{HUB}/issues/7", "names no commit"),
        (f"{BUCKET}/pull-requests/7", "names no commit"),
        (f"{LAB}/-/jobs/7", "names no commit"),
        ("https://github.com/lab", "names no repository"),
        ("https://gist.github.com/ada", "names no gist"),
        (f"{HUB}/blob/main/../../x", "dots"),
        ("https://github.com/%2e%2e/x/tree/main", "dots"),
        (f"{HUB}/blob/main/%1b[2J.ipynb", "control characters"),
        (f"{HUB}/releases/tag/a~1", "no name of a branch"),
    ],
)
def test_pages_that_are_refused(address, words):
    """A page that names no commit is refused with a sentence that says why."""
    with pytest.raises(ResolveError, match=words):
        parse_web_link(address)


def test_logins():
    """A login in a page's address is kept apart, and nothing shows it."""
    page = parse_web_link("https://ada:s3cret-token@github.com/lab/crab/tree/main")
    assert page is not None
    assert page.login == "ada:s3cret-token"
    assert "s3cret" not in repr(page)
    with pytest.raises(ResolveError) as failure:
        parse_web_link("https://ada:s3cret-token@github.com/lab/crab/releases/latest")
    assert "s3cret" not in failure.value.message + failure.value.hint


WORDS = st.sampled_from(
    [
        "-",
        "tree",
        "blob",
        "src",
        "branch",
        "commit",
        ID,
        "v1",
        "refs",
        "tags",
        "archive",
        "x.zip",
        "..",
        "@",
        "%2F",
        "%00",
        "?",
        "#",
    ]
)


@given(
    st.one_of(
        st.text(),
        st.builds(
            lambda scheme, host, parts: f"{scheme}://{host}/" + "/".join(parts),
            st.sampled_from(["https", "http", "git+https", "ssh", "HTTPS"]),
            st.one_of(st.sampled_from(sorted(FORGES)), st.text(max_size=12)),
            st.lists(st.one_of(WORDS, st.text(max_size=8)), max_size=8),
        ),
    )
)
@example("http://[")
@example("https://github.com/\u2100/x/tree/main")
def test_any_text(text):
    """Whatever the text, the answer is a page with an address that locks can hold, none, or an error of our own."""
    assert login_in(text) in text
    try:
        page = parse_web_link(text)
    except ResolveError:
        return
    if page is not None:
        assert parse_git_link(page.url).url == page.url
        assert not (page.ref and page.rest)


SERVER = Advertised(
    {
        "HEAD": "1" * 40,
        "refs/heads/main": "1" * 40,
        "refs/heads/fix/a": "2" * 40,
        "refs/heads/both": "3" * 40,
        "refs/tags/both": "4" * 40,
        "refs/heads/deep": "5" * 40,
        "refs/tags/deep/er": "6" * 40,
        "refs/heads/abcdef0": "7" * 40,
        "refs/pull/7/head": "8" * 40,
    }
)


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("main", ("main", "")),
        ("main/x/y.ipynb", ("main", "x/y.ipynb")),
        ("fix/a/x", ("fix/a", "x")),
        ("fix/b/x", None),
        ("refs/heads/fix/a/x", ("refs/heads/fix/a", "x")),
        ("HEAD/x", ("HEAD", "x")),
        ("deep/x", ("deep", "x")),
        (f"{ID}/main", (ID, "main")),
        ("abcdef0/x", ("abcdef0", "x")),
        ("abcdef1/x", ("abcdef1", "x")),
        ("refs/pull/7/head/x", ("refs/pull/7/head", "x")),
    ],
)
def test_splitting(rest, expected):
    """The server's refs part a ref with slashes from the path after it."""
    assert split(rest, SERVER) == expected


@pytest.mark.parametrize("rest", ["both/x", "deep/er/x"])
def test_ambiguous_addresses(rest):
    """An address that two refs of the server fit is refused."""
    with pytest.raises(ResolveError):
        split(rest, SERVER)
