"""Which packages are chosen, in a suite small enough to see why."""

import pytest
from debian_catalogues import catalogue, chosen

from reprolake_builder.documents.environment import Asked
from reprolake_builder.errors import LockError
from reprolake_builder.solvers.debian import resolve
from reprolake_builder.solvers.debian_archive import add_stanzas


def test_dependencies_are_followed():
    """What a package needs, directly or before it, comes with it."""
    offered = catalogue("a 1; Depends: b (>= 2); Pre-Depends: c", "b 2; Depends: d", "c 1", "d 1", "e 1")
    assert chosen(offered, "a") == ["a", "b", "c", "d"]


def test_the_first_alternative_that_fits_is_taken():
    """An alternative whose version does not do is passed over."""
    offered = catalogue("a 1; Depends: b (>= 2) | c | d", "b 1", "c 1", "d 1")
    assert chosen(offered, "a") == ["a", "c"]


def test_what_is_there_already_is_enough():
    """An alternative chosen for another reason satisfies a group whose first one it is not."""
    offered = catalogue("a 1; Depends: b | c", "b 1", "c 1")
    assert chosen(offered, "c", "a") == ["a", "c"]


def test_the_more_important_provider_wins():
    """Of the packages that provide a virtual one, priority decides, then the name."""
    offered = catalogue(
        "a 1; Depends: awk",
        "gawk 1; Provides: awk; Priority: optional",
        "mawk 1; Provides: awk; Priority: required",
        "nawk 1; Provides: awk; Priority: required",
    )
    assert chosen(offered, "a") == ["a", "mawk"]


def test_a_bound_on_a_virtual_package_needs_a_provided_version():
    """A provider that tells no version cannot meet a bound."""
    offered = catalogue("a 1; Depends: api (>= 2)", "p 9; Provides: api", "q 1; Provides: api (= 3)")
    assert chosen(offered, "a") == ["a", "q"]


def test_another_architectures_package_does_not_count():
    """A dependency on i386 is not met by the package of the same name."""
    offered = catalogue("a 1; Depends: b:i386 | c", "b 1", "c 1")
    assert chosen(offered, "a") == ["a", "c"]


def test_a_conflict_leads_to_the_other_alternative():
    """What cannot stand beside a chosen package is not chosen, whichever of the two says so."""
    offered = catalogue("a 1; Depends: b | c", "b 1; Conflicts: x", "c 1", "x 1", "y 1; Breaks: b (<< 2)")
    assert chosen(offered, "x", "a") == ["a", "c", "x"]
    assert chosen(offered, "y", "a") == ["a", "c", "y"]


def test_what_comes_for_certain_is_known_before_a_choice():
    """An alternative is passed over when what it needs, or what other demands need, rules it out."""
    offered = catalogue("a 1; Depends: b | c", "b 1; Conflicts: y", "c 1", "x 1; Depends: y", "y 1")
    assert chosen(offered, "a", "x") == ["a", "c", "x", "y"]
    offered = catalogue("a 1; Depends: b | c", "b 1; Depends: d", "c 1", "d 1; Depends: gone")
    assert chosen(offered, "a") == ["a", "c"]


def test_what_is_asked_for_by_name_comes_under_that_name():
    """A package that provides the name asked for does not stand in for the package of that name."""
    offered = catalogue("a 1; Provides: b", "b 1", "c 1; Depends: b")
    assert chosen(offered, "a", "b") == ["a", "b"]
    assert chosen(offered, "a", "c") == ["a", "c"]


def test_the_order_of_demands_makes_no_difference():
    """A lock does not change when lines of apt.txt change places."""
    offered = catalogue("a 1; Depends: x | y", "b 1; Depends: y", "x 1", "y 1")
    assert chosen(offered, "a", "b") == chosen(offered, "b", "a") == ["a", "b", "x", "y"]


def test_needs_are_met_depth_first():
    """What a package's first need brings along is there before the second one is looked at, as with apt."""
    offered = catalogue("a 1; Depends: d, b | c", "b 1", "c 1", "d 1; Depends: e", "e 1; Depends: c")
    assert chosen(offered, "a") == ["a", "c", "d", "e"]


def test_a_long_chain_of_needs_is_followed():
    """How deep needs go is not limited by how deep functions may call each other."""
    offered = catalogue(*(f"a{number} 1; Depends: a{number + 1}" for number in range(3000)), "a3000 1")
    assert len(chosen(offered, "a0")) == 3001


def test_a_message_tells_the_ends_of_a_long_chain():
    """Of many packages that lead to the missing one the nearest and the demand are told."""
    offered = catalogue(*(f"a{number} 1; Depends: a{number + 1}" for number in range(30)))
    with pytest.raises(LockError) as raised:
        chosen(offered, "a0")
    assert raised.value.message == (
        "a29, needed by a28, needed by a27, needed by a26, needed by … (25 more), needed by a0, needed by apt.txt:1: "
        "a30 is needed and not on offer in this state of the suite"
    )


