"""Options: who wins, and where each value was said."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from reprolake import settings
from reprolake.limits import run_limits, with_room
from reprolake.options import UsageError, load_options
from reprolake.settings import shown
from reprolake_runner.bounds import Bounds


@pytest.fixture(autouse=True)
def _no_host_files(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "SITE_FILE", tmp_path / "site.toml")


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


def test_a_projects_file_is_read_when_it_is_named(tmp_path, monkeypatch):
    """The working folder may be a stranger's: its file is only mentioned, until --config or REPROLAKE_CONFIG names it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reprolake.toml").write_text('index_url = "https://project.example/simple"\n')
    unnamed = load_options(environment(tmp_path))
    assert unnamed.site.index_url != "https://project.example/simple"
    assert unnamed.unread == "reprolake.toml"
    for named in (
        load_options(environment(tmp_path), config="reprolake.toml"),
        load_options(environment(tmp_path, REPROLAKE_CONFIG=str(tmp_path / "reprolake.toml"))),
    ):
        assert named.site.index_url == "https://project.example/simple"
        assert named.settings["index_url"].origin.endswith("reprolake.toml")
        assert named.unread == ""
    with pytest.raises(UsageError, match="is not there"):
        load_options(environment(tmp_path), config="other.toml")


def test_the_project_wins_over_user_and_site_but_not_over_variables(tmp_path):
    """A project's file stands between the user's and the environment."""
    (tmp_path / "reprolake").mkdir()
    (tmp_path / "reprolake/reprolake.toml").write_text('store = "/user"\nkeyring = "subprocess"\n')
    (tmp_path / "project.toml").write_text('store = "/project"\n')
    project = str(tmp_path / "project.toml")
    merged = load_options(environment(tmp_path), config=project)
    assert (merged.store, merged.site.keyring) == (Path("/project"), True)
    assert load_options(environment(tmp_path, REPROLAKE_STORE="/env"), config=project).store == Path("/env")


def test_limits_are_numbers(tmp_path):
    """Limits come from files, variables and flags alike, and what is no amount is refused."""
    (tmp_path / "site.toml").write_text('max_processes = 100\nmax_memory_bytes = "8G"\nmax_cpus = 1.5\n')
    settings = load_options(environment(tmp_path, REPROLAKE_MAX_TMP_BYTES="1000")).settings
    found = run_limits(settings, {"max_memory_bytes": "1.5G", "max_timeout": "90"}, weaker=False)
    assert (found.limits.processes, found.limits.tmp_bytes, found.limits.open_files) == (100, 1000, 16384)
    assert (found.limits.memory_bytes, found.limits.cpus, found.timeout) == (3 << 29, 1.5, 90)
    for wrong in ("many", "-1", "0", "1.5"):
        with pytest.raises(UsageError, match="REPROLAKE_MAX_TMP_BYTES"):
            load_options(environment(tmp_path, REPROLAKE_MAX_TMP_BYTES=wrong))
    (tmp_path / "site.toml").write_text("max_processes = -1\n")
    with pytest.raises(UsageError, match="max_processes"):
        load_options(environment(tmp_path))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"max_processes": "101"}, "--processes asks for 101"),
        ({"max_timeout": "none"}, "--timeout asks for none"),
    ],
)
def test_no_flag_goes_beyond_the_sites_limit(tmp_path, flags, told):
    """What the site's file says is the most that flags, variables and the user's own file can ask for."""
    (tmp_path / "site.toml").write_text("max_processes = 100\nmax_timeout = 3600\n")
    settings = load_options(environment(tmp_path)).settings
    assert run_limits(settings, {"max_processes": "100", "max_timeout": "10"}, weaker=False).timeout == 10
    with pytest.raises(UsageError, match=f"{told}, and this site allows"):
        run_limits(settings, flags, weaker=False)
    with pytest.raises(UsageError, match="REPROLAKE_MAX_PROCESSES asks for 5000"):
        load_options(environment(tmp_path, REPROLAKE_MAX_PROCESSES="5000"))


def test_memory_is_limited_without_anybody_asking(tmp_path):
    """By default a run gets nine tenths of the memory that there is, never more."""
    settings = load_options(environment(tmp_path)).settings
    there_is = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < run_limits(settings, {}, weaker=False).limits.memory_bytes <= there_is * 0.9
    assert run_limits(settings, {"max_memory_bytes": "none"}, weaker=False).limits.memory_bytes is None


