"""Unit tests of the choice of wheels."""

from __future__ import annotations

import os
import platform

import packaging.tags
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import Marker

from reprolake_builder.solvers.pypi_target import TARGETS, Target, moved_on, rank_of
from reprolake_builder.solvers.pythons import PYTHONS_ON_OFFER

LINUX = (
    platform.system() == "Linux"
    and platform.machine() == "x86_64"
    and "glibc" in os.confstr("CS_GNU_LIBC_VERSION")
)
BOOKWORM = TARGETS["3.11"]


def best(filenames: list[str], target: Target = BOOKWORM) -> str | None:
    ranks = target.ranks()
    fitting = [name for name in filenames if rank_of(name, ranks) is not None]
    return max(fitting, key=lambda name: rank_of(name, ranks), default=None)


@pytest.mark.skipif(not LINUX, reason="compares with the tags of a glibc host")
def test_tags_are_those_that_an_installer_on_that_machine_would_take():
    """For the machine of the test, tags and order equal those of `packaging`."""
    glibc = int(os.confstr("CS_GNU_LIBC_VERSION").split()[1].split(".")[1])
    ranks = Target(platform.python_version(), glibc).ranks()
    assert sorted(ranks, key=ranks.__getitem__) == list(packaging.tags.sys_tags())


def test_there_is_a_target_for_each_python_on_offer():
    """Every Python on offer has its full version and the glibc of its suite."""
    assert TARGETS.keys() == PYTHONS_ON_OFFER.keys()
    for minor, target in TARGETS.items():
        assert target.minor == minor
        assert PYTHONS_ON_OFFER[minor].glibc == f"2.{target.glibc}"


@pytest.mark.parametrize(
    ("filenames", "expected"),
    [
        (["a-1-py3-none-any.whl", "a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"], 1),
        (["a-1-cp311-cp311-manylinux_2_28_x86_64.whl", "a-1-cp311-cp311-manylinux_2_17_x86_64.whl"], 0),
        (["a-1-cp38-abi3-manylinux_2_17_x86_64.whl", "a-1-cp311-cp311-manylinux1_x86_64.whl"], 1),
        (["a-1-1-py3-none-any.whl", "a-1-2-py3-none-any.whl"], 1),
        (["a-1-py3-none-any.whl", "a-1-py2.py3-none-any.whl", "a-1-1-py3-none-any.whl"], 2),
        (["a-1-cp311-cp311-manylinux_2_39_x86_64.whl", "a-1-py3-none-any.whl"], 1),
        (["a-1-cp39-cp39-manylinux1_x86_64.whl", "a-1-cp38-abi3-manylinux1_x86_64.whl"], 1),
    ],
    ids=["compiled", "newer platform", "own abi", "build number", "build over none", "glibc too new", "abi3"],
)
def test_the_best_wheel_is_taken(filenames, expected):
    """The most specific wheel that the suite's glibc can load wins, then the highest build number."""
    assert best(filenames) == filenames[expected]


@pytest.mark.parametrize(
    "filename",
    [
        "a-1-cp39-cp39-manylinux1_x86_64.whl",
        "a-1-cp311-cp311-win_amd64.whl",
        "a-1-cp311-cp311-macosx_11_0_arm64.whl",
        "a-1-cp311-cp311-musllinux_1_1_x86_64.whl",
        "a-1-cp311-cp311-manylinux_2_17_aarch64.whl",
        "a-1-cp312-abi3-manylinux_2_17_x86_64.whl",
        "a-1-cp311-cp311t-manylinux_2_17_x86_64.whl",
        "a-1-py2-none-any.whl",
        "a-1.tar.gz",
        "../a-1-py3-none-any",
        "",
    ],
)
def test_what_does_not_fit_is_no_wheel_for_us(filename):
    """Wheels of other Pythons and platforms, and names that are no wheel's, have no rank."""
    assert rank_of(filename, BOOKWORM.ranks()) is None


TAGS = [str(tag) for tag in sorted(BOOKWORM.ranks(), key=BOOKWORM.ranks().__getitem__)]


@given(
    st.lists(st.sampled_from(range(len(TAGS))), min_size=1, max_size=8, unique=True).flatmap(st.permutations)
)
def test_the_choice_depends_on_the_tags_alone(places):
    """Whatever the order in which an index lists wheels, the one with the foremost tag wins."""
    assert best([f"a-1-{TAGS[place]}.whl" for place in places]) == f"a-1-{TAGS[min(places)]}.whl"


@given(st.text(max_size=60))
def test_any_name_has_a_rank_or_none(text):
    """File names come from an index: none makes ranking fail."""
    rank_of(text, BOOKWORM.ranks())


@pytest.mark.parametrize(
    ("marker", "holds"),
    [
        ('python_version < "3.12"', True),
        ('python_full_version >= "3.11.4"', False),
        ('sys_platform == "win32"', False),
        ('platform_machine == "x86_64" and implementation_name == "cpython"', True),
        ('extra == "plot"', True),
        ('extra == "io"', False),
    ],
)
def test_markers_are_those_of_the_image(marker, holds):
    """Markers are judged for the image's Python and platform, never for the host's."""
    assert BOOKWORM.holds(Marker(marker), ("plot",)) is holds


def test_a_python_that_moved_on_is_told():
    """Should Debian give a suite another patch version, the lock says so; the one that was resolved for is silent."""
    assert moved_on(BOOKWORM, BOOKWORM.version) == ""
    assert "chosen for Python 3.11.2, and Debian's is 3.11.9 by now" in moved_on(BOOKWORM, "3.11.9")
