"""Debian's order of versions, and the grammar of relations between packages."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.solvers.debian_versions import Relation, parse_relations, version_key

IN_ORDER = (
    "0~~",
    "0~",
    "0",
    "1.0~rc1-1",
    "1.0-1~bpo12+1",
    "1.0-1",
    "1.0-1+b1",
    "1.0-1+deb12u1",
    "1.0-1+deb12u10",
    "1.0-1.1",
    "1.0-2",
    "1.0a-1",
    "1.0+dfsg-1",
    "1.0.1-1",
    "1.2",
    "1.10",
    "2",
    "1:0.1",
    "2:0",
)
VERSIONS = st.from_regex(r"\A(?:[0-3]:)?[0-9][0-9a-c.+~]{0,8}(?:-[0-9a-c.+~]{1,5})?\Z")
NAMES = st.from_regex(r"\A[a-z0-9][a-z0-9+.-]{0,10}\Z")
RELATIONS = st.builds(
    lambda name, bound: Relation(name, *bound),
    NAMES,
    st.one_of(st.just(("", "")), st.tuples(st.sampled_from(["<<", "<=", "=", ">=", ">>"]), VERSIONS)),
)


@pytest.mark.parametrize(("older", "newer"), list(itertools.combinations(IN_ORDER, 2)))
def test_versions_stand_in_debians_order(older, newer):
    """Tildes come before the end, letters before other characters, numbers count as numbers, epochs above all."""
    assert version_key(older) < version_key(newer)


@pytest.mark.parametrize(
    ("one", "other"), [("1.0", "1.00"), ("0:1", "1"), ("1", "1-0"), ("1.0-01", "1.0-1"), ("1a", "1a0")]
)
def test_versions_that_mean_the_same_are_equal(one, other):
    """Leading zeros, an epoch of zero and a revision of zero change nothing."""
    assert version_key(one) == version_key(other)


@given(VERSIONS, VERSIONS)
def test_a_bound_admits_as_the_order_says(have, want):
    """Exactly one of older, equal and newer holds, and the five operators follow from it."""
    admitted = [Relation("x", operator, want).admits(have) for operator in ("<<", "=", ">>")]
    assert sum(admitted) == 1
    assert Relation("x", "<=", want).admits(have) == (admitted[0] or admitted[1])
    assert Relation("x", ">=", want).admits(have) == (admitted[1] or admitted[2])


def test_no_version_satisfies_no_bound():
    """A package provided without a version meets only a demand without one."""
    assert Relation("x").admits("")
    assert not Relation("x", ">=", "1").admits("")


@given(st.lists(st.lists(RELATIONS, min_size=1, max_size=3), max_size=4))
def test_a_relation_field_is_read_back(groups):
    """Groups, alternatives and bounds survive writing and reading."""
    text = ", ".join(" | ".join(str(relation) for relation in group) for group in groups)
    assert parse_relations(text) == tuple(tuple(group) for group in groups)


def test_architectures_and_spaces_are_understood():
    """Qualifiers belong to the relation, and blanks may stand or be missing anywhere."""
    assert parse_relations("python3:any(>=3.9), libc6 ( >= 2.3 ) |libc6.1,") == (
        (Relation("python3", ">=", "3.9", "any"),),
        (Relation("libc6", ">=", "2.3"), Relation("libc6.1")),
    )


@pytest.mark.parametrize("text", ["A", "a b", "a (1)", "a (>= )", "a (> 1)", "a | ", "$(id)", "a (>= 1) b"])
def test_what_is_no_relation_is_refused(text):
    """Nothing is guessed out of a damaged field."""
    with pytest.raises(ValueError, match="no relation"):
        parse_relations(text)
