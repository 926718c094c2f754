"""Unit tests of what is changed in a standalone Python."""

from __future__ import annotations

import pytest

from reprolake_builder.engines.standalone import placed


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("'LIBDIR': '/install/lib',", "'LIBDIR': '/opt/python/lib',"),
        ("'prefix': '/install',", "'prefix': '/opt/python',"),
        ("prefix=/install\n", "prefix=/opt/python\n"),
        ("prefix=\t\t/install\n", "prefix=\t\t/opt/python\n"),
        ('"base_prefix": "/install"', '"base_prefix": "/opt/python"'),
        ("-I/install/include -L/install/lib", "-I/opt/python/include -L/opt/python/lib"),
    ],
)
def test_the_folder_of_the_build_becomes_that_of_the_image(text, changed):
    """Wherever the folder stands by itself or begins a path."""
    assert placed(text.encode()) == changed.encode()


@pytest.mark.parametrize(
    "text",
    [
        "'/tools/install/bin/clang'",
        "'/installer/x'",
        "INSTALL=/usr/bin/install -c",
        "./install/x",
        "-O/install",
    ],
)
def test_other_words_stay(text):
    """Other folders and the program of that name are left alone."""
    assert placed(text.encode()) == text.encode()
