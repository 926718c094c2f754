"""Versions from what git says of a commit, by setuptools_scm's default rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from reprolake_builder.engines.scm_version import released_version, scm_version, variables_for
from reprolake_builder.providers.git.describe import Described

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("tag", "distance", "changed", "version"),
    [
        ("v1.2", 0, "", "1.2"),
        ("1.2.0", 3, "", "1.2.1.dev3+g012345678"),
        ("v1.2", 3, "", "1.3.dev3+g012345678"),
        ("package-2.0", 0, "", "2.0"),
        ("v2.0rc1", 2, "", "2.0rc2.dev2+g012345678"),
        ("v1.2", 0, "20240601", "1.3.dev0+g012345678.d20240601"),
        ("1!2.3", 1, "", "1!2.4.dev1+g012345678"),
        ("", 7, "", "0.1.dev7+g012345678"),
        ("build-with-1-digit", 7, "", "0.1.dev7+g012345678"),
    ],
)
def test_versions(tag, distance, changed, version):
    """At a tag its version, after it the development version of the next, with the commit."""
    assert scm_version(Described(tag, distance, COMMIT), changed) == version


@given(st.text(max_size=30), st.integers(0, 9999))
def test_every_tag_gives_a_version(tag, distance):
    """Whatever a tag is called, what comes out is a version as PEP 440 has it."""
    Version(scm_version(Described(tag, distance, COMMIT)))


def test_only_those_that_ask_git_get_a_variable():
    """Other build requirements need none."""
    assert variables_for(["setuptools", "hatchling"]) == ()
    assert variables_for(["hatch-vcs", "pbr"]) == ("PBR_VERSION", "SETUPTOOLS_SCM_PRETEND_VERSION")


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("v1.2.0", "1.2.0"),
        ("1.2rc1", "1.2rc1"),
        ("crab-1.0", "1.0"),
        ("ROMA", ""),
        ("", ""),
        ("2024-05-01", ""),
    ],
)
def test_the_version_of_a_record(name, version):
    """A record's version serves a package where it is one, and else none is made up."""
    assert released_version(name) == version
