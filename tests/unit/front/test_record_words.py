"""What is told of a record: in a lock's description, in that of a link, and in an image's annotations."""

from __future__ import annotations

import msgspec
import pytest
from hostile_locks import LOCK, SOURCE

from reprolake.describe import lock_lines, resolved_lines
from reprolake_builder.documents.source import PROVEN, RecordPin
from reprolake_builder.engines.direct import image_annotations

PIN = RecordPin(
    site="zenodo.org",
    id="15600127",
    doi="10.5281/zenodo.15600127",
    concept_doi="10.5281/zenodo.15599637",
    version="v0.1.1",
    title="EmilieMauduit/PALANTIR: v0.1.1",
    asked="10.5281/zenodo.15599637",
    state="nearly equal to archive",
    tag="moved",
    chain=("tag v0.1.1 has moved",),
    differing=tuple(f"f{number}" for number in range(12)),
    differences=12,
)


def test_the_image_says_which_record_it_is_of():
    """Annotations name the record, its versions, the proof and what became of the tag; without a record there are none."""
    lock = msgspec.structs.replace(LOCK, source=msgspec.structs.replace(SOURCE, record=PIN))
    found = image_annotations(lock, "0" * 64)
    assert {name: value for name, value in found.items() if name.startswith("reprolake.record.")} == {
        "reprolake.record.site": "zenodo.org",
        "reprolake.record.id": "15600127",
        "reprolake.record.doi": "10.5281/zenodo.15600127",
        "reprolake.record.concept-doi": "10.5281/zenodo.15599637",
        "reprolake.record.version": "v0.1.1",
        "reprolake.record.title": "EmilieMauduit/PALANTIR: v0.1.1",
        "reprolake.record.state": "nearly equal to archive",
        "reprolake.record.tag": "moved",
    }
    assert not [name for name in image_annotations(LOCK, "0" * 64) if name.startswith("reprolake.record.")]


def test_a_record_in_words():
    """Record, question, proof and the first differing files are told; how it was found only for a link."""
    source = msgspec.structs.replace(SOURCE, record=PIN)
    lines = lock_lines(msgspec.structs.replace(LOCK, source=source))
    assert "asked for   10.5281/zenodo.15599637" in lines
    words = "nearly equal to archive but for 12 files, tag moved since publication"
    assert f"proof       {words} (by the lock's word)" in lines
    assert [line for line in lines if line.startswith("differs")][-1] == "differs     and 2 more"
    assert not any(line.startswith("found") for line in lines)
    fresh = lock_lines(msgspec.structs.replace(LOCK, source=source), whose="")
    assert f"proof       {words}" in fresh
    assert "found       tag v0.1.1 has moved" in resolved_lines(source, "")


@pytest.mark.parametrize(
    ("state", "proven"),
    [
        ("equal by SWH directory", True),
        ("equal to archive", True),
        ("archive only", True),
        ("nearly equal to archive", False),
        ("commit named by archive", False),
        ("tag only", False),
    ],
)
def test_what_counts_as_proof(state, proven):
    """Only what was computed or compared without a difference is proven; the published files themselves need no proof."""
    assert (state in PROVEN) == proven
