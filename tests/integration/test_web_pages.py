"""Links as people paste them, against real git servers: repository, ref, folder and notebook from one string."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from git_repositories import ENVIRONMENT, Repository, served
from source_tools import source_tools

from reprolake_builder.errors import ResolveError
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.resolve import resolve_link
from reprolake_builder.store import Store

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A repository with a branch `fix/a`, a tag `v1`, and folders and notebooks in them."""
    root = tmp_path_factory.mktemp("hosts")
    repository = Repository(root / "group" / "sub" / "crab.git")
    repository.commit(README__md="x", plot__ipynb="1", docs___guide__ipynb="1")
    repository.git("tag", "v1")
    repository.git("checkout", "-q", "-b", "fix/a")
    repository.commit(plot__ipynb="2", fit___deep___nb__ipynb="1")
    repository.git("checkout", "-q", "main")
    repository.git("update-ref", "refs/pull/7/head", "fix/a")
    repository.git("update-ref", "refs/merge-requests/7/head", "fix/a")
    repository.commit(plot__ipynb="3")
    return repository


@pytest.fixture
def tools(lab, tmp_path):
    """Tools whose git finds the well-known hosts on the loopback."""
    store = Store(tmp_path / "store")
    with served(lab.folder.parent.parent.parent) as address:
        settings = tmp_path / "gitconfig"
        hosts = (
            "github.com/lab/crab",
            "gitlab.com/group/sub/crab.git",
            "codeberg.org/lab/crab",
            "bitbucket.org/lab/crab",
        )
        settings.write_text(
            "".join(f'[url "{address}/group/sub/crab.git"]\n\tinsteadOf = https://{host}\n' for host in hosts)
        )
        yield source_tools(store, environment={**ENVIRONMENT, "GIT_CONFIG_GLOBAL": str(settings)})
    store.close()


def found(tools, link, ref="", subdir=""):
    return resolve_link(LinkRequest(link=link, now=NOW, ref=ref, subdir=subdir), tools)


@pytest.mark.parametrize(
    ("link", "commit", "ref", "subdir", "notebook"),
    [
        ("https://github.com/lab/crab", "main", "", "", ""),
        ("https://github.com/lab/crab/tree/v1", "v1", "v1", "", ""),
        ("https://github.com/lab/crab/tree/fix/a", "fix/a", "fix/a", "", ""),
        ("https://github.com/lab/crab/tree/fix/a/fit/deep", "fix/a", "fix/a", "fit/deep", ""),
        ("https://github.com/lab/crab/blob/fix/a/fit/deep/nb.ipynb", "fix/a", "fix/a", "", "fit/deep/nb.ipynb"),
        ("https://github.com/lab/crab/blob/main/README.md", "main", "main", "", ""),
        ("github.com/lab/crab/blob/refs/tags/v1/plot.ipynb", "v1", "refs/tags/v1", "", "plot.ipynb"),
        ("https://raw.githubusercontent.com/lab/crab/main/docs/guide.ipynb", "main", "main", "", "docs/guide.ipynb"),
        ("https://github.com/lab/crab/releases/tag/v1", "v1", "refs/tags/v1", "", ""),
        ("https://github.com/lab/crab/archive/refs/tags/v1.zip", "v1", "refs/tags/v1", "", ""),
        ("https://github.com/lab/crab/pull/7/files", "fix/a", "refs/pull/7/head", "", ""),
        ("https://gitlab.com/group/sub/crab/-/blob/fix/a/plot.ipynb?ref_type=heads", "fix/a", "refs/heads/fix/a", "", "plot.ipynb"),
        ("https://gitlab.com/group/sub/crab/tree/v1/docs", "v1", "v1", "docs", ""),
        ("https://gitlab.com/group/sub/crab/-/merge_requests/7", "fix/a", "refs/merge-requests/7/head", "", ""),
        ("https://codeberg.org/lab/crab/src/branch/fix/a/fit", "fix/a", "refs/heads/fix/a", "fit", ""),
        ("https://codeberg.org/lab/crab/src/tag/v1/plot.ipynb", "v1", "refs/tags/v1", "", "plot.ipynb"),
        ("https://bitbucket.org/lab/crab/src/main/docs/", "main", "main", "docs", ""),
        ("https://mybinder.org/v2/gh/lab/crab/fix/a?labpath=fit%2Fdeep%2Fnb.ipynb", "fix/a", "fix/a", "", "fit/deep/nb.ipynb"),
        ("https://nbviewer.org/github/lab/crab/blob/v1/plot.ipynb", "v1", "v1", "", "plot.ipynb"),
        ("https://colab.research.google.com/github/lab/crab/blob/main/plot.ipynb", "main", "main", "", "plot.ipynb"),
    ],
)  # fmt: skip
def test_pasted_links(lab, tools, link, commit, ref, subdir, notebook):
    """A page gives its commit, its folder as the sub-folder, and its notebook by the path from the root."""
    resolved = found(tools, link)
    assert resolved.source.commit == lab.git("rev-parse", commit)
    assert (resolved.source.ref, resolved.source.subdir, resolved.notebook) == (ref, subdir, notebook)


