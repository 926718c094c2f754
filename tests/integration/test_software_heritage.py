"""Identifiers of Software Heritage against a double of its archive, real git repositories and their server."""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime

import msgspec
import pytest
from archive_server import Reply, archive_server, recorded
from git_repositories import Repository, served
from heritage import API, HOST, keep_bundle, keep_commit, keep_snapshot
from source_tools import source_tools

from reprolake_builder.documents.source import GitSource, HeritageSource
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.fetch import fetch
from reprolake_builder.providers.heritage.objects import Release, Revision
from reprolake_builder.providers.heritage.vault import Patience, write_heritage
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.providers.links.heritage import origin_hash
from reprolake_builder.resolve import resolve, resolve_link
from reprolake_builder.store import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SNP = "5" * 40
PATIENT = Patience(whole=60, between=0.01)  # more than any host takes
NO_LONGER = Patience(whole=0.1, between=0.01)


@pytest.fixture
def server():
    with archive_server() as running:
        yield running


@pytest.fixture
def tools(tmp_path, server):
    store = Store(tmp_path / "store")
    yield source_tools(store, gateways=server.gateways(HOST))
    store.close()


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "served" / "crab.git")


@pytest.fixture
def commit(repository):
    repository.write(fit__ipynb="{}", run__sh="#!/bin/sh\n", sub___a__txt="a")
    (repository.folder / "run.sh").chmod(0o755)
    (repository.folder / "link").symlink_to("sub/a.txt")
    return repository.commit()


@pytest.fixture
def origin(repository):
    with served(repository.folder.parent) as address:
        yield f"{address}/crab.git/.git"


def asked(link, **options):
    return LinkRequest(link, NOW, **options)


def test_a_revision_is_the_commit_at_its_origin(server, tools, repository, commit, origin):
    """What the origin still has is taken from there, with the history's proof and the way it was found."""
    folder = keep_commit(server, repository, commit)
    source = resolve(asked(f"swh:1:rev:{commit};origin={origin}"), tools)
    assert isinstance(source, GitSource)
    assert (source.url, source.commit, source.tree, source.ref) == (origin, commit, folder, "")
    assert source.record.state == "equal by SWH directory"
    assert (source.record.site, source.record.id, source.record.asked) == (HOST, f"swh:1:rev:{commit}", "")
    assert source.record.chain == (
        f"swh:1:rev:{commit} has the folder swh:1:dir:{folder}, computed anew from its metadata",
        f"{origin} still has the commit {commit}, with the same folder",
    )
    assert fetch(source, tools).read_text("fit.ipynb") == "{}"


def test_a_revision_whose_origin_is_gone_comes_out_of_the_vault(server, tools, repository, commit):
    """The archive's copy has every file, mode, link and submodule of the commit, by the hash of its folder."""
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'9' * 40},lib/other")
    (repository.folder / "lib" / "other").mkdir(parents=True)
    commit = repository.commit()
    folder = keep_commit(server, repository, commit)
    keep_bundle(server, repository, commit, "new", "pending", "pending")
    server.tell(
        f"GET {API}/directory/{folder}/lib/other/", {"name": "lib/other", "type": "rev", "target": "9" * 40}
    )
    source = resolve(asked(f"swh:1:rev:{commit};origin=http://127.0.0.1:9/gone.git", subdir="sub"), tools)
    assert isinstance(source, HeritageSource)
    assert (source.tree, source.commit, source.date_is, source.subdir) == (folder, commit, "commit", "sub")
    assert source.date.timestamp() == repository.clock
    assert "not from http://127.0.0.1:9/gone.git: " in source.record.chain[1]
    root = tools.store.root.parent / "out"
    root.mkdir()
    assert write_heritage(source, root, tools, PATIENT) == folder
    assert (root / "run.sh").stat().st_mode & 0o100
    assert (root / "link").readlink().name == "a.txt"
    assert (root / "lib" / "other").is_dir()


def test_the_notebook_that_a_link_shows(server, tools, repository, commit, origin):
    """A path to a notebook, and a file's identifier with the commit that it is in, name the commit and the notebook."""
    keep_commit(server, repository, commit)
    blob = repository.git("rev-parse", f"{commit}:fit.ipynb")
    anchored = f"swh:1:cnt:{blob};origin={origin};anchor=swh:1:rev:{commit};path=/fit.ipynb"
    for link in (f"swh:1:rev:{commit};origin={origin};path=/fit.ipynb", anchored):
        found = resolve_link(asked(link), tools)
        assert (found.source.commit, found.source.subdir, found.notebook) == (commit, "", "fit.ipynb")
    with pytest.raises(ResolveError, match="is not in the folder sub"):
        resolve_link(asked(anchored, subdir="sub"), tools)


