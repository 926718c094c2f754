"""Which Debian package a failed build is told to need."""

from __future__ import annotations

import pytest

from reprolake_builder.engines.apt_hints import apt_hint, lacking


@pytest.mark.parametrize(
    ("words", "package"),
    [
        ("x.c:1:10: fatal error: fftw3.h: No such file or directory\n    1 | #include", "libfftw3-dev"),
        ("x.c:1:10: fatal error: gsl/gsl_math.h: No such file or directory", "libgsl-dev"),
        ("x.c:1:10: fatal error: Python.h: No such file or directory", "python3-dev"),
        ("/usr/bin/ld: cannot find -lcfitsio: No such file or directory", "libcfitsio-dev"),
        ("sh: 1: bison: not found", "bison"),
        ("/bin/bash: line 1: flex: command not found", "flex"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'swig'", "swig"),
        ("error: command 'gfortran' failed: No such file or directory", "gfortran"),
        ("unable to execute 'cmake': No such file or directory", "cmake"),
        ("No package 'hdf5' found", "libhdf5-dev"),
        ("Package fftw3 was not found in the pkg-config search path.", "libfftw3-dev"),
        ('ERROR: Dependency "openblas" not found, tried pkgconfig and cmake', "libopenblas-dev"),
        ("meson.build:1:0: ERROR: Program 'bison' not found or not executable", "bison"),
        ("numpy.distutils.system_info.NotFoundError: No lapack/blas resources found.", "libopenblas-dev"),
        ("-- Could NOT find FFTW (missing: FFTW_LIBRARIES)", "libfftw3-dev"),
    ],
)
def test_common_words_lead_to_a_package(words, package):
    """What compilers, linkers, shells and configuration programs say is understood."""
    assert set(lacking(f"checking\n{words}\nexit 1\n").values()) == {package}
    assert f"--apt {package}" in apt_hint(words)


def test_what_the_table_does_not_know_is_told_by_its_name():
    """A header that is nowhere in the table gets the way to find its package."""
    assert "apt-file search strange.h" in apt_hint("fatal error: strange.h: No such file or directory")


def test_other_failures_give_no_hint():
    """A module that is missing is none of Debian's business, nor is a file of the package itself."""
    assert apt_hint("ModuleNotFoundError: No module named 'numpy'") == ""
    assert apt_hint("FileNotFoundError: [Errno 2] No such file or directory: 'README.md'") == ""
    assert apt_hint("page: not found") == ""


def test_probes_are_no_failures():
    """What a build looks for to learn what there is, and does without, is not told as lacking."""
    assert apt_hint("_configtest.c:1:10: fatal error: sys/endian.h: No such file or directory") == ""
    assert apt_hint("conftest.c:1:10: fatal error: fftw3.h: No such file or directory") == ""