def test_pages_of_commits(lab, tools):
    """A page of a commit, whole or abbreviated, is that commit, also where a path follows."""
    commit = lab.git("rev-parse", "v1")
    for link in (f"commit/{commit}", f"commit/{commit[:9]}", f"tree/{commit}", f"tree/{commit[:9]}/docs"):
        assert found(tools, f"https://github.com/lab/crab/{link}").source.commit == commit


def test_a_page_of_any_host(lab, tmp_path):
    """On a host that nobody knows the forms with /-/ and the old ones are pages, too."""
    store = Store(tmp_path / "store")
    with served(lab.folder.parent.parent.parent) as address:
        for middle in ("/-/", "/"):
            page = f"{address}/group/sub/crab{middle}blob/fix/a/fit/deep/nb.ipynb"
            if middle == "/":
                page = page.replace("crab/", "crab.git/")
            resolved = found(source_tools(store), page)
            assert (resolved.source.url, resolved.notebook) == (
                f"{address}/group/sub/crab.git",
                "fit/deep/nb.ipynb",
            )
    store.close()


def test_a_notebook_in_a_subfolder(tools):
    """With --subdir the notebook is named from there, and one outside of that folder is refused."""
    page = "https://github.com/lab/crab/blob/fix/a/fit/deep/nb.ipynb"
    resolved = found(tools, page, subdir="fit")
    assert (resolved.source.subdir, resolved.notebook) == ("fit", "deep/nb.ipynb")
    with pytest.raises(ResolveError, match="is not in the folder docs"):
        found(tools, page, subdir="docs")


def test_what_a_page_and_options_say_must_agree(lab, tools):
    """--ref and --subdir may repeat what the page says, and part it where it is not clear, but not contradict it."""
    page = "https://github.com/lab/crab/tree/fix/a/fit"
    assert found(tools, page, ref="fix/a", subdir="fit").source.subdir == "fit"
    for wrong in ({"ref": "v1"}, {"ref": "fix"}, {"subdir": "docs"}):
        with pytest.raises(ResolveError):
            found(tools, page, **wrong)
    lab.git("tag", "fix/a/fit", "v1")
    try:
        with pytest.raises(ResolveError, match="2 ways"):
            found(tools, page)
        assert found(tools, page, ref="fix/a").source.subdir == "fit"
    finally:
        lab.git("tag", "-d", "fix/a/fit")


@pytest.mark.parametrize(
    ("link", "words", "hint"),
    [
        ("https://github.com/lab/crab/blob/mian/plot.ipynb", "no branch, tag or commit", "nearest: main"),
        (
            "https://github.com/lab/crab/blob/main/plots.ipynb",
            "has no plots.ipynb at main",
            "nearest: plot.ipynb",
        ),
        (
            "https://github.com/lab/crab/pull/8",
            "no branch, tag or commit 'refs/pull/8/head'",
            "refs/pull/7/head",
        ),
        ("https://mybinder.org/v2/gh/lab/crab/gone", "no branch, tag or commit 'gone'", "nearest"),
    ],
)
def test_pages_of_what_is_not_there(tools, link, words, hint):
    """A page of a missing ref or file says what there is."""
    with pytest.raises(ResolveError, match=words) as failure:
        found(tools, link)
    assert hint in failure.value.hint
