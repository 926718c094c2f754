"""Records whose forge is dead, or has lost the published commit: Software Heritage's copy, where it is proven."""

from __future__ import annotations

import pytest
from archive_server import Reply
from heritage import API, keep_bundle, keep_commit, keep_snapshot
from released import DOI, KEY, NAME, URL, commit_of, heritage, zipball

from reprolake_builder.documents.source import FilesSource, GitSource, HeritageSource
from reprolake_builder.errors import ResolveError
from reprolake_builder.fetch import fetch

SNP = "5" * 40


@pytest.fixture
def lost(world):
    """A repository with a tagged release that is no longer on its forge."""
    repository = world.repository(NAME)
    repository.write(run__sh="#!/bin/sh\n", notebook__ipynb="{}")
    repository.commit()
    repository.git("tag", "-a", "v0.1.1", "-m", "The release")
    repository.commit(later="1")
    repository.folder = repository.folder.rename(world.folder / "elsewhere")
    return repository


def visited(world, repository, tags, origin=URL):
    """Let Software Heritage have seen the origin, with these tags on commits."""
    world.archive.tell(
        f"GET {API}/origin/{origin}/visit/latest/",
        {"origin": origin, "date": "2025-06-06T00:00:00+00:00", "snapshot": SNP},
    )
    keep_snapshot(
        world.archive, SNP, {f"refs/tags/{tag}": ("revision", commit) for tag, commit in tags.items()}
    )
    for commit in tags.values():
        keep_commit(world.archive, repository, commit)


def test_a_commit_of_a_dead_forge_is_taken_from_software_heritage(world, lost):
    """The archive names the commit, the record's own directory proves it, and the files come out of the vault."""
    commit = commit_of(lost)
    folder = keep_commit(world.archive, lost, commit)
    keep_bundle(world.archive, lost, commit)
    world.publish("15600127", {KEY: zipball(lost, NAME, "v0.1.1")}, heritage(lost, NAME, "v0.1.1"))
    source = world.resolve(DOI, require_proof=True)
    assert isinstance(source, HeritageSource)
    assert (source.commit, source.tree, source.date_is) == (commit, folder, "commit")
    assert source.date.timestamp() == int(lost.git("show", "-s", "--format=%ct", commit))
    pin = source.record
    assert (pin.site, pin.doi, pin.version, pin.state) == (
        "zenodo.org",
        DOI,
        "v0.1.1",
        "equal by SWH directory",
    )
    assert f"not taken: {URL} cannot be read" in pin.chain
    assert pin.chain[-1] == f"Software Heritage keeps what was published: swh:1:dir:{folder}"
    assert not any("127.0.0.1" in line for line in pin.chain)
    assert world.downloads() == []
    assert fetch(source, world.tools()).read_text("notebook.ipynb") == "{}"


def test_a_commit_that_its_forge_has_lost(world, lost):
    """Where the repository was rewritten the published commit is still Software Heritage's; never its new tag."""
    commit = commit_of(lost)
    keep_commit(world.archive, lost, commit)
    world.publish("15600127", {KEY: zipball(lost, NAME, "v0.1.1")})
    rewritten = world.repository(NAME)
    rewritten.commit(other="1")
    rewritten.git("tag", "v0.1.1")
    source = world.resolve(DOI)
    assert isinstance(source, HeritageSource)
    assert (source.commit, source.record.state) == (commit, "equal to archive")


def test_a_tag_is_looked_up_in_the_visit_to_a_dead_forge(world, lost):
    """Where nothing names a commit the release's tag does, as the latest visit found it, and the archive proves it."""
    commit = commit_of(lost)
    visited(world, lost, {"v0.1.1": commit, "v0.1.0": commit_of(lost, "main")})
    world.publish("15600127", {KEY: zipball(lost, NAME, "v0.1.1", comment=False)})
    source = world.resolve(DOI)
    assert isinstance(source, HeritageSource)
    assert (source.commit, source.origin, source.record.state) == (commit, URL, "equal to archive")
    assert any(line.startswith(f"the latest visit to {URL}, of 2025-06-06") for line in source.record.chain)
    assert f"refs/tags/v0.1.1 of swh:1:snp:{SNP} is swh:1:rev:{commit}" in source.record.chain


