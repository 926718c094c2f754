"""Records as sources: the commit that was published and how well that is known, or the files themselves."""

from __future__ import annotations

import hashlib
import io
import zipfile

import pytest
from released import DOI, KEY, NAME, URL, by_hand, commit_of, heritage, zipball

from reprolake_builder.documents.source import FilesSource, GitSource
from reprolake_builder.errors import ResolveError
from reprolake_builder.fetch import fetch


def test_a_records_commit_is_proven_without_its_archive(world, released):
    """The directory at Software Heritage, recomputed from the tag's tree, proves the commit; no file is fetched whole."""
    world.publish("15600127", {KEY: zipball(released, NAME, "v0.1.1")}, heritage(released, NAME, "v0.1.1"))
    source = world.resolve(DOI)
    assert isinstance(source, GitSource)
    assert (source.url, source.commit, source.ref) == (URL, commit_of(released), "v0.1.1")
    pin = source.record
    assert (pin.site, pin.id, pin.doi, pin.concept_doi) == (
        "zenodo.org",
        "15600127",
        DOI,
        "10.5281/zenodo.15599637",
    )
    assert (pin.state, pin.tag, pin.asked, pin.version) == ("equal by SWH directory", "same", "", "v0.1.1")
    assert world.downloads() == []
    assert any("issupplementto" in line for line in pin.chain)
    assert fetch(source, world.tools()).read_text("notebook.ipynb") == "{}"


def test_without_heritage_the_archive_is_compared(world, released):
    """Where Software Heritage has nothing, every file of the archive is compared with the commit's."""
    world.publish("15600127", {KEY: zipball(released, NAME, "v0.1.1")})
    source = world.resolve("https://zenodo.org/records/15600127", require_proof=True)
    assert (source.commit, source.record.state, source.record.tag) == (
        commit_of(released),
        "equal to archive",
        "same",
    )
    assert source.record.differing == ()
    assert len(world.downloads()) == 1


def test_what_attributes_leave_out_is_no_difference(world):
    """export-ignore and export-subst make git's own archive another tree: it is equal all the same, and both are told."""
    repository = world.repository(NAME)
    repository.write(a="1", version__txt="$Format:%H$\n", ci__yml="x", b="2", c="3")
    repository.write(__gitattributes="ci.yml export-ignore\nversion.txt export-subst\n")
    repository.commit()
    repository.git("tag", "v0.1.1")
    world.publish("15600127", {KEY: zipball(repository, NAME)})
    pin = world.resolve(DOI, require_proof=True).record
    assert (pin.state, pin.differing) == ("equal to archive", ("ci.yml", "version.txt"))
    assert any("git's attributes" in line for line in pin.chain)


def test_heritage_of_an_archive_with_attributes_and_submodules(world):
    """Software Heritage saw git's archive: without ignored files, with an empty folder in a submodule's place."""
    repository = world.repository(NAME)
    repository.write(a="1", ci__yml="x", __gitattributes="ci.yml export-ignore\n")
    repository.git("add", "-A")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib/module")
    repository.git("commit", "-q", "-m", "release")
    repository.git("tag", "v0.1.1")
    blob, attributes = (repository.git("rev-parse", f"HEAD:{name}") for name in ("a", ".gitattributes"))
    empty = repository.git("mktree")
    lib = repository.git("mktree", stdin=f"040000 tree {empty}\tmodule\n".encode())
    rows = f"100644 blob {attributes}\t.gitattributes\n100644 blob {blob}\ta\n040000 tree {lib}\tlib\n"
    tree = repository.git("mktree", stdin=rows.encode())
    folder = f"EmilieMauduit-PALANTIR-{commit_of(repository)[:7]}"
    directory = repository.git("mktree", stdin=f"040000 tree {tree}\t{folder}\n".encode())
    world.publish("15600127", {KEY: zipball(repository, NAME)}, f"swh:1:dir:{directory};path={folder}")
    assert world.resolve(DOI, ignore=("lib/module",)).record.state == "equal by SWH directory"


