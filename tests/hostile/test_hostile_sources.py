"""Repositories that try to have something executed, read or written while they are resolved and fetched."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from git_repositories import ENVIRONMENT, Repository, served
from source_tools import source_tools

from reprolake_builder import git_tree
from reprolake_builder.detect import detect
from reprolake_builder.errors import DetectError, FetchError, ReprolakeError, ResolveError
from reprolake_builder.fetch import fetch
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.resolve import resolve
from reprolake_builder.store import Store
from reprolake_runner.imports import repository_modules

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    yield made
    made.close()


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "origin")


@pytest.fixture
def trap(tmp_path):
    """A program that leaves a mark when anything starts it: harmless, and it reads and changes nothing else."""
    path = tmp_path / "trap"
    path.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\nexit 1\n")
    path.chmod(0o755)
    return path


def sprung(trap: Path) -> bool:
    mark = trap.with_name("sprung")
    was = mark.exists()
    mark.unlink(missing_ok=True)
    return was


def obtained(store, link, ref="", ignore=()):
    request = LinkRequest(link=str(link), ref=ref, now=NOW, ignore=ignore)
    return fetch(resolve(request, source_tools(store)), source_tools(store))


def set_traps(repository: Repository, trap: Path) -> None:
    """Put the trap wherever git's configuration may name a program."""
    repository.commit(a__txt="1", __gitattributes="* filter=evil diff=evil merge=evil\n")
    config = {
        "core.fsmonitor": trap, "core.hooksPath": repository.folder / "hooks", "core.sshCommand": trap, "core.pager": trap,
        "core.editor": trap, "core.gitProxy": trap, "core.askPass": trap, "core.alternateRefsCommand": trap,
        "filter.evil.clean": trap, "filter.evil.smudge": trap, "filter.evil.process": trap, "filter.evil.required": "true",
        "diff.external": trap, "diff.evil.command": trap, "diff.evil.textconv": trap, "merge.evil.driver": trap,
        "log.showSignature": "true", "gpg.program": trap, "gpg.ssh.program": trap, "credential.helper": f"!{trap}",
        "uploadpack.packObjectsHook": trap, "uploadpack.allowFilter": "true", "uploadarchive.allowUnreachable": "true",
        "alias.ls-files": f"!{trap}", "alias.rev-parse": f"!{trap}", "pager.rev-list": trap, "protocol.ext.allow": "always",
        "trace2.eventTarget": "/dev/null", "include.path": "/nonexistent",
    }  # fmt: skip
    for name, value in config.items():
        repository.git("config", name, str(value))
    for folder in (repository.folder / "hooks", repository.folder / ".git/hooks"):
        folder.mkdir(exist_ok=True)
        for hook in (
            "post-index-change",
            "pre-auto-gc",
            "reference-transaction",
            "post-checkout",
            "fsmonitor-watchman",
        ):
            (folder / hook).write_bytes(trap.read_bytes())
            (folder / hook).chmod(0o755)


def test_a_work_trees_configuration_runs_nothing(repository, store, trap):
    """File-system monitors, hooks, filters, signatures' programs and aliases of a work tree are never started."""
    set_traps(repository, trap)
    subprocess.run(
        ["git", "status"], cwd=repository.folder, env=ENVIRONMENT, capture_output=True, check=False
    )
    assert sprung(trap), "the trap itself must work"
    (repository.folder / "a.txt").write_text("changed")
    assert obtained(store, repository.folder).read_text("a.txt") == "changed"
    assert not sprung(trap)


def test_an_origins_configuration_runs_nothing(repository, store, trap):
    """The same configuration in a repository that is fetched from is never acted upon."""
    set_traps(repository, trap)
    sprung(trap)
    assert obtained(store, repository.url).read_text("a.txt") == "1"
    assert not sprung(trap)


