"""Unit tests of the one line that tells why a set cannot be had."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reprolake_builder.errors import LockError, SourceBuildError
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.pypi_failure import NoChoice, Rejected, reason_of

AS_OF = AsOf(datetime(2019, 7, 1, tzinfo=UTC), "commit + 1 day", hides=True)
SETUP_ERROR = "error in x setup command: 'install_requires' must be a list of strings"
C_ERROR = "mtrand.c:40270:17: error: 'PyTypeObject' has no member named 'tp_print'"


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (f'{C_ERROR}\nerror: Command "gcc -O2" failed with exit status 1', C_ERROR),
        (f"{C_ERROR}\nerror: command 'gcc' failed", C_ERROR),
        (f"{C_ERROR}\n_configtest.c:1:10: fatal error: sys/endian.h: No such file or directory", C_ERROR),
        ("Traceback (most recent call last):\n  x\nImportError: no six\nmore", "ImportError: no six"),
        (f"{SETUP_ERROR}\n    numpy=>1\n         ^", SETUP_ERROR),
        ("    numpy=>1\n         ^", "numpy=>1"),
        ("the moon is in the wrong phase\n\n", "the moon is in the wrong phase"),
        ("x" * 500, "x" * 160),
    ],
)
def test_the_line_that_tells_best_is_told(log, told):
    """The last error of the compiler or of Python that is no probe's, else the last line; never a whole command."""
    error = SourceBuildError("setuptools could not build a.tar.gz (exit status 1):\n" + log, log=log)
    assert reason_of(error, AS_OF) == f"setuptools could not build a.tar.gz (exit status 1): {told}"


def test_without_words_the_headline_does():
    """An error that came without a backend's words is told by its first line."""
    assert (
        reason_of(SourceBuildError("it took more than 60 minutes"), AS_OF) == "it took more than 60 minutes"
    )
    assert reason_of(LockError("no such hash\nmore"), AS_OF) == "no such hash"


def test_other_failures_name_every_python_as_well():
    """A failure that is neither uv's nor a build's has the line of each Python, and the day of the oldest one."""
    rejected = (Rejected("3.9", "first"), Rejected("3.11", "second"))
    error = NoChoice((), AS_OF, rejected, (LockError("first", hint="do that"), LockError("second"))).error()
    assert isinstance(error, LockError)
    assert error.message == (
        "first\nno Python on offer has the whole set:\n  Python 3.9: first\n  Python 3.11: second\n"
        "Python 3.9, the oldest on offer, came on 2020-10-05: packages with compiled parts of 2019-07-01 do not know it"
    )
    assert error.hint == "do that"
