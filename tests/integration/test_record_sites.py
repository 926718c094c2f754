"""Sites with records: what they answer, how they are asked, and names of the newest version."""

from __future__ import annotations

import random

import pytest
from file_server import file_server
from record_server import recorded
from released import DOI, KEY, NAME, world_in, zipball

from reprolake_builder.errors import FetchError, ResolveError

CONCEPT = "10.5281/zenodo.15599637"


@pytest.fixture
def world(tmp_path):
    with world_in(tmp_path) as made:
        repository = made.repository(NAME)
        repository.commit(a="1", b="2", notebook__ipynb="{}")
        repository.git("tag", "v0.1.1")
        made.publish("15600127", {KEY: zipball(repository, NAME)})
        made.site.concepts["15599637"] = "15600127"
        yield made


@pytest.mark.parametrize(
    "link", [CONCEPT, "https://zenodo.org/records/15599637", "https://zenodo.org/badge/latestdoi/77"]
)
def test_a_concept_is_resolved_to_its_newest_version(world, link):
    """A concept's DOI or id, or a badge, becomes the version that it leads to, named in the pin with what was asked."""
    world.site.pages["/badge/latestdoi/77"] = f"https://doi.org/{CONCEPT}"
    pin = world.resolve(link).record
    assert (pin.id, pin.doi, pin.concept_doi) == ("15600127", DOI, CONCEPT)
    assert pin.asked in {CONCEPT, "15599637", "badge/latestdoi/77"}
    assert any("stands for the newest version" in line for line in pin.chain)


def test_locked_never_follows_a_concept(world):
    """--locked refuses a concept, and says which version to give: the one of the last time, else today's."""
    with pytest.raises(ResolveError, match=f"names all versions.*{DOI}: --locked") as caught:
        world.resolve(CONCEPT, locked=True)
    assert caught.value.hint == f"give the version that is meant: {DOI}"
    world.resolve(CONCEPT)
    newer = recorded("15600127") | {"id": 15600200, "doi": "10.5281/zenodo.15600200"}
    world.site.records["15600200"] = newer
    world.site.concepts["15599637"] = "15600200"
    with pytest.raises(ResolveError, match=r"15600200; the last time it was .*15600127") as caught:
        world.resolve(CONCEPT, locked=True)
    assert caught.value.hint.endswith(DOI)
    assert world.resolve(DOI, locked=True).record.asked == ""


def test_a_busy_site_is_asked_again_when_it_says_so(world):
    """429 is answered with patience: not before Retry-After has passed, and with a name of our own."""
    world.site.busy = 2
    world.resolve(DOI)
    first, second, third = (when for path, _, when in world.site.asked if path == "/api/records/15600127")
    assert second - first >= 1
    assert third - second >= 1


def test_a_site_that_stays_busy_is_a_temporary_failure(world):
    """A wait that is too long is told instead of waited."""
    world.site.busy = 1000
    world.site.retry_after = "86400"
    with pytest.raises(ResolveError, match="429") as caught:
        world.resolve(DOI)
    assert caught.value.transient
    assert len(world.site.asked) == 1


def test_a_broken_line_is_taken_up_where_it_broke(world):
    """A file whose transfer breaks twice arrives whole, by ranges, and its MD5 is proven."""
    world.publish("15600127", {"data.bin": random.Random(0).randbytes(1 << 20)})
    world.site.drops = [600_000, 300_000]
    source = world.resolve(DOI, take="archive")
    assert source.files[0].size == 1 << 20
    ranges = [part for path, part, _ in world.site.asked if path.endswith("/content")]
    begun = [int(part.removeprefix("bytes=").rstrip("-")) for part in ranges[1:]]
    assert (ranges[0], len(begun)) == ("", 2)
    assert 0 < begun[0] <= 600_000 < begun[1] + 300_000


def test_an_archive_with_another_md5(world):
    """What arrives with other bytes than the record says is refused, and nothing of it is kept."""
    world.site.records["15600127"]["files"][0]["checksum"] = "md5:" + "1" * 32
    with pytest.raises(FetchError, match="MD5"):
        world.resolve(DOI, take="archive")
    with pytest.raises(ResolveError, match="MD5"):
        world.resolve(DOI)


def test_an_archive_that_is_not_given(world):
    """A file that is listed and refused leaves the weaker state: the tag's name is all there is."""
    del world.site.files[("15600127", KEY)]
    pin = world.resolve(DOI).record
    assert pin.state == "tag only"
    assert any("is not given to us: status 404" in line for line in pin.chain)


def test_records_that_are_not_there(world):
    """A number without a record, a removed one and a site closed for maintenance are told apart."""
    with pytest.raises(ResolveError, match=r"zenodo\.org has no record 999"):
        world.resolve("zenodo:999")
    world.site.gone.add("998")
    with pytest.raises(ResolveError, match=r"was removed from zenodo\.org"):
        world.resolve("zenodo:998")
    world.site.records["997"] = {"message": "We will be back soon"}
    with pytest.raises(ResolveError, match="something else than a record"):
        world.resolve("zenodo:997")


