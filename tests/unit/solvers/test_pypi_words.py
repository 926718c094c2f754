"""Unit tests of what becomes of uv's own words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.pypi_failure import explained
from reprolake_builder.solvers.pypi_words import UnsatisfiableError, blamed_for, failure

NO_WHEEL = """\
error: No solution found when resolving dependencies
  cause: Because all versions of docopt have no usable wheels and you require docopt, we can conclude that your requirements are unsatisfiable.

hint: Wheels are required for `docopt` because building from source is disabled for all packages (i.e., with `--no-build`)
"""
ABI = """\
error: No solution found when resolving dependencies
  cause: Because numpy==1.10.3 has no wheels with a matching Python ABI tag (e.g., `cp311`) and you require numpy<1.20, we can conclude that your requirements are unsatisfiable.

hint: You require CPython 3.11 (`cp311`), but we only found wheels for `numpy` (v1.10.3) with the following Python ABI tags: `cp26m`, `cp35m`
"""
PLATFORM = """\
error: No solution found when resolving dependencies
  cause: Because pywin32>=303 has no wheels with a matching platform tag (e.g., `manylinux_2_36_x86_64`) and you require pywin32, we can conclude that your requirements are unsatisfiable.

hint: You require CPython 3.11 (`cp311`), but we only found wheels for `pywin32` (v302) with the following Python ABI tags: `cp36m`, `cp37m`

hint: Wheels are available for `pywin32` (v312) on the following platforms: `win32`, `win_amd64`, `win_arm64`
"""
FILTERED = """\
error: No solution found when resolving dependencies
  cause: Because only numpy<=1.23.5 is available and you require numpy>1.99, we can conclude that your requirements are unsatisfiable.

hint: `numpy` was filtered by `exclude-newer` to only include packages uploaded before 2022-12-02T00:00:00Z. The latest version satisfying the requirement is v2.5.5, published at 2026-11-15T21:30:10Z. Consider using `exclude-newer-package` to override the cutoff for this package.
"""
ABSENT = """\
error: No solution found when resolving dependencies
  cause: Because nosuchpackage was not found in the package registry and you require nosuchpackage, we can conclude that your requirements are unsatisfiable.
"""
CONFLICT = """\
error: No solution found when resolving dependencies
  cause: Because all of:
             astropy==5.0
             astropy==5.0.1
         depend on numpy>=1.18,<1.23 and you require numpy>=1.24, we can conclude that your requirements are unsatisfiable.
"""
UNRELEASED = """\
error: No solution found when resolving dependencies
  cause: Because there is no version of numpy==9.9 and you require numpy==9.9, we can conclude that your requirements are unsatisfiable.
"""
OTHERS = """\
error: No solution found when resolving dependencies
  cause: Because only numpy<=2.5.5 is available and you require numpy>=9, we can conclude that your requirements are unsatisfiable.
"""
UNRELEASED_WITHIN = """\
error: No solution found when resolving dependencies
  cause: Because there is no version of numpy==9.9 and astropy==5.0 depends on numpy==9.9, we can conclude that astropy==5.0 cannot be used.
         And because you require astropy==5.0, we can conclude that your requirements are unsatisfiable.
