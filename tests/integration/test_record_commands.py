"""Records on the command line: what `resolve` tells, and what the options change."""

from __future__ import annotations

import json

import pytest
from released import DOI, KEY, NAME, heritage, world_in, zipball


@pytest.fixture
def world(tmp_path):
    with world_in(tmp_path) as made:
        repository = made.repository(NAME)
        repository.commit(a="1", b="2", notebook__ipynb="{}")
        repository.git("tag", "v0.1.1")
        made.publish("15600127", {KEY: zipball(repository, NAME)}, heritage(repository, NAME))
        made.site.concepts["15599637"] = "15600127"
        (tmp_path / ".gitconfig").write_text((tmp_path / "gitconfig").read_text())
        yield made


@pytest.fixture
def call(world, reprolake):
    def called(*arguments):
        return reprolake(
            *arguments,
            HOME=str(world.folder),
            REPROLAKE_STORE=str(world.folder / "own-store"),
            REPROLAKE_GATEWAYS=f"zenodo.org={world.site.url}",
            http_proxy="",
        )

    return called


def test_resolve_tells_what_was_tried_and_what_decided(call):
    """The commit, the record, the proof and each step stand in the answer, a line each."""
    done = call("resolve", "https://zenodo.org/records/15599637")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert f"repository  https://github.com/{NAME}" in lines
    assert f"record      {DOI} ({NAME}: v0.1.1)" in lines
    assert "asked for   15599637" in lines
    assert "proof       equal by SWH directory" in lines
    assert any(line.startswith("found       tag v0.1.1") for line in lines)


def test_the_pin_as_json(call):
    """--json gives the same as a document."""
    done = call("resolve", DOI, "--json")
    record = json.loads(done.stdout)["record"]
    assert (record["state"], record["tag"], record["id"]) == ("equal by SWH directory", "same", "15600127")


def test_the_options_choose_and_refuse(call, world):
    """--source archive takes the files; --require-proof refuses what is not proven with the exit code of resolving."""
    done = call("resolve", DOI, "--source", "archive")
    assert "proof       archive only" in done.stdout
    assert "file        EmilieMauduit/PALANTIR-v0.1.1.zip" in done.stdout
    record = world.site.records["15600127"]
    record["swh"] = {}
    record["files"] = [{"key": "tables.csv", "size": 1, "checksum": ""}]
    weak = call("resolve", DOI)
    assert (weak.returncode, "proof       tag only" in weak.stdout) == (0, True)
    refused = call("resolve", DOI, "--require-proof")
    assert refused.returncode == 10
    assert "nothing proves" in refused.stderr


def test_locked_refuses_a_concept(call):
    """`lock`'s and `build`'s option --locked follows no name of the newest version."""
    done = call("build", "10.5281/zenodo.15599637", "--locked")
    assert done.returncode == 10
    assert "--locked follows no such name" in done.stderr
    assert DOI in done.stderr


@pytest.mark.parametrize("link", [f"{DOI}@v0.1.0", "zenodo:15600127@v0.1.0"])
def test_a_record_has_no_refs(call, world, link):
    """@REF behind a record is refused without asking anybody: its version is decided."""
    done = call("resolve", link)
    assert (done.returncode, "which @v0.1.0 cannot change" in done.stderr) == (10, True)
    assert world.site.asked == []