def test_a_sub_folder_that_the_copy_has_not_is_an_error(server, tools, repository, commit):
    """Without this the environment would be that of an empty folder."""
    keep_bundle(server, repository, commit)
    folder = repository.git("rev-parse", f"{commit}^{{tree}}")
    with pytest.raises(FetchError, match="has no folder 'away'") as caught:
        fetch(resolve(asked(f"swh:1:dir:{folder}", subdir="away"), tools), tools)
    assert caught.value.hint == "its folders: sub"


def test_an_origin_that_is_busy_is_not_replaced_by_the_copy(server, tools, repository, commit):
    """What is taken does not depend on the hour: a forge that answers 503 stops the call, which may be repeated."""
    keep_commit(server, repository, commit)
    question = "busy.git/info/refs?service=git-upload-pack"
    server.tell(f"GET {question}", Reply(b"", 503))
    with pytest.raises(ResolveError, match="returned error: 503") as caught:
        resolve(asked(f"swh:1:rev:{commit};origin={server.address}/busy.git"), tools)
    assert caught.value.transient


def test_what_the_vault_gives_is_believed_by_its_hash_alone(server, tools, repository, commit):
    """A bundle with other files than the identifier says is refused, and nothing of it is kept."""
    folder = keep_commit(server, repository, commit)
    keep_bundle(server, repository, commit, content=repository.commit(fit__ipynb="{ }"))
    source = resolve(asked(f"swh:1:dir:{folder}"), tools)
    with pytest.raises(FetchError, match="have the tree"):
        fetch(source, tools)
    assert not list((tools.store.root / "trees").glob("*/*"))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["../evil"], "is not in the folder"),
        (["swh:1:dir:{folder}/../evil"], "no repository may have"),
        (["/etc/evil"], "is not in the folder"),
        (["swh:1:dir:{folder}/.git/config"], "no repository may have"),
        (["swh:1:dir:{folder}/a", "swh:1:dir:{folder}/a/b"], "is a file and a folder"),
    ],
)
def test_no_bundle_writes_outside_its_folder(server, tools, tmp_path, names, words):
    """Whatever a bundle calls its files, they land below the source's root or nowhere."""
    folder = "7" * 40
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        for name in names:
            packed.addfile(tarfile.TarInfo(name.format(folder=folder)))
    core = f"swh:1:dir:{folder}"
    server.tell(f"POST {API}/vault/flat/{core}/", {"status": "done"})
    server.tell(f"GET {API}/vault/flat/{core}/raw/", out.getvalue())
    before = set(tmp_path.rglob("evil"))
    with pytest.raises(FetchError, match=words):
        fetch(resolve(asked(core), tools), tools)
    assert set(tmp_path.rglob("evil")) == before == set()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (["pending"], "has not packed"),
        (["new", "failed"], "could not pack"),
        (["cooked"], "something else than its API"),
    ],
)
def test_a_vault_that_never_serves_is_not_waited_for_forever(server, tools, tmp_path, status, words):
    """Endless cooking, a failure and an answer of no known form end in an error of ours."""
    core = f"swh:1:dir:{'7' * 40}"
    server.tell(f"POST {API}/vault/flat/{core}/", {"status": status[0], "progress_message": "\x1b[2J"})
    server.tell(
        f"GET {API}/vault/flat/{core}/", {"status": status[-1], "progress_message": "\x1b[2Joven broken"}
    )
    (tmp_path / "out").mkdir()
    with pytest.raises(FetchError, match=words) as caught:
        write_heritage(
            resolve(asked(core), tools),
            tmp_path / "out",
            tools,
            NO_LONGER if status == ["pending"] else PATIENT,
        )
    assert "\x1b" not in caught.value.message
    assert caught.value.transient == (status != ["cooked"])


def test_a_snapshot_stands_for_its_head_and_says_so(server, tools, repository, commit):
    """HEAD is followed through its alias, and each step is recorded."""
    folder = keep_commit(server, repository, commit)
    keep_snapshot(
        server, SNP, {"HEAD": ("alias", "refs/heads/main"), "refs/heads/main": ("revision", commit)}
    )
    source = resolve(asked(f"swh:1:snp:{SNP}"), tools)
    assert (source.tree, source.record.asked) == (folder, f"swh:1:snp:{SNP}")
    assert source.record.chain[:2] == (
        f"HEAD of swh:1:snp:{SNP} is refs/heads/main",
        f"refs/heads/main of swh:1:snp:{SNP} is swh:1:rev:{commit}",
    )