def test_a_package_does_not_conflict_with_what_it_provides_itself():
    """The idiom for "only one of these" does not exclude the package that uses it."""
    offered = catalogue("a 1; Provides: mta; Conflicts: mta; Replaces: mta")
    assert chosen(offered, "a") == ["a"]


def test_two_packages_in_each_others_way_are_both_named():
    """The message of a conflict names the demand's line and the two packages."""
    offered = catalogue("a 1; Conflicts: mta", "b 1; Provides: mta")
    with pytest.raises(LockError, match=r"apt\.txt:2: b is needed, but b 1 cannot stand beside a"):
        chosen(offered, "a", "b")


def test_an_unmet_dependency_tells_the_way_to_it():
    """The message leads from the missing package back to the line of apt.txt."""
    offered = catalogue("a 1; Depends: b", "b 1; Depends: gone (>= 2)", "gone 1")
    with pytest.raises(
        LockError, match=r"b, needed by a, needed by apt\.txt:1: gone \(>= 2\) is needed and not on offer"
    ):
        chosen(offered, "a")


def test_a_typing_mistake_is_answered_with_the_nearest_name():
    """An unknown package is an error at its line that names the suite and proposes what is on offer there."""
    with pytest.raises(
        LockError, match=r"apt\.txt:1: Debian bookworm has no package grahpviz; did you mean graphviz"
    ) as error:
        chosen(catalogue("graphviz 1"), "grahpviz")
    assert "apt-cache search" in error.value.hint
    assert "--python" in error.value.hint


def test_part_of_a_name_is_answered_with_the_names_that_hold_it():
    """Where no name is near, the shortest ones with the word in it are proposed."""
    offered = catalogue("libproj-dev-tools 1", "libproj-dev 1", "other 1")
    with pytest.raises(LockError, match=r"no package proj; did you mean libproj-dev or libproj-dev-tools\?"):
        chosen(offered, "proj")


def test_a_virtual_package_has_to_be_chosen_by_name():
    """Where several packages provide what is asked for, the user decides; where one does, it is taken."""
    offered = catalogue("gawk 1; Provides: awk", "mawk 1; Provides: awk, nawk")
    assert chosen(offered, "nawk") == ["mawk"]
    with pytest.raises(LockError, match="name one of them: gawk, mawk"):
        chosen(offered, "awk")


def test_a_version_can_be_asked_for():
    """NAME=VERSION holds exactly or is an error that says what there is."""
    offered = catalogue("a 1:2-3")
    assert chosen(offered, "a=1:2-3") == ["a"]
    with pytest.raises(LockError, match="the suite has 1:2-3"):
        chosen(offered, "a=9")


@pytest.mark.parametrize("text", ["-o APT::x=y", "a b", "A", "../a", "a:i386", ""])
def test_what_is_no_package_name_is_refused(text):
    """Options and paths never pass for packages."""
    with pytest.raises(LockError, match=r"apt\.txt:1: .* is no name of a Debian package"):
        chosen(catalogue("a 1"), text)


def test_the_newest_version_over_all_archives_wins():
    """A security update replaces the suite's package, and an older one in another archive does not."""
    packages = {}
    for version, archive in (("1.2", "debian"), ("1.10", "debian-security"), ("1.9", "debian")):
        add_stanzas(packages, [f"Package: a\nVersion: {version}\n".encode()], archive)
    assert (packages["a"].version, packages["a"].archive) == ("1.10", "debian-security")


def test_extra_packages_do_not_change_the_base():
    """The base is the same with and without apt.txt, and what the base has is no extra."""
    names = [
        "ca-certificates",
        "tzdata",
        "libstdc++6",
        "libgomp1",
        "libexpat1",
        "zlib1g",
        "libpython3.11-stdlib",
    ]
    offered = catalogue(
        *(f"{name} 1" for name in names),
        "python3.11 1; Depends: python3.11-minimal",
        "python3.11-minimal 3.11.2-6",
        "coreutils 1; Essential: yes; Depends: one | other",
        "one 1",
        "other 1",
        "new 1; Depends: other, zlib1g",
        "gcc 1; Depends: tool, other",
        "tool 1",
    )
    alone, *nothing = resolve(offered, "3.11", ())
    new = (Asked(text="new", origin="apt.txt:1"),)
    base, extra, _ = resolve(offered, "3.11", new)
    assert base == alone
    assert nothing == [(), ()]
    assert [deb.name for deb in extra] == ["new", "other"]
    toolchain = (Asked(text="gcc", origin="builds"),)
    base, extra, apart = resolve(offered, "3.11", new, toolchain)
    assert (base, [deb.name for deb in extra]) == (alone, ["new", "other"])
    assert [deb.name for deb in apart] == ["gcc", "tool"]