@pytest.mark.parametrize("with_heritage", [True, False])
def test_a_tag_that_moved_is_not_followed(world, released, with_heritage):
    """The commit that was published is taken, not the one that its tag names today, and the state says so."""
    published = commit_of(released)
    swhid = heritage(released, NAME, "v0.1.1") if with_heritage else None
    world.publish("15600127", {KEY: zipball(released, NAME, "v0.1.1")}, swhid)
    released.git("tag", "-f", "v0.1.1", "main")
    source = world.resolve(DOI, require_proof=True)
    assert (source.commit, source.record.tag, source.ref) == (published, "moved", "")
    assert source.record.state == ("equal by SWH directory" if with_heritage else "equal to archive")
    assert any("has moved" in line and commit_of(released, "main") in line for line in source.record.chain)


def test_a_moved_tag_whose_commit_only_the_archives_folder_names(world, released):
    """An archive without git's comment still has the commit's first digits in its folder: the history is looked through."""
    published = commit_of(released)
    content = zipball(released, NAME, "v0.1.1")
    world.publish("15600127", {KEY: content[:-42] + b"\0\0"})  # the comment's length, then the comment
    released.git("tag", "-f", "v0.1.1", "main")
    source = world.resolve(DOI)
    assert (source.commit, source.record.tag, source.record.state) == (published, "moved", "equal to archive")


def test_a_moved_tag_at_a_site_without_ranges(world, released):
    """Where no parts of files are given the archive is fetched whole for the commit that it names: the tag does not decide."""
    published = commit_of(released)
    world.publish("15600127", {KEY: zipball(released, NAME, "v0.1.1")})
    world.site.ranges = False
    released.git("tag", "-f", "v0.1.1", "main")
    source = world.resolve(DOI)
    assert (source.commit, source.record.tag, source.record.state) == (published, "moved", "equal to archive")
    assert len(world.downloads()) == 1


def test_a_tag_that_is_missing(world, released):
    """Without its tag the commit that the archive names is taken where it is still reachable (TARGENE's case)."""
    published = commit_of(released)
    world.publish("15600127", {KEY: zipball(released, NAME, "v0.1.1")})
    released.git("tag", "v0.1.2", "v0.1.1")
    released.git("tag", "-d", "v0.1.1")
    source = world.resolve(DOI)
    assert (source.commit, source.record.tag, source.ref) == (published, "missing", "")


def test_a_published_commit_that_is_gone_is_not_replaced_by_the_tags(world, released):
    """Where the repository was rewritten the archive is the source, and `repo` is refused: never another commit."""
    world.publish("15600127", {KEY: zipball(released, NAME, "v0.1.1")})
    released.git("checkout", "-q", "--orphan", "anew")
    released.commit(other="1")
    released.git("branch", "-D", "main")
    released.git("tag", "-f", "v0.1.1")
    released.git("reflog", "expire", "--expire=now", "--all")
    released.git("gc", "-q", "--prune=now")
    with pytest.raises(ResolveError, match="is not reachable") as caught:
        world.resolve(DOI, take="repo")
    assert "--source archive" in caught.value.hint
    source = world.resolve(DOI)
    assert isinstance(source, FilesSource)
    assert source.record.state == "archive only"
    assert fetch(source, world.tools()).read_text("notebook.ipynb") == "{}"


def test_a_tag_on_other_content_is_no_match(world, released):
    """With nothing but the tag's name to go by, a tag whose files are others is not taken for the release."""
    world.publish("15600127", {"code.zip": by_hand()})
    source = world.resolve(DOI)
    assert isinstance(source, FilesSource)
    assert any("holds something else" in line for line in source.record.chain)
    assert world.archive.asked == []  # Software Heritage has the same tag


def test_files_that_differ_are_counted_and_listed(world, released):
    """An archive that was changed a little by hand is nearly equal: proof enough for nobody who requires one."""
    content = changed(zipball(released, NAME, "v0.1.1"), "notebook.ipynb", b"{ }")
    world.publish("15600127", {KEY: content})
    source = world.resolve(DOI)
    assert (source.record.state, source.record.differing, source.record.differences) == (
        "nearly equal to archive", ("notebook.ipynb",), 1,
    )  # fmt: skip
    with pytest.raises(ResolveError, match="nothing proves") as caught:
        world.resolve(DOI, require_proof=True)
    assert "--source archive" in caught.value.hint
    assert caught.value.exit_code == 10