def test_a_branch_or_tag_of_a_snapshot_is_chosen_by_name(server, tools, repository, commit):
    """--ref names exactly one; a tag leads through its release to the commit, and two that differ are refused."""
    keep_commit(server, repository, commit)
    server.tell(
        f"GET {API}/release/{'8' * 40}/",
        {"id": "8" * 40, "name": "v1", "target": commit, "target_type": "revision"},
    )
    keep_snapshot(server, SNP, {
        "refs/tags/v1": ("release", "8" * 40), "refs/heads/v2": ("revision", commit), "refs/tags/v2": ("revision", "6" * 40)
    })  # fmt: skip
    source = resolve(asked(f"swh:1:snp:{SNP}", ref="v1"), tools)
    assert source.record.id == f"swh:1:rev:{commit}"
    assert any(f"swh:1:rel:{'8' * 40} (v1, as the archive says)" in step for step in source.record.chain)
    with pytest.raises(ResolveError, match="more than one branch or tag"):
        resolve(asked(f"swh:1:snp:{SNP}", ref="v2"), tools)
    with pytest.raises(ResolveError, match="has no HEAD"):
        resolve(asked(f"swh:1:snp:{SNP}"), tools)
    with pytest.raises(ResolveError, match="names one state already"):
        resolve(asked(f"swh:1:rev:{commit}", ref="v1"), tools)


def test_an_origin_stands_for_its_latest_visit_and_is_not_locked(server, tools, repository, commit, origin):
    """The visit and its snapshot are recorded; --locked asks for that snapshot instead."""
    keep_commit(server, repository, commit)
    keep_snapshot(server, SNP, {"HEAD": ("revision", commit)})
    question = f"GET {API}/origin/{origin}/visit/latest/?require_snapshot=true"
    server.tell(question, {"origin": origin, "date": "2026-01-02T03:04:05+00:00", "snapshot": SNP})
    page = f"https://{HOST}/browse/origin/?origin_url={origin}"
    source = resolve(asked(page), tools)
    assert isinstance(source, GitSource)
    assert source.record.asked == f"swh:1:ori:{origin_hash(origin)}"
    assert (
        source.record.chain[0]
        == f"the latest visit to {origin}, of 2026-01-02T03:04:05+00:00, is swh:1:snp:{SNP}"
    )
    with pytest.raises(ResolveError, match="--locked follows no such name") as caught:
        resolve(asked(page, locked=True), tools)
    assert f"swh:1:snp:{SNP};origin={origin}" in caught.value.hint


@pytest.mark.parametrize(
    ("link", "words"),
    [
        (f"swh:1:ori:{'1' * 40}", "cannot be told from it"),
        (f"swh:1:ori:{'1' * 40};origin=https://a.example/b", "is not the identifier of"),
        (f"swh:1:ori:{origin_hash('https://a.example/b')};origin=https://a.example/b", "has no visit"),
        (f"swh:1:rev:{'1' * 40}", "has no swh:1:rev"),
        (f"swh:1:rel:{'1' * 40}", "has no swh:1:rel"),
        (f"swh:1:snp:{'1' * 40}", "has no swh:1:snp"),
    ],
)
def test_what_the_archive_does_not_have_is_named(tools, link, words):
    """An identifier that leads nowhere ends in a sentence about it."""
    with pytest.raises(ResolveError, match=words):
        resolve(asked(link), tools)


def test_a_folder_below_a_commit_is_the_commits_sub_folder(server, tools, repository, commit, origin):
    """A dir with anchor and path is found in the commit at its origin, and only when it is the very folder."""
    keep_commit(server, repository, commit)
    below = repository.git("rev-parse", f"{commit}:sub")
    link = f"swh:1:dir:{below};origin={origin};anchor=swh:1:rev:{commit};path=/sub/"
    source = resolve(asked(link), tools)
    assert isinstance(source, GitSource)
    assert (source.commit, source.subdir, source.record.asked) == (commit, "sub", f"swh:1:dir:{below}")
    other = resolve(asked(link.replace(below, "7" * 40)), tools)
    assert isinstance(other, HeritageSource)
    assert (other.tree, other.commit, other.date, other.date_is) == ("7" * 40, None, NOW, "now")


def test_an_archive_that_lies_about_a_commit_is_not_followed_to_git(
    server, tools, repository, commit, origin
):
    """Where the origin's commit has another folder than the archive says, the commit is not taken for it."""
    keep_commit(server, repository, commit)
    told = msgspec.json.decode(server.replies[f"GET {API}/revision/{commit}/"][0].body)
    server.tell(f"GET {API}/revision/{commit}/", {**told, "directory": "7" * 40})
    source = resolve(asked(f"swh:1:rev:{commit};origin={origin}"), tools)
    assert isinstance(source, HeritageSource)
    assert "as the archive says" in source.record.chain[0]
    assert "has another folder" in source.record.chain[1]