def test_a_restricted_record(world):
    """Files that are not open are told with the record's own word for its access."""
    world.site.records["700001"] = recorded("restricted")
    world.site.closed.add("700001")
    with pytest.raises(ResolveError, match="its access is restricted") as caught:
        world.resolve("10.5281/zenodo.700001")
    assert "ask its owners" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("4020622", r"documents only \(guide\.pdf\)"),
        ("3763271", r"of the kind dataset, 8000\.0 MB in 1 files, and names no repository"),
    ],
)
def test_what_is_no_software(world, name, words):
    """A paper's record and a data set are named as what they are, and nothing is fetched."""
    world.site.records[name] = recorded(name)
    with pytest.raises(ResolveError, match=words):
        world.resolve(f"zenodo:{name}")
    assert world.downloads() == []


def test_one_file_of_several(world):
    """The address of a file takes that file of the record, where its archive is wanted."""
    world.publish("15600127", {"a.zip": world.site.files[("15600127", KEY)], "notes.txt": b"x"})
    source = world.resolve("https://zenodo.org/records/15600127/files/a.zip?download=1", take="archive")
    assert [file.name for file in source.files] == ["a.zip"]
    with pytest.raises(ResolveError, match=r"has no file b\.zip") as caught:
        world.resolve("https://zenodo.org/records/15600127/files/b.zip", take="archive")
    assert "notes.txt" in caught.value.hint


@pytest.mark.parametrize("key", ["../../x.zip", "/etc/x.zip", "a/../../x"])
def test_keys_that_lead_elsewhere(world, key):
    """A file's name in a record is no way out of the source."""
    world.publish("15600127", {key: b"x"})
    world.site.files = {(id_, key.lstrip("/")): b"x" for id_, key in world.site.files}
    with pytest.raises((ResolveError, FetchError)):
        world.resolve(DOI, take="archive")


def test_any_inveniordm_site(world):
    """A site that is not known by name is asked, and its own shape of JSON understood."""
    repository = world.repository("caltechlibrary/ames")
    repository.commit(a="1", b="2")
    repository.git("tag", "v1.2.0")
    content = zipball(repository, "caltechlibrary/ames")
    record = recorded("abcde-12345")
    entry = record["files"]["entries"]["caltechlibrary/ames-v1.2.0.zip"]
    entry |= {"size": len(content), "checksum": ""}
    world.site.records["abcde-12345"] = record
    world.site.files[("abcde-12345", "caltechlibrary/ames-v1.2.0.zip")] = content
    world.site.concepts["fghjk-67890"] = "abcde-12345"
    source = world.resolve(f"{world.site.url}/records/abcde-12345")
    assert (source.record.site, source.record.id) == (world.site.url.removeprefix("http://"), "abcde-12345")
    assert (source.record.state, source.ref) == ("equal to archive", "v1.2.0")


def test_an_address_that_only_looks_like_a_records(world):
    """A host whose API answers otherwise is left to git, whose answer counts then."""
    with pytest.raises(ResolveError, match="git repository"):
        world.resolve(f"{world.site.url}/records/12345")


def test_a_busy_forge_stops_the_call(world):
    """A forge that answers 503 is there: the archive is not taken in its place, and the failure is a temporary one."""
    path = f"/{NAME}/info/refs"
    with file_server(refusals={path: [(503, {})] * 9}) as forge:
        (world.folder / "gitconfig").write_text(
            f'[url "{forge.address}/"]\n\tinsteadOf = https://github.com/\n'
        )
        with pytest.raises(ResolveError, match="503") as caught:
            world.resolve(DOI)
    assert caught.value.transient


def test_an_answer_without_end(world):
    """A site whose answer is larger than any record's is an error of ours."""
    world.site.records["15600127"]["padding"] = "x" * (17 << 20)
    with pytest.raises(ResolveError, match="larger than 16 MiB"):
        world.resolve(DOI)


def test_hostile_repositories_in_a_record(world, tmp_path):
    """Addresses of local files, programs and options are no repositories; the archive is what is left."""
    secret = tmp_path / "secret"
    secret.mkdir()
    metadata = world.site.records["15600127"]["metadata"]
    metadata["custom"]["code:codeRepository"] = "ext::sh -c touch% /tmp/owned"
    metadata["related_identifiers"] = [
        {"identifier": text, "relation": "isSupplementTo"}
        for text in (
            f"file://{secret}",
            str(secret),
            "--upload-pack=touch /tmp/owned",
            "https://github.com/../../x/tree/v1",
        )
    ]
    metadata["title"] = "nothing"
    world.site.records["15600127"]["files"] = [
        {**file, "key": "code.zip"} for file in world.site.records["15600127"]["files"]
    ]
    world.site.files[("15600127", "code.zip")] = world.site.files[("15600127", KEY)]
    source = world.resolve(DOI)
    assert source.record.state == "archive only"
    assert not any("not taken" in line for line in source.record.chain)