def test_an_origin_by_its_other_spelling(world, lost):
    """GitLab's repositories were visited with .git at the end, GitHub's without: both are asked."""
    commit = commit_of(lost)
    visited(world, lost, {"v0.1.1": commit}, f"{URL}.git")
    world.publish("15600127", {KEY: zipball(lost, NAME, "v0.1.1", comment=False)})
    source = world.resolve(DOI)
    assert (source.commit, source.origin) == (commit, f"{URL}.git")


def test_a_tag_on_other_files_is_not_taken_from_software_heritage(world, lost):
    """A tag that had moved before the visit is not what was published: the archive is."""
    moved = commit_of(lost, "main")
    visited(world, lost, {"v0.1.1": moved})
    world.publish("15600127", {KEY: zipball(lost, NAME, "v0.1.1", comment=False)})
    source = world.resolve(DOI)
    assert isinstance(source, FilesSource)
    assert (source.record.state, source.tree) == ("archive only", lost.git("rev-parse", "v0.1.1^{tree}"))
    assert any("has the tree" in line and "Software Heritage's" in line for line in source.record.chain)


def test_what_software_heritage_does_not_have_leaves_the_archive(world, lost):
    """Without a copy of the commit and without a visit the chain says both, and the record's own files are taken."""
    world.publish("15600127", {KEY: zipball(lost, NAME, "v0.1.1")})
    source = world.resolve(DOI)
    assert isinstance(source, FilesSource)
    chain = source.record.chain
    assert f"Software Heritage has no swh:1:rev:{commit_of(lost)}" in chain
    assert f"Software Heritage has no visit to {URL}" in chain


def test_a_living_forge_needs_no_software_heritage(world):
    """It is asked when the repository has not what was published, and only then."""
    repository = world.repository(NAME)
    repository.commit(notebook__ipynb="{}")
    repository.git("tag", "v0.1.1")
    world.publish("15600127", {KEY: zipball(repository, NAME, "v0.1.1")})
    assert isinstance(world.resolve(DOI), GitSource)
    assert world.archive.asked == []


@pytest.mark.parametrize("take", ["repo", "archive"])
def test_software_heritage_is_no_repository_and_no_archive(world, lost, take):
    """`--source repo` and `--source archive` name what is wanted, which its copy is not."""
    keep_commit(world.archive, lost, commit_of(lost))
    world.publish("15600127", {KEY: zipball(lost, NAME, "v0.1.1")})
    if take == "repo":
        with pytest.raises(ResolveError, match="no repository was found"):
            world.resolve(DOI, take=take)
    else:
        assert isinstance(world.resolve(DOI, take=take), FilesSource)
    assert world.archive.asked == []


def test_a_busy_software_heritage_stops_the_call(world, lost):
    """The source does not depend on the hour: what is asked too often today may be answered tomorrow."""
    question = f"GET {API}/revision/{commit_of(lost)}/"
    world.archive.tell(question, Reply(b"", 429, {"Retry-After": "3000"}))
    world.publish("15600127", {KEY: zipball(lost, NAME, "v0.1.1")})
    with pytest.raises(ResolveError, match="429") as caught:
        world.resolve(DOI)
    assert caught.value.transient


def test_a_site_that_may_not_ask_software_heritage_takes_the_archive(world, lost):
    """A server that refuses us for good is none that could be asked again; no address of this site's reaches the pin."""
    world.archive.tell(f"GET {API}/revision/{commit_of(lost)}/", Reply(b"", 403))
    world.publish("15600127", {KEY: zipball(lost, NAME, "v0.1.1")})
    source = world.resolve(DOI)
    assert isinstance(source, FilesSource)
    assert "Software Heritage cannot be asked" in source.record.chain
    assert not any("127.0.0.1" in line for line in source.record.chain)