def changed(content, name, text):
    """The same archive with one file's content replaced; the comment stays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for item in old.infolist():
            new.writestr(item, text if item.filename.endswith(f"/{name}") else old.read(item))
        new.comment = old.comment
    return buffer.getvalue()


def test_content_in_lfs_equals_its_pointer(world):
    """A file that the commit points to in Git LFS is the same file when the archive holds that very content."""
    repository = world.repository(NAME)
    large = b"large content"
    pointer = (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{hashlib.sha256(large).hexdigest()}\nsize {len(large)}\n"
    )
    repository.write(a="1", b="2", c="3", table__bin=pointer)
    repository.commit()
    repository.git("tag", "v0.1.1")
    world.publish("15600127", {KEY: changed(zipball(repository, NAME), "table.bin", large)})
    pin = world.resolve(DOI, require_proof=True).record
    assert (pin.state, pin.differing) == ("equal to archive", ("table.bin",))
    world.publish("15600127", {KEY: changed(zipball(repository, NAME), "table.bin", b"other content")})
    assert world.resolve(DOI).record.state == "nearly equal to archive"


def test_a_text_that_is_more_than_a_pointer_is_none(world):
    """A script of a commit that begins as a pointer and goes on in its own way is not what the archive holds."""
    repository = world.repository(NAME)
    script = b"echo published"
    text = (
        "version https://git-lfs.github.com/spec/v1\necho something else\n"
        f"oid sha256:{hashlib.sha256(script).hexdigest()}\nsize {len(script)}\n"
    )
    repository.write(a="1", b="2", c="3", postBuild=text)
    repository.commit()
    repository.git("tag", "v0.1.1")
    world.publish("15600127", {KEY: changed(zipball(repository, NAME), "postBuild", script)})
    assert world.resolve(DOI).record.state == "nearly equal to archive"


def test_a_renamed_repository_is_followed_and_both_names_are_told(world, released):
    """The forge leads on to the new name; the pin keeps the record's, and the chain has both."""
    (world.folder / "forge/new-owner").mkdir()
    (world.folder / "forge" / NAME).rename(world.folder / "forge/new-owner/name")
    released.folder = world.folder / "forge/new-owner/name"
    world.publish("15600127", {KEY: zipball(released, NAME, "v0.1.1")}, heritage(released, NAME, "v0.1.1"))
    world.moved[f"/{NAME}"] = "/new-owner/name"
    source = world.resolve(DOI)
    assert (source.url, source.commit) == (URL, commit_of(released))
    assert any("has moved" in line and "/new-owner/name" in line for line in source.record.chain)
    assert fetch(source, world.tools()).read_text("notebook.ipynb") == "{}"


def test_a_repository_that_is_gone(world, released):
    """A dead repository leaves the archive, labelled so, and what was tried."""
    world.publish("15600127", {KEY: zipball(released, NAME, "v0.1.1")})
    tree = released.git("rev-parse", "v0.1.1^{tree}")
    released.folder.rename(world.folder / "elsewhere")
    source = world.resolve(DOI)
    assert isinstance(source, FilesSource)
    assert source.record.state == "archive only"
    assert source.record.chain[-1].endswith("the record's own files are the source")
    assert not any("127.0.0.1" in line for line in source.record.chain)
    assert any("not found" in note for note in world.told.notes)
    assert source.tree == tree


def test_the_archive_when_it_is_asked_for(world, released):
    """`--source archive` takes the published files, whatever repository there is, and asks no forge."""
    world.publish("15600127", {KEY: zipball(released, NAME, "v0.1.1")}, heritage(released, NAME, "v0.1.1"))
    source = world.resolve(DOI, take="archive", require_proof=True)
    assert isinstance(source, FilesSource)
    assert (source.record.state, source.url) == ("archive only", "https://zenodo.org/records/15600127")
    assert source.tree == released.git("rev-parse", "v0.1.1^{tree}")
    assert (source.date.isoformat(), source.date_is) == ("2025-06-05T00:00:00+00:00", "published")