def test_a_lock_cannot_claim_a_commit_for_another_folder(server, tools, repository, commit):
    """A pin whose commit has another folder, or another date, is refused before anything is fetched."""
    folder = keep_commit(server, repository, commit)
    source = resolve(asked(f"swh:1:rev:{commit}"), tools)
    for forged in (
        msgspec.structs.replace(source, tree="7" * 40, url=f"https://{HOST}/swh:1:dir:{'7' * 40}"),
        msgspec.structs.replace(source, date=NOW),
    ):
        with pytest.raises(FetchError, match=f"another folder or date than the pinned ({folder}|7777)"):
            fetch(forged, tools)
    with pytest.raises(FetchError, match="has not the address https://trusted"):
        fetch(msgspec.structs.replace(source, url="https://trusted.example.org/code"), tools)


def test_a_repository_or_the_archives_copy_can_be_demanded(server, tools, repository, commit, origin):
    """--source archive leaves a living origin aside; --source repo does not make do with the copy."""
    keep_commit(server, repository, commit)
    copied = resolve(asked(f"swh:1:rev:{commit};origin={origin}", take="archive"), tools)
    assert isinstance(copied, HeritageSource)
    with pytest.raises(ResolveError, match="no repository has"):
        resolve(asked(f"swh:1:rev:{commit}", take="repo"), tools)


@pytest.mark.parametrize(
    "origin_url", ["file:///etc", "ssh://git@127.0.0.1/x", "ext::sh -c touch", "https://u:p@127.0.0.1/x"]
)
def test_an_identifier_leads_git_nowhere_but_to_public_servers(server, tools, repository, commit, origin_url):
    """A stranger's identifier names no folder of this host, no ssh server and no login as its origin."""
    keep_commit(server, repository, commit)
    link = f"swh:1:rev:{commit};origin={origin_url.replace(' ', '%20')}"
    source = resolve(asked(link), tools)
    assert isinstance(source, HeritageSource)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>", b"[]", b'{"id": 7}', b"\xff", b"[" * 100_000, b'{"id": "' + b"1" * 40 + b'", "directory": "../../etc"}',
        b'{"id": "' + b"2" * 40 + b'", "directory": "' + b"3" * 40 + b'"}',
    ],
)  # fmt: skip
def test_answers_of_no_known_form_are_errors_of_ours(server, tools, answer):
    """Pages of maintenance, wrong types, nests and another object than the one asked for are refused."""
    server.tell(f"GET {API}/revision/{'1' * 40}/", answer)
    with pytest.raises(ResolveError):
        resolve(asked(f"swh:1:rev:{'1' * 40}"), tools)


def test_an_endless_answer_is_not_read_to_its_end(server, tools):
    """An answer larger than any description is cut off."""
    server.tell(f"GET {API}/revision/{'1' * 40}/", Reply(b" " * (33 << 20)))
    with pytest.raises(ResolveError, match="larger than 32 MiB"):
        resolve(asked(f"swh:1:rev:{'1' * 40}"), tools)


def test_recorded_objects_prove_their_own_identifiers():
    """A revision and a release that the archive once sent hash to their identifiers, and to nothing else once changed."""
    revision = msgspec.json.decode(recorded("swh-revision.json"), type=Revision)
    release = msgspec.json.decode(recorded("swh-release.json"), type=Release)
    assert revision.is_proven
    assert release.is_proven
    assert not msgspec.structs.replace(revision, directory="7" * 40).is_proven
    assert not msgspec.structs.replace(release, target="7" * 40).is_proven


def test_recorded_snapshots_are_followed(server, tools):
    """The archive's own answers lead from HEAD over its alias to the revision, and one without HEAD to an error."""
    core = "snapshot/cabcc7d7bf639bbe1cc3b41989e1806618dd5764/?branches_count=1&branches_from="
    server.tell(f"GET {API}/{core}HEAD", recorded("swh-snapshot.json"))
    server.tell(f"GET {API}/{core}refs%2Fheads%2Fmaster", recorded("swh-snapshot-master.json"))
    with pytest.raises(ResolveError, match="has no swh:1:rev:d96d875ef5dd372f533059a44f98e92de9cf0d42"):
        resolve(asked("swh:1:snp:cabcc7d7bf639bbe1cc3b41989e1806618dd5764"), tools)
    server.tell(
        f"GET {API}/snapshot/6a3a2cf0b2b90ce7ae1cf0a221ed68035b686f5a/", recorded("swh-snapshot-no-head.json")
    )
    with pytest.raises(ResolveError, match="has no HEAD"):
        resolve(asked("swh:1:snp:6a3a2cf0b2b90ce7ae1cf0a221ed68035b686f5a"), tools)
