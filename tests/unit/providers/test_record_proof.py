"""The proof by Software Heritage's directory, on a real record."""

from __future__ import annotations

from datetime import UTC, datetime

from reprolake_builder.providers.git.cache import CommitFacts
from reprolake_builder.providers.git.command import git_in
from reprolake_builder.providers.links.heritage import Swhid, parse_heritage_link
from reprolake_builder.providers.records.proof import equals_heritage

COMMIT = "aa71d2d3d33b2c41e25bb5932de9237cbd29eadc"
TREE = "4a7b9bfc3e0407e0cbf6a9d360f98756815b96fc"
DIRECTORY = "97ea3dbf4f5e732292dcf1f9ab592503e9e00635"
FOLDER = "EmilieMauduit-PALANTIR-aa71d2d"
FACTS = CommitFacts(COMMIT, TREE, datetime(2025, 6, 5, tzinfo=UTC))


def test_palantir_is_what_zenodo_published(tmp_path):
    """The directory of record 15600127 is the one folder that holds the tree of the tag v0.1.1."""
    git = git_in(tmp_path, {})
    told = parse_heritage_link(
        f"swh:1:dir:{DIRECTORY};origin=https://doi.org/10.5281/zenodo.15599637;path={FOLDER}"
    )
    assert equals_heritage(told, FACTS, git) == ""
    assert equals_heritage(Swhid("dir", TREE), FACTS, git) == ""
    assert equals_heritage(Swhid("dir", DIRECTORY, path="EmilieMauduit-PALANTIR-aa71d2e"), FACTS, git) is None
    assert equals_heritage(Swhid("dir", DIRECTORY), FACTS, git) is None
