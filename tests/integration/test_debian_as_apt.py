"""Our choice of packages against apt's: where they agree, and the kinds of difference that there are."""

import itertools
import shutil

import pytest
from debian_catalogues import asked, catalogue_of, chosen, repository

from bench.apt_root import AptRoot, Refused
from reprolake_builder.errors import LockError
from reprolake_builder.solvers.debian_resolve import Selection

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt-get is not installed")


@pytest.fixture
def both(tmp_path):
    """What we choose and what apt installs for demands on made-up packages, as (names and versions)."""
    numbers = itertools.count()

    def choose(offered, *demands):
        archives = {"debian": offered} if isinstance(offered, tuple) else offered
        folder = tmp_path / str(next(numbers))
        lines = [repository(folder / name, texts) for name, texts in archives.items()]
        apt = AptRoot(folder / "root", lines)
        try:
            theirs = apt.installs(*demands)
        except Refused:
            theirs = None
        selection = Selection(catalogue_of(archives))
        try:
            selection.require(asked(*demands))
        except LockError:
            return None, theirs
        return {name: package.version for name, package in selection.packages.items()}, theirs

    return choose


@pytest.mark.parametrize(
    ("offered", "demands", "names"),
    [
        (("a 1; Depends: b | c", "b 1", "c 1"), "a", "a b"),
        (("a 1; Depends: b (>= 2) | c", "b 1", "c 1"), "a", "a c"),
        (("a 1; Depends: b | c", "b 1", "c 1"), "a c", "a c"),
        (("a 1; Depends: b | c, d", "b 1", "c 1", "d 1; Depends: c"), "a", "a b c d"),
        (("a 1; Depends: d, b | c", "b 1", "c 1", "d 1; Depends: c"), "a", "a c d"),
        (("a 1; Depends: d, b | c", "b 1", "c 1", "d 1; Depends: e", "e 1; Depends: c"), "a", "a c d e"),
        (("a 1; Depends: b | c; Pre-Depends: d", "b 1", "c 1", "d 1; Depends: c"), "a", "a c d"),
        (
            (
                "a 1; Depends: v",
                "p 1; Provides: v; Priority: optional",
                "q 1; Provides: v; Priority: required",
            ),
            "a",
            "a q",
        ),
        (("a 1; Depends: v", "v 1", "p 1; Provides: v; Priority: required"), "a", "a v"),
        (("a 1; Depends: v (>= 2)", "p 9; Provides: v", "q 1; Provides: v (= 3)"), "a", "a q"),
        (("a 1; Depends: new", "new 1; Provides: old (= 1)", "old 1; Depends: new"), "a old", "a new old"),
        (("a 1; Depends: new, old", "new 1; Provides: old (= 1)", "old 1; Depends: new"), "a", "a new"),
        (("a 1; Depends: b | c", "b 1; Conflicts: x", "c 1", "x 1"), "a x", "a c x"),
        (("a 1; Depends: b | c", "b 1", "c 1", "x 1; Breaks: b (<< 2)"), "a x", "a c x"),
        (("a 1; Depends: b | c", "b 1; Depends: d", "c 1", "d 1; Conflicts: x", "x 1"), "a x", "a c x"),
        (("a 1; Depends: b | c", "b 1; Depends: gone", "c 1"), "a", "a c"),
        (("a 1; Depends: b | c", "b 1; Depends: d", "c 1", "d 1; Depends: gone"), "a", "a c"),
        (("a 1; Provides: m; Conflicts: m", "b 1; Depends: a"), "b", "a b"),
        (("a 1; Depends: b, c", "b 1; Depends: a", "c 1"), "a", "a b c"),
        (("a 1; Depends: b:i386 | c", "b 1", "c 1"), "a", "a c"),
    ],
)
def test_what_apt_takes_is_taken(both, offered, demands, names):
    """Alternatives, virtual packages, conflicts and the order in which needs are met lead to the same set."""
    ours, theirs = both(offered, *demands.split())
    assert ours == theirs
    assert sorted(ours) == names.split()


def test_the_newest_version_of_all_suites_is_taken(both):
    """Updates and security fixes replace the suite's version, an older one in another suite never does."""
    suites = {
        "debian": ("a 1.2; Depends: b, c", "b 1.10", "c 2:1-1"),
        "updates": ("b 1.9", "a 1.2~rc1; Depends: gone"),
        "debian-security": ("a 1.2+deb12u1; Depends: b, c, d", "c 9", "d 1", "c 2:1-1~deb12u1"),
    }
    ours, theirs = both(suites, "a")
    assert ours == theirs == {"a": "1.2+deb12u1", "b": "1.10", "c": "2:1-1", "d": "1"}


@pytest.mark.parametrize(
    ("offered", "demands"),
    [
        (("a 1; Depends: gone",), "a"),
        (("a 1; Conflicts: b", "b 1"), "a b"),
        (("a 1; Depends: c", "b 1; Depends: d", "c 1; Breaks: d (<= 1)", "d 1"), "a b"),
        (("a 1; Depends: c (>= 2)", "c 1"), "a"),
        (("a 1; Provides: v", "b 1; Provides: v"), "v"),
    ],
)
def test_what_apt_refuses_is_refused(both, offered, demands):
    """What nothing can satisfy is an error for both."""
    assert both(offered, *demands.split()) == (None, None)


def test_equal_providers_are_taken_by_name(both):
    """Where nothing else tells two providers apart, apt goes by the order of its cache, we by name."""
    ours, theirs = both(("a 1; Depends: v", "p 1; Provides: v", "q 1; Provides: v"), "a")
    assert sorted(ours) == ["a", "p"]
    assert sorted(theirs) == ["a", "q"]


def test_what_must_come_is_known_before_a_choice_is_made(both):
    """Apt takes `b` first and is stuck when `y` has to come; we know of `y` before and take `c`."""
    ours, theirs = both(
        ("a 1; Depends: b | c", "b 1; Conflicts: y", "c 1", "x 1; Depends: y", "y 1"), "a", "x"
    )
    assert sorted(ours) == ["a", "c", "x", "y"]
    assert theirs is None


def test_what_is_chosen_stays(both):
    """Apt takes a choice back that a later one rules out; we refuse, and name the two in each other's way."""
    offered = ("a 1; Depends: x | y, z | w", "x 1", "y 1", "z 1; Conflicts: x", "w 1; Conflicts: x")
    ours, theirs = both(offered, "a")
    assert ours is None
    assert sorted(theirs) == ["a", "y", "z"]
    with pytest.raises(
        LockError,
        match=r"a, needed by apt\.txt:1: z or w is needed, but z 1 cannot stand beside x, needed by a",
    ):
        chosen(catalogue_of({"debian": offered}), "a")
