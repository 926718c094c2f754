"""Submodules: fetched at the commit that the tree names, at any depth, from where .gitmodules says, and told in the source."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from git_repositories import ENVIRONMENT, Repository, served
from source_tools import source_tools

from reprolake_builder.detect import detect
from reprolake_builder.errors import FetchError, ResolveError
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


def module(repository: Repository, path: str, url: str, commit: str) -> None:
    """Put a submodule into the index."""
    with (repository.folder / ".gitmodules").open("a") as stream:
        stream.write(f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n')
    repository.git("add", ".gitmodules")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")


def committed(repository: Repository) -> str:
    repository.git("commit", "-q", "-m", "modules")
    return repository.git("rev-parse", "HEAD")


@pytest.fixture
def lab(tmp_path):
    """`top` has `mid` as vendor/mid, by a relative URL, and `mid` has `leaf`; each has gone on since."""
    top, mid, leaf = (
        Repository(tmp_path / "lab" / "group" / f"{name}.git") for name in ("top", "mid", "leaf")
    )
    pinned = leaf.commit(leaf__txt="old")
    leaf.commit(leaf__txt="new")
    mid.commit(mid__txt="old")
    module(mid, "deep/leaf", "../leaf.git", pinned)
    pinned = committed(mid)
    mid.commit(mid__txt="new")
    top.commit(requirements__txt="", a__txt="1")
    module(top, "vendor/mid", "./../mid.git/", pinned)
    committed(top)
    return top, mid, leaf


def pinned(store, link, **options):
    return resolve(LinkRequest(link=link, now=NOW, **options), source_tools(store))


def test_submodules_are_pinned_and_written(lab, store, tmp_path):
    """The files of each submodule are those of its commit; the source lists path, address, commit and tree of each."""
    top, mid, leaf = lab
    with served(tmp_path / "lab") as address:
        source = pinned(store, f"{address}/group/top.git")
        tree = fetch(source, source_tools(store))
    assert [(inner.path, inner.url, inner.commit) for inner in source.submodules] == [
        ("vendor/mid", f"{address}/group/mid.git", mid.git("rev-parse", "HEAD~1")),
        ("vendor/mid/deep/leaf", f"{address}/group/leaf.git", leaf.git("rev-parse", "HEAD~1")),
    ]
    assert source.submodules[1].tree == leaf.git("rev-parse", "HEAD~1^{tree}")
    assert source.tree == top.git("rev-parse", "HEAD^{tree}")
    assert tree.read_text("vendor/mid/mid.txt") == tree.read_text("vendor/mid/deep/leaf/leaf.txt") == "old"
    assert tree.submodules == ()


def test_a_lock_brings_them_back(lab, store, tmp_path):
    """From the pinned source alone another host gets the same files; a pin with other submodules is refused."""
    with served(tmp_path / "lab") as address:
        source = pinned(store, f"{address}/group/top.git")
        other = Store(tmp_path / "other")
        first, second = (fetch(source, source_tools(place)) for place in (store, other))
        assert first.tree.key == second.tree.key
        assert first.paths == second.paths
        inner = source.submodules[0]
        for forged in (
            msgspec.structs.replace(source, submodules=()),
            msgspec.structs.replace(source, submodules=(msgspec.structs.replace(inner, tree="1" * 40),)),
            msgspec.structs.replace(
                source,
                submodules=(
                    msgspec.structs.replace(inner, url="https://trusted.example.org/mid.git"),
                    source.submodules[1],
                ),
            ),
        ):
            with pytest.raises(FetchError, match="has the submodules"):
                fetch(forged, source_tools(other))


def test_one_that_cannot_be_had(lab, store, tmp_path):
    """The error names the submodule; with --ignore its folder stays empty, which the environment then has to allow."""
    top, _, _ = lab
    module(top, "gone", "../gone.git", "1" * 40)
    committed(top)
    with served(tmp_path / "lab") as address:
        link = f"{address}/group/top.git"
        with pytest.raises(ResolveError, match="the submodule gone cannot be had") as failure:
            pinned(store, link)
        assert "--ignore gone" in failure.value.hint
        source = pinned(store, link, ignore=("gone", "a.txt"))
        assert (source.left, len(source.submodules)) == (("gone",), 2)
        tree = fetch(source, source_tools(store))
    assert tree.submodules == ("gone",)
    assert [item.path for item in detect(tree, ()).unheard if item.matters] == ["gone"]
    assert not any(item.matters for item in detect(tree, ("gone",)).unheard)
    assert (
        fetch(pinned(store, f"file://{top.folder}", ignore=("gone",)), source_tools(store)).tree.key
        == tree.tree.key
    )


def test_an_unreachable_server_is_temporary(lab, store):
    """Where a submodule's server does not answer, trying again may help, and nothing is left out."""
    top, _, _ = lab
    module(top, "far", "http://127.0.0.1:9/x.git", "1" * 40)
    committed(top)
    with pytest.raises(ResolveError, match="the submodule far cannot be had") as failure:
        pinned(store, f"file://{top.folder}")
    assert failure.value.transient


def test_a_commit_that_its_repository_lacks(lab, store):
    """A submodule whose commit was never pushed is an error, not another commit."""
    top, _, _ = lab
    module(top, "lost", "../leaf.git", "2" * 40)
    committed(top)
    with pytest.raises(ResolveError, match=f"the submodule lost cannot be had: .* has no commit {'2' * 40}"):
        pinned(store, f"file://{top.folder}")


def test_a_login_goes_to_the_same_server_only(lab, store, tmp_path):
    """The login of a link opens submodules of its own server; another server is asked without it."""
    top, mid, _ = lab
    with served(tmp_path / "lab", "jane:s3cret-word") as own:
        link = own.replace("://", "://jane:s3cret-word@") + "/group/top.git"
        source = pinned(store, link)
        assert [inner.url for inner in source.submodules] == [f"{own}/group/mid.git", f"{own}/group/leaf.git"]
        with served(tmp_path / "lab", "jane:s3cret-word") as other:
            module(top, "far", f"{other}/group/mid.git", mid.git("rev-parse", "HEAD"))
            committed(top)
            with pytest.raises(ResolveError, match="the submodule far cannot be had"):
                pinned(Store(tmp_path / "another"), link)


def test_ssh_addresses_of_well_known_hosts(lab, store, tmp_path):
    """git@HOST:PATH of a well-known host is had by https where the repository itself was."""
    top, _, leaf = lab
    module(top, "ssh", "git@github.com:group/leaf.git", leaf.git("rev-parse", "HEAD"))
    committed(top)
    with served(tmp_path / "lab") as address:
        settings = tmp_path / "gitconfig"
        settings.write_text(f'[url "{address}/"]\n\tinsteadOf = https://github.com/\n')
        tools = source_tools(store, environment={**ENVIRONMENT, "GIT_CONFIG_GLOBAL": str(settings)})
        source = resolve(LinkRequest(link="https://github.com/group/top.git", now=NOW), tools)
    assert source.submodules[0].url == "https://github.com/group/leaf.git"