@pytest.mark.parametrize("url", ["ssh://h.invalid/a", "ext::{trap}", "evil::x"])
@pytest.mark.parametrize("by_url", [False, True])
def test_missing_objects_are_not_fetched(repository, store, trap, url, by_url):
    """A partial clone whose missing objects would be fetched by a program of its own choice starts none."""
    repository.commit(a__txt="1", sub___b="2")
    tree = repository.git("rev-parse", "HEAD:sub")
    repository.git("config", "core.repositoryFormatVersion", "1")
    repository.git("config", "extensions.partialClone", "origin")
    repository.git("config", "remote.origin.promisor", "true")
    repository.git("config", "remote.origin.url", url.format(trap=trap))
    repository.git("config", "core.sshCommand", str(trap))
    repository.git("config", "protocol.ext.allow", "always")
    (repository.folder / ".git/objects" / tree[:2] / tree[2:]).unlink()
    if not url.startswith("evil"):
        env = {**ENVIRONMENT, "GIT_NO_LAZY_FETCH": "0"}
        subprocess.run(
            ["git", "cat-file", "-p", tree], cwd=repository.folder, env=env, capture_output=True, check=False
        )
        assert sprung(trap), "the trap itself must work"
    if by_url:
        with pytest.raises(ResolveError):
            obtained(store, repository.url)
    else:
        assert obtained(store, repository.folder / "sub").read_text("b") == "2"
    assert not sprung(trap)


def test_a_work_tree_elsewhere_gives_nothing_away(repository, store, tmp_path):
    """A configuration that declares another folder to be the work tree does not make its files part of the source."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private/a.txt").write_text("secret")
    repository.commit(a__txt="1")
    for elsewhere in (tmp_path / "private", tmp_path, Path("/")):
        repository.git("config", "core.worktree", str(elsewhere))
        try:
            tree = obtained(store, repository.folder)
        except ResolveError:
            continue
        assert tree.read_text("a.txt") in {"1", None}


@pytest.mark.parametrize(
    "ref",
    [
        "--upload-pack=touch sprung",
        "-u",
        "--exec=x",
        "a b",
        "refs/heads/*",
        "main:refs/heads/x",
        "^main",
        "main^{/x}",
        "@{-1}",
    ],
)
def test_refs_are_no_options(repository, store, ref):
    """A ref that git could take for an option, a pattern, a refspec or an expression is refused before git sees it."""
    repository.commit(a="1")
    with pytest.raises(ResolveError, match="no name of a branch"):
        obtained(store, repository.url, ref)


@pytest.mark.parametrize(
    "link",
    ["ext::{trap}", "git+ext::{trap}", "--upload-pack={trap}", "ssh://-oProxyCommand={trap}/a", "evil::a"],
)
def test_links_start_no_programs(store, trap, link):
    """Links that name a program are refused."""
    with pytest.raises(ResolveError):
        obtained(store, link.format(trap=trap))
    assert not sprung(trap)


def hash_object(repository: Repository, kind: str, content: bytes) -> str:
    return repository.git("hash-object", "-t", kind, "-w", "--literally", "--stdin", stdin=content)


def commit_tree(repository: Repository, rows: list[tuple[bytes, bytes, str]]) -> None:
    content = b"".join(
        b"%s %s\0%s" % (mode, name, bytes.fromhex(object_id)) for mode, name, object_id in rows
    )
    tree = hash_object(repository, "tree", content)
    text = f"tree {tree}\nauthor a <a@b> 1700000000 +0000\ncommitter a <a@b> 1700000000 +0000\n\nevil\n"
    repository.git("update-ref", "refs/heads/main", hash_object(repository, "commit", text.encode()))


@pytest.mark.parametrize(
    "name", [b"..", b".git", b".GIT", b".gIt", b"../../x", b"/tmp/x", b"a/../../x", b"a/b", b"."]
)
def test_names_that_lead_elsewhere_are_refused(repository, store, tmp_path, name):
    """A tree with entries that lead out, or into git's own folder, is not written."""
    blob = hash_object(repository, "blob", b"evil")
    commit_tree(repository, [(b"100644", name, blob)])
    inner = repository.git("rev-parse", "main^{tree}")
    with pytest.raises(ReprolakeError):
        obtained(store, repository.url)
    commit_tree(repository, [(b"40000", b"sub", inner)])
    with pytest.raises(ReprolakeError):
        obtained(store, repository.url)
    assert not (tmp_path / "x").exists()
    assert not (store.root / "trees").exists()


