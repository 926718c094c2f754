"""The Debian mirror is found in every form that apt takes."""

from __future__ import annotations

import pytest

from reprolake.apt import configured_mirrors

DEB822 = """Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list.d/debian.sources", DEB822),
        (
            "sources.list",
            "# a comment\ndeb http://other.example/apt stable main\n"
            "deb [signed-by=/x] http://mirror.example/debian bookworm main\n"
            "deb http://mirror.example/debian-security bookworm-security main\n",
        ),
    ],
)
def test_both_archives_are_found(tmp_path, name, text):
    """Main and security archive come from the same files that apt reads; other vendors' lines do not count."""
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    main, security = configured_mirrors(tmp_path)
    assert (main.url, security.url) == (
        "http://mirror.example/debian",
        "http://mirror.example/debian-security",
    )


def test_no_apt_means_no_mirror(tmp_path):
    """A host without apt has no mirror of its own."""
    assert configured_mirrors(tmp_path) == (None, None)
