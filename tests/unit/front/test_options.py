"""Options: who wins, and where each value was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from reprolake import options
from reprolake.options import UsageError, load_options


@pytest.fixture(autouse=True)
def _no_host_files(tmp_path, monkeypatch):
    monkeypatch.setattr(options, "SITE_FILE", tmp_path / "site.toml")


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), **more}


def test_flags_win_over_environment_over_user_over_site(tmp_path):
    """Each later source overrides the earlier ones and is named as the origin."""
    (tmp_path / "site.toml").write_text('store = "/site"\nindex_url = "https://index.example/simple"\n')
    assert load_options(environment(tmp_path)).store == Path("/site")
    (tmp_path / "reprolake").mkdir()
    (tmp_path / "reprolake/reprolake.toml").write_text('store = "/user"\n')
    assert load_options(environment(tmp_path)).store == Path("/user")
    assert load_options(environment(tmp_path, REPROLAKE_STORE="/env")).store == Path("/env")
    merged = load_options(environment(tmp_path, REPROLAKE_STORE="/env"), "/flag")
    assert merged.store == Path("/flag")
    assert merged.settings["store"].origin == "--store"
    assert merged.site.index_url == "https://index.example/simple"


def test_an_unknown_setting_is_an_error(tmp_path):
    """A misspelt key in reprolake.toml is never ignored."""
    (tmp_path / "site.toml").write_text('stor = "/x"\n')
    with pytest.raises(UsageError, match="stor") as caught:
        load_options(environment(tmp_path))
    assert "debian_mirror" in caught.value.hint


def test_pips_index_is_used_unless_uv_has_one(tmp_path):
    """The index follows pip's configuration; uv's own comes first."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip/pip.conf").write_text("[global]\nindex-url = https://pip.example/simple\n")
    assert load_options(environment(tmp_path)).site.index_url == "https://pip.example/simple"
    assert load_options(environment(tmp_path, UV_INDEX_URL="https://uv.example")).site.index_url == ""


def test_a_mirror_of_our_own_is_tried_before_the_dated_archive(tmp_path):
    """The dated archive is the last resort, for packages that a mirror no longer has."""
    site = load_options(environment(tmp_path, REPROLAKE_DEBIAN_MIRROR="http://mirror.example/debian/")).site
    assert site.archives["debian"][0] == "http://mirror.example/debian"
    assert "{date}" in site.archives["debian"][-1]