@pytest.mark.parametrize("target", ["/", "../../../..", "."])
def test_a_link_that_is_also_a_folder_is_refused(repository, store, tmp_path, target):
    """A tree that names a path as a link and as a folder cannot write through the link."""
    link = hash_object(repository, "blob", (target if target != "/" else str(tmp_path)).encode())
    blob = hash_object(repository, "blob", b"evil")
    commit_tree(repository, [(b"100644", b"marker", blob)])
    inner = repository.git("rev-parse", "main^{tree}")
    commit_tree(repository, [(b"120000", b"a", link), (b"40000", b"a", inner)])
    with pytest.raises(FetchError, match="a file and a folder"):
        obtained(store, repository.url)
    assert not (tmp_path / "marker").exists()


def test_odd_modes_and_endless_links_are_refused(repository, store):
    """Devices and other modes, and links with a target of megabytes, are no files of a repository."""
    blob = hash_object(repository, "blob", b"evil")
    commit_tree(repository, [(b"20000", b"a", blob)])
    with pytest.raises(ReprolakeError):
        obtained(store, repository.url)
    commit_tree(repository, [(b"120000", b"a", hash_object(repository, "blob", b"a" * (1 << 20)))])
    with pytest.raises(FetchError, match="target of 1048576 bytes"):
        obtained(store, repository.url)


def test_a_tree_bomb_is_refused_before_it_is_written(repository, store, monkeypatch):
    """Ten levels of ten times the same tree stand for ten thousand million files: counting stops at the limit."""
    monkeypatch.setattr(git_tree, "MOST_ENTRIES", 5000)
    level = [(b"100644", b"f%d" % n, hash_object(repository, "blob", b"x")) for n in range(10)]
    for _ in range(10):
        commit_tree(repository, level)
        tree = repository.git("rev-parse", "main^{tree}")
        level = [(b"40000", b"d%d" % n, tree) for n in range(10)]
    with pytest.raises(ResolveError, match="more than 5000 entries"):
        obtained(store, repository.url)


def test_submodule_tricks_lead_nowhere(repository, store, trap):
    """Names, paths, commands and URLs in .gitmodules are never acted upon but for the URL of a submodule of the tree."""
    repository.write(
        __gitmodules='[submodule "../../x"]\n\tpath = ../../x\n\turl = -u./trap\n\tupdate = !'
        + str(trap)
        + "\n"
    )
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    repository.git("add", ".gitmodules")
    repository.git("commit", "-q", "-m", "evil")
    with pytest.raises(ResolveError, match=r"has a submodule at lib, of which its \.gitmodules says nothing"):
        obtained(store, repository.url)
    assert obtained(store, repository.url, ignore=("lib",)).submodules == ("lib",)
    assert not sprung(trap)


@pytest.mark.parametrize(
    "url",
    ["-u./trap", "ext::sh -c trap% %", "fd::17", "https://h.org/a\\nb", "ssh://-oProxyCommand=trap/x", "-oProxyCommand=trap:x",
     "https://h.org/x?y", "../../../../../../../../../../../../etc", "javascript:x", "rsync://h.org/x", "dict://h.org:1/x", ""],
)  # fmt: skip
def test_urls_of_submodules_that_are_not_followed(repository, store, trap, url):
    """A submodule's URL is of the protocols that links may have, and no option of a program."""
    repository.write(__gitmodules=f'[submodule "x"]\n\tpath = lib\n\turl = "{url}"\n')
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    repository.git("add", ".gitmodules")
    repository.git("commit", "-q", "-m", "evil")
    with pytest.raises(ResolveError):
        obtained(store, repository.url)
    assert not sprung(trap)


