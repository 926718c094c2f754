"""Repositories whose owners moved a release's tag, and hide by git's attributes what they added since."""

from __future__ import annotations

import io
import zipfile

import pytest
from released import world_in, zipball

from reprolake_builder.errors import ReprolakeError, ResolveError

DOI = "10.5281/zenodo.15600127"
NAME = "EmilieMauduit/PALANTIR"
KEY = f"{NAME}-v0.1.1.zip"


@pytest.fixture
def world(tmp_path):
    with world_in(tmp_path) as made:
        yield made


def plain_zip(files):
    """An archive that somebody made without git, so that it names no commit."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


HIDING = "* text\nevil.py export-ignore\n.gitattributes export-ignore\n"


def moved(world):
    """A release whose tag has since been moved to a commit with a program more, which git's own archives leave out."""
    repository = world.repository(NAME)
    repository.commit(a="1", b="2", c="3")
    repository.git("tag", "v0.1.1")
    published = repository.git("rev-parse", "v0.1.1^{tree}")
    repository.commit(evil__py="print('not published')", __gitattributes=HIDING)
    repository.git("tag", "-f", "v0.1.1")
    return published


def test_what_attributes_hide_is_no_proof_for_a_tag_alone(world):
    """Where only the tag leads to the commit, files that its attributes keep out of archives make it nearly equal, and are listed."""
    moved(world)
    world.publish("15600127", {"code.zip": plain_zip({"a": "1", "b": "2", "c": "3"})})
    pin = world.resolve(DOI).record
    assert (pin.state, pin.differing) == ("nearly equal to archive", (".gitattributes", "evil.py"))
    assert pin.tag != "same"
    with pytest.raises(ResolveError, match="nothing proves"):
        world.resolve(DOI, require_proof=True)


def test_nor_is_software_heritages_word_then(world):
    """The directory of what git would archive proves no more than that: what it leaves out is listed, and makes it nearly equal."""
    published = moved(world)
    world.publish("15600127", {"data.bin": b"x"}, f"swh:1:dir:{published}")
    pin = world.resolve(DOI).record
    assert (pin.state, pin.differing) == ("nearly equal to archive", (".gitattributes", "evil.py"))


def test_what_the_published_commit_left_out_is_listed(world):
    """A commit that is named by its archive is proven, and what git's attributes kept out of that archive is told."""
    repository = world.repository(NAME)
    repository.commit(a="1", ci__yml="x", __gitattributes="ci.yml export-ignore\n")
    repository.git("tag", "v0.1.1")
    rows = [line for line in repository.git("ls-tree", "HEAD").splitlines() if not line.endswith("ci.yml")]
    tree = repository.git("mktree", stdin="\n".join([*rows, ""]).encode())
    world.publish("15600127", {KEY: zipball(repository, NAME)}, f"swh:1:dir:{tree}")
    pin = world.resolve(DOI, require_proof=True).record
    assert (pin.state, pin.differing, pin.differences) == ("equal by SWH directory", ("ci.yml",), 1)


def encrypted(content):
    """The same zip, all entries of which say that they are encrypted."""
    return content.replace(b"PK\x03\x04\x14\0\0\0", b"PK\x03\x04\x14\0\1\0").replace(
        b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0"
    )


def damaged(content):
    """The same zip, whose entries are said to be compressed by LZMA and are not."""
    return content.replace(b"PK\x03\x04\x14\0\0\0\0\0", b"PK\x03\x04\x14\0\0\0\x0e\0").replace(
        b"PK\x01\x02\x14\x03\x14\0\0\0\0\0", b"PK\x01\x02\x14\x03\x14\0\0\0\x0e\0"
    )


@pytest.mark.parametrize("spoil", [encrypted, damaged])
def test_describing_files_that_cannot_be_read_tell_nothing(world, spoil):
    """A record whose archive is encrypted, or says so, names no repository by what is in it, and ends in no traceback."""
    content = spoil(plain_zip({"CITATION.cff": f"repository-code: https://github.com/{NAME}\n" * 9}))
    record = world.publish("15600127", {"code.zip": content})
    record["metadata"]["related_identifiers"] = []
    record["metadata"]["title"] = "Code"
    with pytest.raises(ReprolakeError):
        world.resolve(DOI)