"""
REFUSED_CONNECTION = """\
error: Request failed after 3 retries in 3.7s
  cause: Failed to fetch: http://127.0.0.1:9/simple/six/
  cause: error sending request for url (http://127.0.0.1:9/simple/six/)
  cause: Connection refused (os error 111)
"""
OFFLINE = """\
error: No solution found when resolving dependencies
  cause: Because six was not found in the cache and you require six==99, we can conclude that your requirements are unsatisfiable.

hint: Packages were unavailable because the network was disabled. When the network is disabled, registry packages may only be read from the cache.
"""


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (NO_WHEEL, "docopt has no wheel for Python 3.11"),
        (ABI, "numpy has no wheel for Python 3.11"),
        (PLATFORM, "pywin32 has wheels for other platforms than this only"),
        (FILTERED, "no release of numpy that is asked for had been uploaded"),
        (ABSENT, "nosuchpackage is not in the package index"),
        (CONFLICT, "the requirements contradict each other"),
        (UNRELEASED, "there is no release numpy==9.9"),
        (OTHERS, "of numpy there is numpy<=2.5.5 only"),
        (UNRELEASED_WITHIN, "the requirements contradict each other"),
    ],
    ids=[
        *("no wheel", "other abi", "other platform", "too new", "absent", "conflict"),
        *("unreleased", "others only", "unreleased for another"),
    ],
)
def test_the_reason_comes_first(stderr, reason):
    """One sentence says what is wrong, uv's explanation stays below it, its advice about its own options does not."""
    error = failure(stderr, "3.11")
    assert isinstance(error, UnsatisfiableError)
    assert error.refusal.reason == reason
    assert "we can conclude" in error.refusal.words
    assert "exclude-newer-package" not in error.refusal.words
    assert "--no-build" not in error.refusal.words
    assert not error.transient


OF_PYTHON = """\
error: No solution found when resolving dependencies
  cause: Because the requested Python version (>=3.9.2) does not satisfy Python>=3.10 and numpy==2.1.0 depends on Python>=3.10, we can conclude that numpy==2.1.0 cannot be used.
         And because you require numpy==2.1.0, we can conclude that your requirements are unsatisfiable.
"""


@pytest.mark.parametrize(
    ("stderr", "is_one"),
    [(CONFLICT, True), (UNRELEASED_WITHIN, True), (OF_PYTHON, False), (NO_WHEEL, False), (ABSENT, False)],
)
def test_a_contradiction_is_one_of_packages_only(stderr, is_one):
    """Another Python may mend what a package requires of Python, and a build what has no wheel: those are none."""
    error = failure(stderr, "3.9")
    assert isinstance(error, UnsatisfiableError)
    assert error.refusal.is_contradiction == is_one


@pytest.mark.parametrize("stderr", [ABSENT, UNRELEASED])
def test_a_wrong_name_is_not_to_be_relaxed(stderr):
    """What is nowhere is to be corrected where it stands, or comes from another index; no date and no Python helps."""
    error = failure(stderr, "3.11")
    assert isinstance(error, UnsatisfiableError)
    hint = explained(error, (), AsOf(datetime(2024, 6, 1, tzinfo=UTC), "now", hides=False), "3.11").hint
    assert "correct the name or the version" in hint
    assert "--as-of" not in hint


@pytest.mark.parametrize("stderr", [REFUSED_CONNECTION, OFFLINE], ids=["refused", "offline"])
def test_a_missing_network_may_come_back(stderr):
    """When the index cannot be reached the same call may work later."""
    error = failure(stderr, "3.11")
    assert error.transient
    assert not isinstance(error, UnsatisfiableError)


def test_a_refusal_by_the_server_does_not_go_away():
    """A client error of the index is no matter of the network."""
    text = "error: Failed to fetch: `http://127.0.0.1/a/`\n  cause: HTTP status client error (403 Forbidden) for url"
    assert not failure(text, "3.11").transient


def test_control_characters_never_arrive():
    """Names in uv's words come from an index and cannot drive the terminal."""
    assert "\x1b" not in failure("error: \x1b[2J`evil`\n", "3.11").message


def test_long_explanations_lose_their_middle():
    """A long derivation keeps its beginning and its conclusion."""
    steps = "\n".join(f"         And because step {number} holds" for number in range(500))
    error = failure(
        f"error: No solution found\n  cause: Because\n{steps}\n         we can conclude the end.", "3.11"
    )
    lines = error.message.splitlines()
    assert len(lines) < 30
    assert "[…]" in error.message
    assert lines[-1].strip() == "we can conclude the end."


def test_the_packages_that_hold_another_back_are_found():
    """Who depends on certain versions of a package is read from uv's words, in either grammatical number."""
    words = " ".join(CONFLICT.split())
    assert blamed_for(words, "numpy") == ("astropy",)
    assert blamed_for("Because a.b==1 depends on numpy-financial<2", "numpy") == ()
    assert blamed_for(
        "Because beta==1.0,<2 depends on numpy<2 and all versions of c depend on numpy", "numpy"
    ) == ("beta", "c")
