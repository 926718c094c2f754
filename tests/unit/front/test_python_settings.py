"""Unit tests of the settings that say where Pythons come from."""

from __future__ import annotations

import pytest

from reprolake.options import load_options
from reprolake.settings import UsageError


def pythons(tmp_path, **environment: str):
    """What the site's Pythons are with these variables."""
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    return load_options({**home, **environment}).site.pythons


def test_debian_comes_before_standalone_builds(tmp_path):
    """Nothing said means both, Debian first, and uv's own list."""
    assert pythons(tmp_path).sources == ("debian", "standalone")
    assert (pythons(tmp_path).downloads, pythons(tmp_path).mirror) == ("", "")


def test_the_order_is_that_of_the_setting(tmp_path):
    """A file or a variable turns the order round, or leaves one out."""
    (tmp_path / "a.toml").write_text(
        'python_sources = ["standalone", "debian"]\npython_mirror = "file:///srv/p"\n'
    )
    found = pythons(tmp_path, REPROLAKE_CONFIG=str(tmp_path / "a.toml"))
    assert (found.sources, found.mirror) == (("standalone", "debian"), "file:///srv/p")
    assert pythons(tmp_path, REPROLAKE_PYTHON_SOURCES="debian").sources == ("debian",)


def test_uvs_own_variables_count(tmp_path):
    """What uv is configured to on this host is taken, and our own settings win."""
    uv = {
        "UV_PYTHON_DOWNLOADS_JSON_URL": "https://example.org/list.json",
        "UV_PYTHON_INSTALL_MIRROR": "https://example.org/mirror",
    }
    found = pythons(tmp_path, **uv)
    assert (found.downloads, found.mirror) == ("https://example.org/list.json", "https://example.org/mirror")
    own = pythons(tmp_path, **uv, REPROLAKE_PYTHON_MIRROR="https://other.example.org")
    assert own.mirror == "https://other.example.org"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SOURCES", "debian conda", "can hold debian, standalone"),
        ("SOURCES", "debian debian", "twice"),
        ("MIRROR", "somewhere", "no address"),
        ("DOWNLOADS", "https://jane:secret@example.org/a b", "no address"),
    ],
)
def test_nonsense_is_refused(tmp_path, name, value, words):
    """The error names the setting and what it can be, and shows no login."""
    with pytest.raises(UsageError, match=words) as caught:
        pythons(tmp_path, **{f"REPROLAKE_PYTHON_{name}": value})
    assert f"python_{name.lower()}" in caught.value.message
    assert "secret" not in caught.value.message