def test_the_default_for_the_disk_leaves_room_to_stage(tmp_path):
    """Where a run and its result share a disk each gets half of what may be filled; what was asked for stays."""
    found = with_room(Bounds(), tmp_path, tmp_path)
    free = shutil.disk_usage(tmp_path).free - Bounds().free_bytes
    assert abs(found.disk_bytes - free // 2) < 1 << 30
    assert with_room(Bounds(disk_bytes=7), tmp_path, tmp_path).disk_bytes == 7


def test_the_dated_archive_comes_after_the_mirror(tmp_path):
    """An address with places for archive and date is asked after each mirror; without them it is refused."""
    (tmp_path / "site.toml").write_text(
        'debian_mirror = "http://a.example/debian"\ndated_archive = "http://b.example/{archive}/{date}/"\n'
    )
    archives = load_options(environment(tmp_path)).site.archives
    assert archives["debian"] == ("http://a.example/debian", "http://b.example/debian/{date}")
    assert archives["debian-security"][-1] == "http://b.example/debian-security/{date}"
    for wrong in ("http://b.example/{date}", "http://b.example/{archive}"):
        with pytest.raises(UsageError, match=r"dated_archive is .* which lacks {"):
            load_options(environment(tmp_path, REPROLAKE_DATED_ARCHIVE=wrong))


def test_lists_of_indexes(tmp_path):
    """In a file several indexes are a list, in a variable they are words."""
    (tmp_path / "site.toml").write_text('extra_index_urls = ["https://a.example", "https://b.example"]\n')
    assert load_options(environment(tmp_path)).site.extra_index_urls == (
        "https://a.example",
        "https://b.example",
    )
    site = load_options(environment(tmp_path, REPROLAKE_EXTRA_INDEX_URLS="https://c.example")).site
    assert site.extra_index_urls == ("https://c.example",)


def test_proxies_come_from_the_usual_variables_or_the_settings(tmp_path):
    """Small letters win over capitals as in curl, settings over both; git and uv are given what was decided."""
    usual = {"http_proxy": "http://small:1", "HTTP_PROXY": "http://large:1", "ALL_PROXY": "http://all:1"}
    found = load_options(environment(tmp_path, **usual, NO_PROXY="a.example, .b.example"))
    assert found.site.proxies == {"http": "http://small:1", "https": "http://all:1"}
    assert found.site.no_proxy == ("a.example", ".b.example")
    assert found.git_environment["https_proxy"] == found.site.uv_environment["HTTPS_PROXY"] == "http://all:1"
    said = load_options(environment(tmp_path, **usual, REPROLAKE_HTTP_PROXY="said:1"))
    assert said.site.proxies["http"] == said.git_environment["http_proxy"] == "http://said:1"


def test_shown_settings_hold_no_logins(tmp_path):
    """What is printed of settings can be shown to others."""
    found = load_options(environment(tmp_path, REPROLAKE_INDEX_URL="https://jane:pw@index.example/simple"))
    assert shown(found.settings)["index_url"].value == "https://***@index.example/simple"
    assert found.site.index_url == "https://jane:pw@index.example/simple"


def test_gateways_lead_to_other_addresses(tmp_path):
    """A table of the file or pairs in the variable say by which address a host is reached; anything else is refused."""
    (tmp_path / "site.toml").write_text('[gateways]\n"zenodo.org" = "http://127.0.0.1:8080/z/"\n')
    assert load_options(environment(tmp_path)).site.gateways == {"zenodo.org": "http://127.0.0.1:8080/z"}
    both = environment(
        tmp_path, REPROLAKE_GATEWAYS="a.example=http://b.example c.example=https://d.example/e"
    )
    assert load_options(both).site.gateways == {
        "a.example": "http://b.example",
        "c.example": "https://d.example/e",
    }
    with pytest.raises(UsageError, match="HOST=URL"):
        load_options(environment(tmp_path, REPROLAKE_GATEWAYS="http://b.example"))


def test_an_unknown_keyring_is_refused(tmp_path):
    """The keyring is asked by its program, or not at all."""
    with pytest.raises(UsageError, match="can be subprocess or disabled"):
        load_options(environment(tmp_path, REPROLAKE_KEYRING="native"))


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("store = x", "at line 1", "a line of TOML"),
        ("sotre = 'x'", "unknown field `sotre`", "known settings are store, "),
        ("[conda]\nchanel = 'x'", "unknown field `chanel`", "known settings of [conda] are channels, "),
    ],
)
def test_a_file_that_is_no_settings_says_how_they_are_written(tmp_path, text, said, hint):
    """A mistake of form gets another next step than a setting that there is not."""
    place = tmp_path / "reprolake.toml"
    place.write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        load_options(environment(tmp_path), "", str(place))
    assert hint in caught.value.hint
