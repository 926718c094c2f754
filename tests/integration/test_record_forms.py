"""Records in all their forms: archives of other kinds, links that say little or disagree, repositories that only files name."""

from __future__ import annotations

import io
import zipfile

import pytest
from released import DOI, KEY, NAME, URL, by_hand, commit_of, heritage, packed, zipball

from reprolake_builder.documents.source import FilesSource
from reprolake_builder.errors import ResolveError
from reprolake_builder.providers.records import provider


def test_a_tar_archive_names_its_commit(world, released):
    """A tar.gz made by git carries the commit in its first header, which decides against a tag that moved."""
    published = commit_of(released)
    content = packed(released, "--format=tar.gz", "--prefix=PALANTIR-0.1.1/", "v0.1.1")
    world.publish("15600127", {"PALANTIR-0.1.1.tar.gz": content})
    released.git("tag", "-f", "v0.1.1", "main")
    source = world.resolve(DOI)
    assert (source.commit, source.record.tag, source.record.state) == (published, "moved", "equal to archive")


def test_a_release_zip_in_a_zip(world, released):
    """The zip of all files around the release's own zip is looked through to the commit's files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("PALANTIR-v0.1.1.zip", zipball(released, NAME, "v0.1.1"))
    world.publish("15600127", {"15600127.zip": buffer.getvalue()})
    source = world.resolve(DOI)
    assert (source.ref, source.record.state) == ("v0.1.1", "equal to archive")
    files = world.resolve(DOI, take="archive")
    assert files.tree == released.git("rev-parse", "v0.1.1^{tree}")


def test_a_version_that_is_no_tag(world):
    """The link's tag counts, not the record's version (VERTEX-CFD's case): another tag may have that name."""
    name = "ORNL/VERTEX-CFD"
    repository = world.repository(name)
    published = repository.commit(a="1", b="2")
    repository.git("tag", "vertex-cfd-v1.0.0-alpha")
    repository.commit(a="2")
    repository.git("tag", "v1.0.0")
    files = {f"{name}-vertex-cfd-v1.0.0-alpha.zip": zipball(repository, name, published)}
    world.publish("14907174", files, heritage(repository, name, published))
    source = world.resolve("10.5281/zenodo.14907174")
    assert (source.commit, source.ref) == (published, "vertex-cfd-v1.0.0-alpha")
    assert (source.record.state, source.record.tag) == ("equal by SWH directory", "same")


def test_a_manual_upload(world):
    """A record whose folder at Software Heritage names no commit, and that links nothing, is its archive."""
    world.publish(
        "22074028",
        {"executable-prior-art.zip": by_hand()},
        f"swh:1:dir:{'1' * 40};path=/executable-prior-art/",
    )
    source = world.resolve("https://zenodo.org/record/22074028")
    assert isinstance(source, FilesSource)
    assert (source.record.state, source.record.tag) == ("archive only", "")
    with pytest.raises(ResolveError, match="no repository was found"):
        world.resolve("https://zenodo.org/record/22074028", take="repo")


def test_a_link_without_a_ref(world, released):
    """The version finds the tag where the record links the repository's front page only."""
    world.publish("15600127", {"code.zip": zipball(released, NAME, "v0.1.1", comment=False)})
    metadata = world.site.records["15600127"]["metadata"]
    metadata["related_identifiers"][0]["identifier"] = URL
    del metadata["custom"]
    source = world.resolve(DOI)
    assert (source.ref, source.record.state) == ("v0.1.1", "equal to archive")


def test_repositories_that_disagree(world, released):
    """Of a fork and its origin the one that has the published commit is taken, and the other is told."""
    fork = world.repository("someone/PALANTIR")
    fork.commit(other="1")
    fork.git("tag", "v0.1.1")
    world.publish("15600127", {KEY: zipball(released, NAME, "v0.1.1")})
    metadata = world.site.records["15600127"]["metadata"]
    metadata["related_identifiers"][0]["identifier"] = "https://github.com/someone/PALANTIR/tree/v0.1.1"
    source = world.resolve(DOI)
    assert (source.url, source.commit) == (URL, commit_of(released))
    assert any("not taken: https://github.com/someone/PALANTIR" in line for line in source.record.chain)


def test_an_archive_of_data_beside_the_codes(world, released):
    """Of several archives the one that is named after the repository is compared with the commit."""
    files = {"PALANTIR-v0.1.1.zip": zipball(released, NAME, "v0.1.1"), "tables.zip": by_hand()}
    world.publish("15600127", files)
    assert world.resolve(DOI, require_proof=True).record.state == "equal to archive"


def test_a_large_archive_is_compared_when_a_proof_is_required(world, released, monkeypatch):
    """Beyond a size the archive is not fetched, the commit it names is taken, and the chain says what would prove it."""
    monkeypatch.setattr(provider, "COMPARED", 100)
    world.publish("15600127", {KEY: zipball(released, NAME, "v0.1.1")})
    pin = world.resolve(DOI).record
    assert (pin.state, pin.tag, world.downloads()) == ("commit named by archive", "same", [])
    assert any("--require-proof does it" in line for line in pin.chain)
    assert world.resolve(DOI, require_proof=True).record.state == "equal to archive"


def test_a_zenodo_json_that_replaced_the_links(world):
    """Without the tag's link the field for the repository and the archive's own words find the commit (FerroEHR's case)."""
    name = "ferroehr/ferroehr"
    repository = world.repository(name)
    published = repository.commit(a="1", b="2")
    repository.git("tag", "v3.17.7")
    repository.commit(a="0")
    repository.git("tag", "v3.17.6", "HEAD^")
    repository.git("tag", "-f", "v3.17.6")
    world.publish("ferroehr", {f"{name}-v3.17.7.zip": zipball(repository, name, "v3.17.7")})
    source = world.resolve("https://doi.org/10.5281/zenodo.18000001")
    assert (source.commit, source.ref, source.record.state) == (published, "v3.17.7", "equal to archive")
    assert any("code:codeRepository" in line for line in source.record.chain)


def test_an_eossr_upload(world):
    """The relation isDerivedFrom names the repository, the version its tag; the archive proves the commit."""
    repository = world.repository("javierrico/gLike")
    repository.commit(a="1", b="2", codemeta__json="{}")
    repository.git("tag", "v00.10.00")
    files = {"gLike-v00.10.00.zip": zipball(repository, "javierrico/gLike"), "codemeta.json": b"{}"}
    world.publish("3967385", files)
    source = world.resolve("zenodo:3967385")
    assert (source.ref, source.record.state) == ("v00.10.00", "equal to archive")


@pytest.mark.parametrize(
    ("name", "content", "beside"),
    [
        ("codemeta.json", '{"codeRepository": "git+https://github.com/someone/analysis.git", "version": "9"}', True),
        ("codemeta.json", '{"codeRepository": "https://github.com/someone/analysis/tree/main"}', False),
        (".zenodo.json", '{"related_identifiers": [{"identifier": "https://github.com/someone/analysis",'
         ' "relation": "isSupplementTo"}]}', False),
        ("CITATION.cff", "cff-version: 1.2.0\nrepository-code: 'https://github.com/someone/analysis'\n", False),
        (".escape.yml", "metadata-version: 0.2\nurl: https://github.com/someone/analysis\n", False),
        ("pyproject.toml", '[project.urls]\n"Source Code" = "https://github.com/someone/analysis"\n', False),
    ],
)  # fmt: skip
def test_repositories_named_by_files(world, name, content, beside):
    """Where the record links nothing, describing files beside or inside the archive name the repository, never the commit."""
    repository = world.repository("someone/analysis")
    path = repository.folder / name
    repository.write(a="1", b="2")
    if not beside:
        path.write_text(content)
    repository.commit()
    repository.git("tag", "1.2.0")
    files = {"analysis-1.2.0.zip": zipball(repository, "someone/analysis")}
    world.publish("1189196", {**files, **({name: content.encode()} if beside else {})})
    source = world.resolve("10.5281/zenodo.1189196")
    assert (source.url, source.record.state) == ("https://github.com/someone/analysis", "equal to archive")
    assert any(name in line for line in source.record.chain)


def test_a_repository_in_the_description_is_shown_and_not_taken(world):
    """Anybody's repository may stand in a description: the chain names it, the archive is the source."""
    repository = world.repository("someone/analysis")
    repository.commit(a="1")
    repository.git("tag", "1.2.0")
    world.publish("1189196", {"work.zip": by_hand()})
    source = world.resolve("10.5281/zenodo.1189196")
    assert isinstance(source, FilesSource)
    assert any(
        "the description mentions https://github.com/someone/analysis" in line for line in source.record.chain
    )


def test_a_branch_in_the_link_decides_nothing(world, released):
    """tree/main in a record is a moving name: without the archive's word there is no commit."""
    world.publish("15600127", {"tables.zip": by_hand()})
    world.site.records["15600127"]["metadata"]["related_identifiers"][0]["identifier"] = f"{URL}/tree/main"
    world.site.records["15600127"]["metadata"]["version"] = "none"
    source = world.resolve(DOI)
    assert isinstance(source, FilesSource)
    assert any("names the branch main" in line for line in source.record.chain)


def test_a_server_without_ranges_and_a_broken_line(world, released):
    """Where no parts are given the archive is fetched whole, taken up where the line broke or begun anew, and its MD5 proven."""
    content = zipball(released, NAME, "v0.1.1")
    world.publish("15600127", {KEY: content})
    world.site.ranges = False
    world.site.drops = [len(content) // 2]
    source = world.resolve(DOI)
    assert (source.commit, source.record.state) == (commit_of(released), "equal to archive")
    assert source.record.tag == "same"


def test_subfolder_and_ref(world, released):
    """--subdir is looked for in the commit; --ref cannot change what a record is."""
    world.publish("15600127", {KEY: zipball(released, NAME, "v0.1.1")}, heritage(released, NAME, "v0.1.1"))
    assert world.resolve(DOI, subdir="data").subdir == "data"
    with pytest.raises(ResolveError, match="no folder 'none'") as caught:
        world.resolve(DOI, subdir="none")
    assert "data" in caught.value.hint
    with pytest.raises(ResolveError, match="a record is one version"):
        world.resolve(DOI, ref="main")
