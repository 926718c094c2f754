"""Authors and licence of the source in the crate of a run."""

from __future__ import annotations

import dataclasses
import json

from outcomes import CITED, outcome

from reprolake_builder.citations.annotations import citation_annotations
from reprolake_builder.documents.citation import Citation
from reprolake_runner.stage_out import Staging, stage_out

ADA = "https://orcid.org/0000-0002-1825-0097"


def crate_of(folder, annotations) -> dict[str, dict]:
    run = outcome(folder / "run")
    run = dataclasses.replace(run, annotations=dict(run.annotations) | annotations)
    staged = stage_out(run, Staging(folder / "stage")).folder
    return {one["@id"]: one for one in json.loads((staged / "ro-crate-metadata.json").read_text())["@graph"]}


def test_authors_and_licence_reach_the_crate(tmp_path):
    """The notebook and its source name persons with ORCID iDs, their organisation, and the licence by its SPDX address."""
    graph = crate_of(tmp_path, citation_annotations(CITED))
    licence, people = (
        {"@id": "https://spdx.org/licenses/BSD-3-Clause"},
        [{"@id": ADA}, {"@id": "#person-Jan%20Berg"}],
    )
    source = graph["#source"]
    (workflow,) = [one for one in graph.values() if "ComputationalWorkflow" in one["@type"]]
    assert (source["name"], source["license"], source["author"]) == ("Crab spectra", licence, people)
    assert (source["keywords"], source["citation"]) == ("spectra, Crab", "Spectra, 2022")
    assert "https://doi.org/10.5281/zenodo.4055175" in source["identifier"]
    assert (workflow["license"], workflow["creator"]) == (licence, people)
    assert graph[ADA]["affiliation"] == {"@id": "#organization-LAPP"}
    assert graph["#organization-LAPP"]["name"] == "LAPP"
    assert graph["#person-Jan%20Berg"]["@type"] == "Person"
    assert graph[licence["@id"]]["@type"] == "CreativeWork"


def test_a_choice_of_licences_stays_an_expression(tmp_path):
    """No address stands for two licences; words that are no SPDX expression stay words."""
    graph = crate_of(tmp_path / "a", citation_annotations(Citation(license="MIT OR Apache-2.0")))
    assert graph["#source"]["license"] == "MIT OR Apache-2.0"
    graph = crate_of(tmp_path / "b", citation_annotations(Citation(license_text="ask me", published="2026")))
    assert (graph["#source"]["license"], graph["#source"]["datePublished"]) == ("ask me", "2026")


def test_what_another_version_wrote_is_passed_over(tmp_path):
    """An annotation that cannot be read is as good as none."""
    graph = crate_of(tmp_path, {"reprolake.citation": '{"authors": 5}'})
    assert graph["#source"]["name"] == "the repository"


def test_the_page_names_the_record_and_its_proof(tmp_path):
    """Who opens the result sees by which record the repository was found, and what proves it."""
    run = outcome(tmp_path / "run")
    told = {"reprolake.record.doi": "10.5281/zenodo.1", "reprolake.record.state": "equal by SWH directory"}
    run = dataclasses.replace(run, annotations=dict(run.annotations) | told)
    page = (stage_out(run, Staging(tmp_path / "stage")).folder / "index.html").read_text()
    assert "10.5281/zenodo.1<" in page
    assert "equal by SWH directory<" in page