@pytest.mark.parametrize(
    "url", ["/{place}", "file://{place}", "file://localhost{place}", "../../../../../..{place}"]
)
def test_a_remote_repository_names_no_folder_of_this_host(repository, store, tmp_path, url):
    """Submodules of what came over the network are never taken from this host's disk."""
    secret = Repository(tmp_path / "secret")
    commit = secret.commit(key="private")
    named = url.format(place=secret.folder)
    repository.write(__gitmodules=f'[submodule "x"]\n\tpath = lib\n\turl = {named}\n')
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},lib")
    repository.git("add", ".gitmodules")
    repository.git("commit", "-q", "-m", "evil")
    with served(tmp_path) as address, pytest.raises(ResolveError, match="lib"):
        obtained(store, f"{address}/origin")


def test_a_gitmodules_that_is_no_plain_file(repository, store):
    """A link in its place is not followed to settings elsewhere."""
    target = hash_object(repository, "blob", b"/etc/passwd")
    commit_tree(repository, [(b"120000", b".gitmodules", target), (b"160000", b"lib", "1" * 40)])
    with pytest.raises(ResolveError, match="no file of at most 1 MiB"):
        obtained(store, repository.url)


def test_submodules_without_end(repository, store):
    """A repository that has itself as a submodule, through another commit each time, comes to an end."""
    settings = hash_object(repository, "blob", b'[submodule "x"]\n\tpath = lib\n\turl = ./\n')
    last = repository.commit(a="1")
    for _ in range(14):
        commit_tree(repository, [(b"100644", b".gitmodules", settings), (b"160000", b"lib", last)])
        last = repository.git("rev-parse", "main")
    with pytest.raises(ResolveError, match="more than 10 deep"):
        obtained(store, repository.url)


def test_attributes_of_a_repository_change_no_bytes(repository, store):
    """Line ends, encodings, identifiers and export rules in .gitattributes are not applied to what is fetched."""
    text = "a$Id$\r\n$Format:%H$\n"
    repository.write(
        __gitattributes="* text eol=crlf ident export-subst working-tree-encoding=UTF-16\nb export-ignore\n"
    )
    (repository.folder / "b").write_bytes(text.encode())
    repository.git("-c", "core.attributesFile=/dev/null", "update-index", "--add", "--cacheinfo",
                   f"100644,{hash_object(repository, 'blob', text.encode())},b")  # fmt: skip
    repository.git("commit", "-q", "-m", "attributes")
    tree = obtained(store, repository.url)
    assert (tree.folder / "b").read_bytes() == text.encode()


def test_requirements_cannot_be_read_from_the_host(repository, store):
    """requirements.txt as a link to a file of the host is an error; nothing of that file is shown."""
    (repository.folder / "requirements.txt").symlink_to("/etc/passwd")
    repository.commit()
    for link in (repository.url, repository.folder):
        with pytest.raises(DetectError, match="leads out of the repository") as caught:
            detect(obtained(store, link))
        assert "root:" not in caught.value.message


def test_messages_of_a_server_cannot_drive_the_terminal(store, tmp_path):
    """What a repository's name puts into git's messages arrives without control characters."""
    with pytest.raises(ResolveError) as caught:
        obtained(store, f"file://{tmp_path}/none%1b%5b2J%07")
    assert "\x1b" not in caught.value.message
    assert "\x07" not in caught.value.message


def test_folders_outside_are_not_looked_into_for_modules(tmp_path):
    """A repository whose `src` is a link to a folder of the host does not have that folder listed."""
    outside, repository = tmp_path / "outside", tmp_path / "repository"
    (repository / "lib").mkdir(parents=True)
    outside.mkdir()
    for folder in (outside, repository / "lib"):
        (folder / f"module_of_{folder.name}.py").write_text("")
    (repository / "src").symlink_to(outside)
    (repository / "notebooks").symlink_to("lib")
    assert repository_modules(repository, "notebooks/a.ipynb") == {"module_of_lib", "lib", "notebooks", "src"}
